"""Tokens that a service starts with: from the environment or from files of its home, and never weak ones."""

import stat
import threading
from pathlib import Path

import pytest

from retain.values.addresses import is_loopback
from services.common.errors import FailedPrecondition, InvalidInput, Unavailable
from services.common.identity.access import Guarded, OpenToAll
from services.common.identity.principal import Role
from services.common.identity.settings import IdentitySettings
from services.common.identity.token_file import read_or_make
from services.common.tls.plain_text import check_plain_text
from tests.identity import ADMIN, KNOWN, SERVICE


async def test_without_settings_both_tokens_are_made_in_the_home(tmp_path: Path) -> None:
    first, second = IdentitySettings(home=tmp_path / "new"), IdentitySettings(home=tmp_path / "new")
    assert (first.admin, first.service) == (second.admin, second.service)
    assert len({first.admin, first.service}) == 2
    for name in ("token", "service_token"):
        assert stat.S_IMODE((tmp_path / "new" / name).stat().st_mode) == 0o600
    admin, service = await second.known().authenticate(first.admin), await second.known().authenticate(first.service)
    assert admin
    assert service
    assert (admin.roles, service.roles) == ({Role.ADMIN}, {Role.SERVICE})
    assert await second.known().authenticate("another") is None


def test_tokens_come_from_the_environment_and_are_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETAIN_ADMIN_TOKEN", ADMIN)
    (tmp_path / "s").write_text(f"{SERVICE}\n")
    (tmp_path / "s").chmod(0o600)
    monkeypatch.setenv("RETAIN_SERVICE_TOKEN_FILE", str(tmp_path / "s"))
    settings = IdentitySettings(home=tmp_path)
    assert (settings.admin, settings.service) == (ADMIN, SERVICE)
    assert ADMIN not in repr(settings)


@pytest.mark.parametrize("token", ["", "changeme", "x" * 31])
def test_empty_default_and_short_secrets_are_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("RETAIN_SERVICE_TOKEN", token)
    with pytest.raises(InvalidInput, match=f"RETAIN_SERVICE_TOKEN: got {len(token)} characters") as caught:
        _ = IdentitySettings(home=tmp_path).service
    assert not token or token not in str(caught.value)


def test_one_token_for_both_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETAIN_SERVICE_TOKEN", ADMIN)
    monkeypatch.setenv("RETAIN_ADMIN_TOKEN", ADMIN)
    with pytest.raises(InvalidInput, match="two different ones"):
        IdentitySettings(home=tmp_path).known()


def test_a_file_that_others_read_or_that_is_cut_is_refused(tmp_path: Path) -> None:
    read_or_make(tmp_path / "token")
    (tmp_path / "token").chmod(0o640)
    with pytest.raises(FailedPrecondition, match="mode 640"):
        read_or_make(tmp_path / "token")
    (tmp_path / "token").chmod(0o600)
    (tmp_path / "token").write_text("cut")
    with pytest.raises(FailedPrecondition, match="holds 3 characters"):
        read_or_make(tmp_path / "token")
    with pytest.raises(Unavailable, match="cannot be read or made"):
        read_or_make(tmp_path / "token" / "below-a-file")


def test_of_many_who_make_a_token_at_once_all_read_the_same(tmp_path: Path) -> None:
    found: list[str] = []
    barrier = threading.Barrier(8)

    def make() -> None:
        barrier.wait()
        found.append(read_or_make(tmp_path / "home" / "token"))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(found), len(set(found))) == (8, 1)
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["token"]


def test_access_control_is_off_only_where_it_is_said_and_on_loopback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(IdentitySettings(home=tmp_path).access(KNOWN, bind="127.0.0.1:1"), Guarded)
    monkeypatch.setenv("RETAIN_NO_ACCESS_CONTROL", "1")
    settings = IdentitySettings(home=tmp_path)
    assert isinstance(settings.access(KNOWN, bind="[::1]:1"), OpenToAll)
    for bind in ("0.0.0.0:7070", "10.0.0.1:7070", "[::]:7070", "host.example:1"):
        with pytest.raises(InvalidInput, match="RETAIN_NO_ACCESS_CONTROL: is set"):
            settings.access(KNOWN, bind=bind)


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("0.0.0.0:1", False),
        ("10.0.0.1:1", False),
        ("localhost.example:1", False),
        ("127.0.0.1.example:7070", False),
        ("", False),
    ],
)
def test_a_token_travels_in_plain_text_on_loopback_alone(address: str, loopback: bool) -> None:
    assert is_loopback(address) is loopback
    check_plain_text(address, {"RETAIN_ALLOW_PLAIN_TEXT": "1"})
    if loopback:
        check_plain_text(address, {})
    else:
        with pytest.raises(InvalidInput, match="RETAIN_TLS_CA: is not set"):
            check_plain_text(address, {"RETAIN_ALLOW_PLAIN_TEXT": "yes"})
