"""Logins are kept for their user alone: in a keyring that works, else in a file."""

import json
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends.fail import Keyring as NoKeyring
from keyring.backends.null import Keyring as Forgetful
from keyring.errors import KeyringLocked, PasswordDeleteError

from ui.client.errors import ClientError
from ui.client.login.store import FILE, LoginStore, folder
from ui.client.login.value import Login

SERVER = "retain.example:7070"


class InMemory(KeyringBackend):
    """A keyring that works, until it is locked."""

    priority = 1  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[tuple[str, str], str] = {}
        self.locked = False

    def set_password(self, service: str, username: str, password: str) -> None:
        self.held[service, username] = password

    def get_password(self, service: str, username: str) -> str | None:
        if self.locked:
            raise KeyringLocked("locked")
        return self.held.get((service, username))

    def delete_password(self, service: str, username: str) -> None:
        if self.held.pop((service, username), None) is None:
            raise PasswordDeleteError("not there")


@pytest.fixture(autouse=True)
def backend() -> Iterator[None]:
    before = keyring.get_keyring()
    yield
    keyring.set_keyring(before)


def login(server: str = SERVER, token: str = "a.b.c") -> Login:
    answer = {"id_token": token, "refresh_token": "refresh-me", "expires_in": 300}
    return Login.of(answer, server=server, issuer="https://sso.example", client_id="retain", sends="id")


@pytest.mark.parametrize("broken", [NoKeyring, Forgetful])
def test_without_a_keyring_that_works_it_is_a_file_of_its_owner_alone(
    tmp_path: Path, broken: type[KeyringBackend]
) -> None:
    keyring.set_keyring(broken())
    store = LoginStore(tmp_path / "new")
    assert store.put(login()) == str(tmp_path / "new" / FILE)
    assert stat.S_IMODE((tmp_path / "new" / FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    kept = LoginStore(tmp_path / "new").get(SERVER)
    assert kept is not None
    assert (kept.token, kept.refresh_token) == ("a.b.c", "refresh-me")
    assert [path.name for path in (tmp_path / "new").iterdir()] == [FILE]


def test_a_keyring_that_works_has_it_and_the_file_has_no_secret(tmp_path: Path) -> None:
    ring = InMemory()
    keyring.set_keyring(ring)
    store = LoginStore(tmp_path)
    assert store.put(login()) == "the keyring"
    assert "refresh-me" not in (tmp_path / FILE).read_text()
    kept = LoginStore(tmp_path).get(SERVER)
    assert kept is not None
    assert (kept.token, kept.refresh_token) == ("a.b.c", "refresh-me")
    ring.locked = True
    with pytest.raises(ClientError, match="the keyring does not give the login"):
        store.get(SERVER)
    ring.locked = False
    store.remove(SERVER)
    assert (ring.held, store.get(SERVER), store.holds(SERVER)) == ({}, None, False)


def test_each_server_has_its_own(tmp_path: Path) -> None:
    keyring.set_keyring(NoKeyring())
    store = LoginStore(tmp_path)
    store.put(login())
    store.put(login("other.example:7070", "d.e.f"))
    store.remove(SERVER)
    assert (store.get(SERVER), store.holds("other.example:7070")) == (None, True)
    store.remove("never.example:1")


def test_a_file_that_others_read_or_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    keyring.set_keyring(NoKeyring())
    store = LoginStore(tmp_path)
    store.put(login())
    (tmp_path / FILE).chmod(0o640)
    with pytest.raises(ClientError, match="may be read by others"):
        store.get(SERVER)
    (tmp_path / FILE).chmod(0o600)
    for text in ("{", "[]"):
        (tmp_path / FILE).write_text(text)
        with pytest.raises(ClientError, match="the file of logins"):
            store.holds(SERVER)
    (tmp_path / FILE).write_text(json.dumps({SERVER: {"token": "t"}}))
    with pytest.raises(ClientError, match="holds no login of this version"):
        store.get(SERVER)


def test_whoever_never_logged_in_has_no_file_and_needs_none(tmp_path: Path) -> None:
    assert LoginStore(tmp_path / "none").get(SERVER) is None
    assert not (tmp_path / "none").exists()
    (tmp_path / "file").write_text("")
    assert not LoginStore(tmp_path / "file" / "below").holds(SERVER)
    assert folder({"XDG_CONFIG_HOME": "/c"}) == Path("/c/retain")


def test_nothing_that_is_secret_is_shown() -> None:
    made = login(token="secret-token")
    assert "secret-token" not in repr(made)
    assert "refresh-me" not in repr(made)


def test_a_login_ends_when_its_token_says_so() -> None:
    for token in ("opaque", "a.b.c", "a.e30.c", "a.bnVsbA.c"):
        made = login(token=token)
        assert made.expires_s == pytest.approx(time.time() + 300, abs=20)
        assert made.expires_s - made.refresh_s == pytest.approx(60, abs=1)
    signed = "h.eyJleHAiOiAxMDB9.s"  # {"exp": 100}
    assert login(token=signed).expires_s == 100
    with pytest.raises(ClientError, match="gave no id token"):
        Login.of({"access_token": "x"}, server=SERVER, issuer="i", client_id="c", sends="id")
