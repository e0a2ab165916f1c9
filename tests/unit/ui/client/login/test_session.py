"""A login stays good: renewed before its end, by one client at a time, and not at all once it was ended."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import keyring
import pytest
from keyring.backends.fail import Keyring as NoKeyring

from tests.identity_provider import COMMAND, Provider, provider
from ui.client.errors import RefusedByServer, Unreachable
from ui.client.login import device_flow
from ui.client.login.session import AGAIN_AFTER_S, StoredLogin
from ui.client.login.store import LoginStore
from ui.client.login.value import Login

SERVER = "retain.example:7070"


@pytest.fixture
def people() -> Iterator[Provider]:
    before = keyring.get_keyring()
    keyring.set_keyring(NoKeyring())
    with provider() as made:
        yield made
    keyring.set_keyring(before)


@pytest.fixture
def store(people: Provider, tmp_path: Path) -> LoginStore:
    """With a login, as `retain login` makes it."""
    flow = device_flow.Provider(people.issuer, COMMAND, scopes="openid offline_access")
    started = flow.begin()
    people.allow(started.user_code)
    answer = flow.wait(started, sleep=lambda _: None)
    made = LoginStore(tmp_path)
    made.put(Login.of(answer, server=SERVER, issuer=people.issuer, client_id=COMMAND, sends="id"))
    return made


class Later:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.by_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.by_s


def test_it_is_renewed_before_it_ends_and_not_sooner(people: Provider, store: LoginStore) -> None:
    clock = Later()
    held = StoredLogin(SERVER, store=store, now_s=clock)
    first, asked = held.token(), len(people.asked)
    assert held.token() == first
    assert len(people.asked) == asked
    clock.by_s, people.lifetime_s = 3550, 7200
    second = held.token()
    assert second != first
    assert LoginStore(store._file.parent).get(SERVER).token == second  # type: ignore[union-attr]
    assert held.token() == second
    assert people.asked[asked:] == ["/.well-known/openid-configuration", "/token"]


def test_of_many_clients_one_renews_it(people: Provider, store: LoginStore) -> None:
    """Refresh tokens are good once: a second use is what a thief does."""
    clock = Later()
    clock.by_s, people.lifetime_s = 3550, 7200
    found: list[str | None] = []
    asked = people.asked.count("/token")
    clients = [StoredLogin(SERVER, store=LoginStore(store._file.parent), now_s=clock) for _ in range(8)]
    threads = [threading.Thread(target=lambda one=one: found.append(one.token())) for one in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(found), len(set(found)), people.asked.count("/token") - asked) == (8, 1, 1)


def test_while_the_provider_is_away_the_token_is_used_to_its_end(people: Provider, store: LoginStore) -> None:
    clock = Later()
    held = StoredLogin(SERVER, store=store, now_s=clock)
    first = held.token()
    people.stop()
    clock.by_s = 3550
    assert held.token() == first
    people.restart()
    asked = len(people.asked)
    assert held.token() == first
    assert len(people.asked) == asked, "not asked again in every call"
    people.stop()
    clock.by_s = 3601
    with pytest.raises(Unreachable, match="does not answer as one"):
        held.token()
    people.restart()
    people.lifetime_s = 7200
    clock.by_s += AGAIN_AFTER_S
    assert held.token() != first


def test_a_login_that_was_ended_says_what_to_do(people: Provider, store: LoginStore) -> None:
    clock = Later()
    held = StoredLogin(SERVER, store=store, now_s=clock)
    held.token()
    people.refreshes.clear()
    clock.by_s = 3601
    with pytest.raises(RefusedByServer, match="`retain login` makes a new one") as caught:
        held.token()
    assert caught.value.reason == "LOGIN_EXPIRED"
    store.remove(SERVER)
    assert StoredLogin(SERVER, store=store, now_s=clock).token() is None
