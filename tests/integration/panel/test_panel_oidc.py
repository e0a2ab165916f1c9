"""People of an identity provider in the panel, in a real headless Chromium: they log in there, the orchestrator sees
them and not the panel, and who has to log in again finds what they had typed."""

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.common.identity.oidc import LEEWAY_S
from services.common.identity.oidc_settings import OidcSettings
from tests.fakes.platform import Platform
from tests.identity_provider import COMMAND, PANEL, PANEL_SECRET, Provider, provider
from tests.integration.panel.served import CHROMIUM, FLAGS, served_panel
from tests.ports import free_port

WAIT_MS = 90_000
TYPED = "name: typed-by-hand"

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.timeout(600),  # a token has to expire, and a busy machine takes its time over each page
    pytest.mark.skipif(CHROMIUM is None, reason="required: chromium is not installed (apt-get install chromium)"),
]


@pytest.fixture
def people() -> Iterator[Provider]:
    with provider() as made:
        yield made


@pytest.fixture
def platform(people: Provider, tmp_path: Path) -> Iterator[Platform]:
    """A real orchestrator that trusts the provider."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def wait(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(60)

    async def made() -> Platform:
        settings = OidcSettings(issuer=people.issuer, audience=f"{COMMAND},{PANEL}")
        started = Platform(f"sqlite:///{tmp_path / 'retain.db'}", provider=settings)
        await started.start()
        return started

    served = wait(made())
    yield served
    wait(served.stop())
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


@pytest.fixture
def panel(people: Provider, platform: Platform, tmp_path: Path) -> Iterator[str]:
    """The panel as `python -m ui.panel` serves it, as a client of the provider."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RETAIN_")},
        "RETAIN_SERVER": f"127.0.0.1:{platform.port}",
        "RETAIN_EVALUATOR": f"127.0.0.1:{platform.port}",
        "RETAIN_HOME": str(tmp_path / "home"),
        "RETAIN_PANEL_PORT": str(port),
        "RETAIN_PANEL_URL": url,
        "RETAIN_OIDC_ISSUER": people.issuer,
        "RETAIN_PANEL_CLIENT_ID": PANEL,
        "RETAIN_PANEL_CLIENT_SECRET": PANEL_SECRET,
    }
    with served_panel(url, environ, within_s=120):
        yield url


def test_a_person_logs_in_and_again_when_the_session_has_expired(
    people: Provider, platform: Platform, panel: str
) -> None:
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1360, "height": 1200})
        page.set_default_timeout(WAIT_MS)
        expect.set_options(timeout=WAIT_MS)

        def log_in(who: str) -> None:
            page.get_by_role("button", name="Log in", exact=True).click()
            page.locator("input[name=who]").fill(who)
            page.get_by_role("button", name="Log in").click()

        text = page.get_by_label("Specification (YAML)")

        def drawn() -> None:
            """The page of a draft is drawn twice when it is entered, and what stood there first is shown until all of
            it was."""
            expect(page.get_by_role("button", name="Validate")).to_be_visible()
            expect(text).to_have_count(1)

        page.goto(panel)
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        expect(page.get_by_text("Log in with a token")).to_be_visible()
        # Nobody's groups: known, and still not let in.
        log_in("out")
        expect(page.get_by_text("the roles of this token are: none")).to_be_visible()

        people.lifetime_s = 15.0  # and LEEWAY_S
        log_in("ada")
        logged_in_s = time.monotonic()
        expect(page.get_by_role("heading", name="Training pipeline progress")).to_be_visible()
        cookies = {cookie["name"]: cookie for cookie in page.context.cookies()}
        assert cookies["_streamlit_user_tokens"]["httpOnly"]
        assert cookies["_streamlit_user_tokens"]["sameSite"] in ("Lax", "Strict")

        page.get_by_test_id("stTopNav").get_by_role("link", name="New pipeline").click()
        drawn()
        expect(text).to_be_visible()
        time.sleep(max(0.0, logged_in_s + people.lifetime_s + LEEWAY_S + 1 - time.monotonic()))
        text.fill(TYPED)
        page.get_by_role("button", name="Validate").click()
        expect(page.get_by_text("the token has expired").first).to_be_visible()
        expect(text).to_have_value(TYPED)

        people.lifetime_s = 3600.0
        log_in("ada")
        drawn()
        expect(text).to_have_value(TYPED)
        page.get_by_role("button", name="Validate").click()
        expect(page.get_by_text("in the spec")).to_be_visible()  # the server answers: a name alone is no spec
        expect(page.get_by_text("the token has expired")).to_have_count(0)

        # What one person typed is nobody else's, and a session that was ended is ended.
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        log_in("vic")
        expect(page.get_by_role("heading", name="Training pipeline progress")).to_be_visible()
        page.get_by_test_id("stTopNav").get_by_role("link", name="New pipeline").click()
        drawn()
        expect(text).not_to_have_value(TYPED)
        browser.close()
