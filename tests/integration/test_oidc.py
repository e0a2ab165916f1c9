"""People of a real identity provider, end to end: the command logs in by the device flow, and the orchestrator lets in
whom the provider signed for and nobody else."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keyring
import pytest
import streamlit as st
from keyring.backends.fail import Keyring as NoKeyring
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

from services.common.identity.oidc_settings import OidcSettings
from services.evaluator.adapters.callers import AskOrchestrator
from tests.fakes.platform import Platform
from tests.identity import ADMIN, channel
from tests.identity_provider import PANEL, Provider, provider, settings
from ui.cli import app
from ui.client import Address
from ui.client.client import RetainClient
from ui.client.errors import BadInput, RefusedByServer
from ui.panel.session import provider as panel_provider
from ui.panel.session.provider import PanelClient

pytestmark = pytest.mark.integration
APP = Path(__file__).resolve().parents[2] / "ui" / "panel" / "app.py"


@pytest.fixture
def people() -> Iterator[Provider]:
    with provider() as made:
        yield made


@pytest.fixture
def address(people: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A real orchestrator that trusts the provider; the environment names it and no token."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def wait(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(60)

    for name, value in settings(people.issuer).items():
        monkeypatch.setenv(name, value)

    async def made() -> Platform:
        platform = Platform(f"sqlite:///{tmp_path / 'retain.db'}", provider=OidcSettings())
        await platform.start()
        return platform

    platform = wait(made())
    found = f"127.0.0.1:{platform.port}"
    monkeypatch.setenv("RETAIN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("RETAIN_SERVER", found)
    monkeypatch.setenv("RETAIN_EVALUATOR", found)
    monkeypatch.delenv("RETAIN_TOKEN", raising=False)
    before = keyring.get_keyring()
    keyring.set_keyring(NoKeyring())
    yield found
    keyring.set_keyring(before)
    wait(platform.stop())
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


def retain(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(words))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def log_in(people: Provider, who: str, *, allowed: bool = True) -> tuple[int, str, str]:
    """`retain login`, while the person answers in a browser."""
    known = set(people.devices)

    def answer() -> None:
        while not (new := set(people.devices) - known):
            time.sleep(0.02)
        people.allow(people.devices[new.pop()]["user_code"], who, allowed=allowed)

    threading.Thread(target=answer, daemon=True).start()
    return retain("login")


def test_a_login_from_its_beginning_to_its_end(people: Provider, address: str, tmp_path: Path) -> None:
    assert retain("whoami")[0] == 4
    code, _, said = log_in(people, "ada")
    assert code == 0, said
    assert f"Open {people.issuer}/device?user_code=" in said
    assert f"Logged in to {address} as oidc:ada (operator)" in said
    assert retain("whoami")[:2] == (0, "oidc:ada (user): operator; projects: default\n")
    assert retain("list")[0] == 0
    code, _, said = retain("tokens", "list")
    assert (code, "needs tokens.manage" in said) == (4, True)
    assert json.loads(retain("whoami", "--json")[1])["subject"] == "oidc:ada"
    assert retain("logout")[2] == f"Logged out of {address}\n"
    assert people.refreshes == {}, "the provider renews nothing"
    assert retain("whoami")[0] == 4
    assert "There was no login" in retain("logout")[2]


def test_a_client_outlives_its_token_and_others_of_the_same_user_find_the_new_one(
    people: Provider, address: str
) -> None:
    people.lifetime_s = 8
    assert log_in(people, "ada")[0] == 0
    found = Address.from_env()
    assert (found.token, found.login) == (None, True)
    with RetainClient(found) as client:
        assert client.list_runs() == []
        before = client._credentials.metadata()
        deadline = time.monotonic() + 60
        while client._credentials.metadata() == before:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        assert client.list_runs() == []
        with RetainClient(Address.from_env()) as another:
            assert another.identity.who_am_i().subject == "oidc:ada"


def test_who_says_no_or_is_in_no_group_gets_nothing(people: Provider, address: str) -> None:
    code, _, said = log_in(people, "ada", allowed=False)
    assert (code, "refused" in said) == (4, True)
    code, _, said = log_in(people, "out")
    assert (code, "the roles of this token are: none" in said) == (4, True)
    assert retain("whoami")[0] == 4
    assert not Address.from_env().login, "a login that lets nobody in is not kept"


def test_a_token_that_was_named_counts_more_and_another_server_gets_none(
    people: Provider, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert log_in(people, "vic")[0] == 0
    monkeypatch.setenv("RETAIN_TOKEN", ADMIN)
    assert retain("whoami")[1].startswith("admin ")
    monkeypatch.delenv("RETAIN_TOKEN")
    monkeypatch.setenv("RETAIN_SERVER", address.replace("127.0.0.1", "localhost"))
    assert not Address.from_env().login
    with pytest.raises(BadInput, match="token would travel"):
        RetainClient(Address(orchestrator="far.example:7070", login=True))


def test_without_a_provider_login_says_what_there_is_instead(
    people: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def served() -> tuple[int, str, str]:
        platform = Platform(f"sqlite:///{tmp_path / 'retain.db'}")
        monkeypatch.setenv("RETAIN_SERVER", f"127.0.0.1:{await platform.start()}")
        try:
            return await asyncio.to_thread(retain, "login")
        finally:
            await platform.stop()

    code, _, said = asyncio.run(served())
    assert (code, "has no identity provider; its people have tokens" in said) == (1, True)


def test_forged_tokens_stay_out_and_the_evaluator_knows_people_too(people: Provider, address: str) -> None:
    good = people.token("ada")
    bad = {
        "TOKEN_EXPIRED": people.token(exp=int(time.time()) - 60),
        "TOKEN_AUDIENCE": people.token(aud="another"),
        "TOKEN_ISSUER": people.token(iss="https://evil.example"),
        "TOKEN_FORGED": good[:-8] + "AAAAAAAA",
        "TOKEN_ALGORITHM": "eyJhbGciOiJub25lIn0." + good.split(".")[1] + ".",
    }
    for reason, token in bad.items():
        with RetainClient(Address(orchestrator=address, token=token)) as client:
            with pytest.raises(RefusedByServer) as caught:
                client.list_runs()
            assert caught.value.reason == reason
    with channel(address, token="") as line:
        found = asyncio.run(AskOrchestrator(line).authenticate(good))
        assert found is not None
        assert found.subject == "oidc:ada"


# --- the panel, without a browser


class Person(dict[str, Any]):
    """Stands in for `st.user`: who the cookie of a browser says it is."""

    is_logged_in = True

    def __init__(self, who: str, token: str) -> None:
        super().__init__(iss="https://sso.example", sub=who)
        self.tokens = {"id": token}


def test_a_panel_session_that_expired_finds_its_page_and_texts_again(
    people: Provider, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = PanelClient(
        issuer=people.issuer, url="http://127.0.0.1:1", client_id=PANEL, client_secret="s", cookie_secret="c"
    )
    monkeypatch.setattr(panel_provider, "_installed", client)
    sent_away: list[str] = []
    monkeypatch.setattr(st, "login", lambda: sent_away.append("login"))
    ada = Person("ada", people.token("ada", aud=PANEL))
    monkeypatch.setattr(st, "user", ada)
    at = opened()
    assert "Log in" not in [title.value for title in at.title]
    at.switch_page("app_pages/new_run.py").run()
    typed = "name: typed-by-hand\n"
    at.text_area[0].set_value(typed).run()
    ada.tokens["id"] = people.token("ada", aud=PANEL, exp=int(time.time()) - 60)
    at.button(key="validate").click().run()
    assert any("the token has expired" in error.value for error in at.error)
    assert at.text_area[0].value == typed
    at.button(key="retain_login").click().run()
    assert sent_away == ["login"]
    # Somebody else at the same browser finds nothing of it; the same person does, once.
    monkeypatch.setattr(st, "user", Person("vic", people.token("vic", aud=PANEL)))
    assert not opened().text_area
    monkeypatch.setattr(st, "user", Person("ada", people.token("ada", aud=PANEL)))
    assert [area.value for area in opened().text_area] == [typed]
    assert not opened().text_area
    st.cache_resource.clear()


def opened() -> AppTest:
    at = AppTest.from_file(str(APP), default_timeout=60)
    at.run()
    assert not at.exception
    return at
