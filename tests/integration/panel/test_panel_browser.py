"""The panel in a real headless Chromium: pages draw, a run is started by clicking, and it moves while one looks."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.site.pictures import Shot, take
from tests.fakes import scripted_runs
from tests.fakes.orchestrator_service import FakePlatform
from tests.integration.panel.served import CHROMIUM, FLAGS, served_panel
from tests.ports import free_port

WAIT_MS = 60_000

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="required: chromium is not installed (apt-get install chromium)"),
]


@pytest.fixture
def platform() -> Iterator[FakePlatform]:
    fake = FakePlatform()
    yield fake
    fake.stop()


@pytest.fixture
def panel(platform: FakePlatform, tmp_path) -> Iterator[str]:
    """The panel as `python -m ui.panel` serves it."""
    port = free_port()
    address = platform.start()
    environ = {
        **os.environ,
        "RETAIN_SERVER": address,
        "RETAIN_EVALUATOR": address,
        "RETAIN_PANEL_PORT": str(port),
        "RETAIN_HOME": str(tmp_path),
    }
    environ.pop("RETAIN_PANEL_BIND", None)
    url = f"http://127.0.0.1:{port}"
    with served_panel(url, environ, within_s=60):
        yield url


def test_a_person_walks_through_the_panel(platform: FakePlatform, panel: str, tmp_path: Path) -> None:
    from playwright.sync_api import expect, sync_playwright

    scripted_runs.finished(platform, "run-finished")
    submitted: list[str] = []

    def begin(run) -> None:
        submitted.append(run.spec.name)
        threading.Thread(
            target=scripted_runs.tell, args=(platform, run.id), kwargs={"pace_s": 0.02}, daemon=True
        ).start()

    platform.on_create = begin
    errors: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1360, "height": 1200})
        page.on("pageerror", lambda error: errors.append(str(error)))

        page.goto(panel)
        expect(page.get_by_role("heading", name="Training pipeline progress")).to_be_visible(timeout=WAIT_MS)

        page.get_by_role("link", name="New pipeline").click()
        expect(page.get_by_label("Specification (YAML)")).to_be_visible(timeout=WAIT_MS)
        page.get_by_role("button", name="Validate").click()
        expect(page.get_by_text("The server accepts it")).to_be_visible(timeout=WAIT_MS)

        page.get_by_role("button", name="Start").click()
        expect(page.get_by_role("heading", name="Decisions")).to_be_visible(timeout=WAIT_MS)
        # nothing is clicked from here on: the page follows the run by itself
        expect(page.get_by_text("Succeeded").first).to_be_visible(timeout=WAIT_MS)
        expect(page.get_by_role("heading", name="Accepted checkpoints")).to_be_visible(timeout=WAIT_MS)
        charts = page.get_by_test_id("stVegaLiteChart")
        expect(charts).to_have_count(2, timeout=WAIT_MS)
        for number in range(2):
            expect(charts.nth(number).locator("svg, canvas").first).to_be_visible(timeout=WAIT_MS)
        expect(page.locator("[data-testid=stException]")).to_have_count(0)

        page.get_by_role("link", name="Learn").click()
        expect(page.get_by_text("Production language models are not trained once")).to_be_visible(timeout=WAIT_MS)
        browser.close()
    assert submitted == ["demo-code"]
    assert errors == []
    assert CHROMIUM is not None
    made = take(panel, [Shot(name="operations", path="operations")], tmp_path, CHROMIUM)
    names = [f"operations-{width}-{theme}.png" for width in (1280, 390) for theme in ("light", "dark")]
    pictures = [path.read_bytes() for path in made]
    assert [path.name for path in sorted(tmp_path.glob("*.png"))] == sorted(names)
    assert [int.from_bytes(png[16:20]) for png in pictures] == [1280, 1280, 390, 390]  # the width in PNG's header
    assert len(set(pictures)) == 4
