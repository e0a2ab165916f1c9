"""The device flow with a real provider: what it asks a person to do, and what is made of each answer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.certificates import Authority
from tests.identity_provider import COMMAND, Provider, provider
from tests.tls import Folder
from ui.client.errors import MissingExtra, RefusedByServer, Unreachable
from ui.client.login import device_flow


@pytest.fixture
def people() -> Iterator[Provider]:
    with provider() as made:
        yield made


def flow(people: Provider, **settings: Any) -> device_flow.Provider:
    return device_flow.Provider(people.issuer, COMMAND, **({"scopes": "openid offline_access"} | settings))


def test_a_person_agrees_after_a_while(people: Provider) -> None:
    made = flow(people)
    started = made.begin()
    assert started.where == f"{people.issuer}/device?user_code={started.user_code}"
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            people.allow(started.user_code, "ada")

    answer = made.wait(started, sleep=sleep)
    assert slept == [1.0, 1.0, 1.0]
    assert {"id_token", "access_token", "refresh_token"} <= set(answer)
    assert started.device_code not in repr(started)
    renewed = made.refresh(answer["refresh_token"])
    assert renewed["refresh_token"] != answer["refresh_token"]
    with pytest.raises(RefusedByServer):
        made.refresh(answer["refresh_token"])
    assert made.revoke(renewed["refresh_token"])
    with pytest.raises(RefusedByServer):
        made.refresh(renewed["refresh_token"])


def test_a_person_says_no(people: Provider) -> None:
    made = flow(people)
    started = made.begin()
    people.allow(started.user_code, allowed=False)
    with pytest.raises(RefusedByServer, match="refused"):
        made.wait(started, sleep=lambda _: None)


def test_nobody_answers_in_time(people: Provider) -> None:
    made = flow(people)
    started = made.begin()
    people.devices[started.device_code]["expires_at"] = 0
    with pytest.raises(RefusedByServer, match="refused"):
        made.wait(started, sleep=lambda _: None)
    late = device_flow.Started(where="", user_code="", device_code="d", interval_s=1.0, expires_s=0.0)
    with pytest.raises(RefusedByServer, match="nobody confirmed the code in time"):
        made.wait(late, sleep=lambda _: None)


def test_who_asks_too_often_waits_longer_and_who_finds_nobody_asks_again(
    people: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    from authlib.integrations.base_client import OAuthError

    made = flow(people)
    started = made.begin()
    faults = [OAuthError("slow_down"), Unreachable("away"), OAuthError("authorization_pending")]
    token = made._token

    def answers(**arguments: str) -> Any:
        if faults:
            raise faults.pop(0)
        return token(**arguments)

    monkeypatch.setattr(made, "_token", answers)
    people.allow(started.user_code)
    slept: list[float] = []
    assert "id_token" in made.wait(started, sleep=slept.append)
    assert slept == [1.0, 6.0, 12.0, 12.0]


def test_a_provider_without_the_device_flow_or_of_another_name(people: Provider) -> None:
    with pytest.raises(RefusedByServer, match="refused"):
        device_flow.Provider(people.issuer, "unknown-client").begin()
    other = people.issuer.replace("127.0.0.1", "localhost")
    with pytest.raises(RefusedByServer, match="its discovery document is of"):
        device_flow.Provider(other, COMMAND).begin()
    made = flow(people)
    made._endpoints = {"issuer": people.issuer, "token_endpoint": f"{people.issuer}/token"}
    with pytest.raises(RefusedByServer, match="it has no device authorization endpoint"):
        made.begin()
    people.stop()
    with pytest.raises(Unreachable):
        flow(people).begin()


def test_a_provider_with_a_certificate_of_the_installations_own_authority(tmp_path: Path) -> None:
    files = Folder(tmp_path, Authority.new("tests"))
    with provider(tls=(str(files.cert), str(files.key))) as people:
        assert flow(people, ca=str(files.ca)).begin().where.startswith("https://")
        with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
            flow(people).begin()


@pytest.mark.parametrize("issuer", ["http://sso.example", "file:///etc/passwd", "http://127.0.0.1.evil.example", ""])
def test_a_provider_that_would_get_tokens_in_plain_text_is_refused(issuer: str) -> None:
    device_flow._check("https://sso.example")
    with pytest.raises(RefusedByServer, match="expected https://"):
        device_flow._check(issuer)


def test_without_the_extra_it_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "authlib.integrations.requests_client", None)
    with pytest.raises(MissingExtra, match=r"pip install 'retain\[login\]'"):
        device_flow.Provider("https://sso.example", COMMAND)
