"""RETAIN_HOME: secrets that only the owner reads, one supervisor at a time, ports that stay."""

import socket
import stat
from pathlib import Path

import pytest

from deploy.local.components import components, endpoints, without_secrets
from deploy.local.home import AlreadySupervised, Home
from deploy.local.listening import Listening
from deploy.local.ports import DEFAULTS, LOOPBACK, choose


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(path=tmp_path / "home")
    home.prepare()
    return home


def test_secrets_are_made_once_and_readable_by_their_owner_only(home: Home) -> None:
    first = home.credentials()
    assert home.credentials() == first
    assert len(first.ray_token) == 64
    for name in ("credentials.json", "ray_token"):
        assert stat.S_IMODE((home.path / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(home.path.stat().st_mode) == 0o700


def test_a_home_takes_one_supervisor(home: Home) -> None:
    with home.supervised(), pytest.raises(AlreadySupervised, match="has a supervisor already"), home.supervised():
        raise AssertionError("two supervisors in one home")
    with home.supervised():
        assert (home.path / "supervisor.lock").exists()


def test_a_damaged_record_is_named(home: Home) -> None:
    (home.path / "processes.json").write_text("{half")
    with pytest.raises(RuntimeError, match=r"processes\.json is damaged"):
        home.read_record()


def test_a_taken_port_is_passed_over_and_the_choice_is_kept() -> None:
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        taken = other.getsockname()[1]
        ports = choose({"orchestrator": taken})
        assert ports["orchestrator"] != taken
        assert choose({"orchestrator": taken}, frozenset({"orchestrator"}))["orchestrator"] == taken
    assert len(set(ports.values())) == len(DEFAULTS)
    assert choose(ports) == ports


def test_every_program_is_told_about_loopback_only(home: Home) -> None:
    ports = {name: 20_000 + n for n, name in enumerate(DEFAULTS)}
    for address in endpoints(ports, Listening()).values():
        assert address.removeprefix("http://").startswith("127.0.0.1:")
    for one in components(home, ports, {}):
        assert not any("0.0.0.0" in word for word in one.command)
        assert not any("0.0.0.0" in value for value in one.env.values())


def test_the_keys_of_the_store_reach_the_orchestrator_alone(home: Home) -> None:
    secret = home.credentials().secret_key
    ports = {name: 20_000 + n for n, name in enumerate(DEFAULTS)}
    holders = {one.name for one in components(home, ports, {}) if secret in one.env.values()}
    assert holders - {"object_store"} == {"orchestrator"}
    for one in components(home, ports, {}):
        assert not any(secret in word for word in one.command), "a command line is readable by every user"


def test_what_the_panel_shows_an_identity_provider_reaches_the_panel_alone(home: Home) -> None:
    ports = {name: 20_000 + n for n, name in enumerate(DEFAULTS)}
    given = {
        "RETAIN_PANEL_CLIENT_SECRET": "s",
        "RETAIN_PANEL_COOKIE_SECRET_FILE": "f",
        "RETAIN_OIDC_ISSUER": "https://i",
    }
    has = {one.name: given.keys() & one.env.keys() for one in components(home, ports, given)}
    assert has.pop("panel") == given.keys()
    assert set(map(frozenset, has.values())) == {frozenset({"RETAIN_OIDC_ISSUER"})}


def test_what_the_caller_has_for_other_places_is_not_passed_on() -> None:
    came = {
        "AWS_SECRET_ACCESS_KEY": "x",
        "RAY_ADDRESS": "auto",
        "RETAIN_TOKEN": "t",
        "RETAIN_SERVER": "h:1",
        "RETAIN_ADMIN_TOKEN": "t",
        "RETAIN_SERVICE_TOKEN_FILE": "f",
        "RETAIN_NO_ACCESS_CONTROL": "1",
        "LANG": "C",
    }
    assert without_secrets(came) == {"LANG": "C"}
