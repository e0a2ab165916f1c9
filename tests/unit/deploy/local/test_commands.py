"""up and down with real processes: whatever was killed or damaged, down leaves nothing of ours and all of others."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from deploy.local import commands
from deploy.local.commands import StackFailed, begin, console, down
from deploy.local.home import Damaged, Home
from deploy.local.processes import MARK, Identity, marked
from deploy.local.supervisor import supervisor_of, survivors

NAMES = ("object_store", "ray", "supervisor")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A home whose supervisors keep stand-ins."""
    place = Home(path=tmp_path / "home")
    place.prepare()

    def start(home: Home, *, with_parent: bool, only: str | None) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.unit.deploy.stand_ins", str(home.path), *([only] if only else [])]
        with home.log_file("supervisor").open("ab") as log:
            env = {**os.environ, MARK: home.mark("supervisor")}
            return subprocess.Popen(command, stdout=log, stderr=log, env=env, start_new_session=True)

    monkeypatch.setattr(commands, "_start_supervisor", start)
    monkeypatch.setattr(commands, "HOLDS", {"object_store": (), "ray": ()})
    monkeypatch.setattr(commands, "UP_TIMEOUT_S", 30)
    yield place
    for name in NAMES:
        for process in marked(place.mark(name)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def until(condition: Callable[[], bool], what: str, timeout_s: float = 15) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}"
        time.sleep(0.02)


def up(home: Home, only: str | None = None) -> None:
    begin(home, console(quiet=True), only=only)


def ours(home: Home) -> set[int]:
    return {process.pid for name in NAMES for process in marked(home.mark(name))}


def kill_supervisor(home: Home) -> dict[str, Identity]:
    """As the kernel does when memory is short. Returns the programs that continue."""
    supervisor = supervisor_of(home.read_record())
    assert supervisor is not None
    os.kill(supervisor.pid, signal.SIGKILL)
    until(lambda: not supervisor.running(), "its end")
    return survivors(home.read_record())


def test_programs_that_were_not_named_again_are_taken_over_and_ended(home: Home) -> None:
    up(home)
    before = kill_supervisor(home)
    assert set(before) == {"object_store", "ray"}
    up(home, only="object_store")
    assert survivors(home.read_record()) == before, "taken over as they are, and not forgotten"
    down(home, quiet=True)
    assert ours(home) == set()
    assert not any(identity.running() for identity in before.values())


def test_down_ends_what_a_killed_supervisor_left(home: Home) -> None:
    up(home)
    helper = int((home.path / "ray.flag").read_text())
    left = kill_supervisor(home)
    os.kill(left["ray"].pid, signal.SIGKILL)  # only its helper is left of it, and the record knows nothing of that
    until(lambda: not left["ray"].running(), "its end")
    assert psutil.pid_exists(helper)
    down(home, quiet=True)
    assert ours(home) == set()
    assert not psutil.pid_exists(helper) or psutil.Process(helper).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("damage", ["{half", "[]", '{"processes": {"ray": {}}}'])
def test_a_damaged_record_hides_nobody_from_down(home: Home, damage: str) -> None:
    up(home)
    (home.path / "processes.json").write_text(damage)
    with pytest.raises(StackFailed, match=r"processes\.json is damaged.*`retain down` ends what runs"):
        up(home)
    down(home, quiet=True)
    assert ours(home) == set()
    up(home)  # and all is well again
    assert set(survivors(home.read_record())) == {"object_store", "ray"}
    down(home, quiet=True)


def test_a_damaged_record_of_a_dead_supervisor_is_replaced(home: Home) -> None:
    up(home)
    kill_supervisor(home)
    (home.path / "processes.json").write_bytes(b"\xff\xfe\x00")
    before = ours(home)
    up(home)
    assert set(survivors(home.read_record())) == {"object_store", "ray"}
    assert not before & ours(home), "two programs on the same data"
    down(home, quiet=True)
    assert ours(home) == set()


def test_up_starts_what_an_earlier_up_left_out_and_stops_nothing(home: Home) -> None:
    up(home, only="object_store")
    first = survivors(home.read_record())
    assert set(first) == {"object_store"}
    up(home)
    both = survivors(home.read_record())
    assert set(both) == {"object_store", "ray"}
    assert both["object_store"] == first["object_store"]
    down(home, quiet=True)
    assert ours(home) == set()


def test_two_at_the_same_moment_start_one_stack(home: Home) -> None:
    failed: list[BaseException] = []

    def one() -> None:
        try:
            up(home)
        except BaseException as error:  # noqa: BLE001 - told by the test
            failed.append(error)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(marked(home.mark("object_store"))) == 1
    until(lambda: len(marked(home.mark("supervisor"))) == 1, "one supervisor")
    down(home, quiet=True)
    assert ours(home) == set()


def test_a_reused_pid_is_left_alone(home: Home) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        now = Identity.of(stranger.pid).as_record()
        then = {**now, "started": now["started"] - 1}
        record = {"state": "healthy", "supervisor": then, "processes": {"ray": {"state": "ready", **then}}}
        home.write_record(record)
        up(home)
        assert set(survivors(home.read_record())) == {"object_store", "ray"}
        down(home, quiet=True)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_lock_of_a_dead_supervisor_holds_nobody_up(home: Home) -> None:
    up(home)
    kill_supervisor(home)
    assert (home.path / "supervisor.lock").exists()
    until(lambda: not home.is_supervised(), "the end of its last thread")
    up(home)
    assert home.is_supervised()
    down(home, quiet=True)


def test_down_twice_is_down(home: Home) -> None:
    up(home)
    down(home, quiet=True)
    assert down(home, quiet=True) == 0
    assert not (home.path / "processes.json").exists()


def test_a_supervisor_that_does_not_react_is_ended(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "DOWN_TIMEOUT_S", 0.3)
    up(home)
    supervisor = supervisor_of(home.read_record())
    assert supervisor is not None
    os.kill(supervisor.pid, signal.SIGSTOP)
    down(home, quiet=True)
    assert ours(home) == set()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ports.json", '{"ray": "8265"}'),
        ("ports.json", '{"ray": 99999}'),
        ("ports.json", "{"),
        ("credentials.json", '{"access_key": "a"}'),
        ("credentials.json", '{"access_key": "a", "secret_key": 5}'),
        ("ray_token", ""),
    ],
)
def test_a_damaged_file_is_named_with_the_remedy(home: Home, name: str, text: str) -> None:
    home.credentials()
    (home.path / name).write_text(text)
    with pytest.raises(Damaged, match=rf"{name.replace('.', '[.]')} is damaged.*remove it and start again"):
        home.read_ports() if name == "ports.json" else home.credentials()


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(Damaged, match="home is not a folder; set RETAIN_HOME to one"):
        Home(path=tmp_path / "home").prepare()


def test_a_disk_that_is_full_before_the_start_is_told_with_its_path(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="disk full") as caught:
        up(home)
    assert str(caught.value.filename).startswith(str(home.path))
    assert ours(home) == set()


def test_halves_of_a_killed_writer_are_removed_and_those_of_a_living_one_stay(home: Home) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    dead, living = home.path / f".ports.json.{gone.pid}.half", home.path / f".ports.json.{os.getpid()}.half"
    dead.write_text("{"), living.write_text("{")
    with home.supervised():
        assert not dead.exists()
        assert living.exists()


def test_links_to_a_home_lead_to_the_same_home(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert Home.at(tmp_path / "link") == Home.at(tmp_path / "real")
