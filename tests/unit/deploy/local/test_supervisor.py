"""The supervisor with stand-in programs: starts, restarts, adopts, gives up with the reason, ends in order."""

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.local import process_monitor
from deploy.local import supervisor as supervisor_module
from deploy.local.components import Component
from deploy.local.home import Home
from deploy.local.process_monitor import ProcessMonitor, Status
from deploy.local.processes import Identity, end, start
from deploy.local.supervisor import Supervisor, supervisor_of, survivors
from tests.unit.deploy.stand_ins import DIE, SERVE, component


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(path=tmp_path / "home")
    home.prepare()
    return home


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_monitor, "BACKOFF_S", (0.05,))
    monkeypatch.setattr(process_monitor, "POLL_S", 0.02)


def until(condition: Callable[[], bool], what: str, timeout_s: float = 15) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}"
        time.sleep(0.02)


class Watched:
    """A monitor on a thread with all that it said."""

    def __init__(self, one: Component, home: Home, adopt: Identity | None = None) -> None:
        self.stopping, self.said = threading.Event(), list[Status]()
        self.monitor = ProcessMonitor(one, home, self.said.append, self.stopping, adopt)
        self.monitor.start()

    def until(self, state: str, *, restarts: int = 0) -> Status:
        until(lambda: any(s.state == state and s.restarts >= restarts for s in list(self.said)), f"{state}")
        return next(s for s in reversed(self.said) if s.state == state)

    def finish(self) -> None:
        self.stopping.set()
        self.monitor.join(timeout=10)
        self.monitor.finish()


def test_a_dead_program_is_started_again(home: Home, tmp_path: Path) -> None:
    watched = Watched(component("ray", SERVE, tmp_path), home)
    try:
        first = watched.until("ready").process
        assert first is not None
        os.kill(first.pid, 9)
        second = watched.until("ready", restarts=1).process
        assert second is not None
        assert second != first
        assert second.running()
        assert "exit code -9" in watched.until("restarting").error
    finally:
        watched.finish()
    assert not second.running()


def test_a_program_that_runs_and_ails_is_started_again(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_monitor, "HEALTH_S", 0.05)
    said = ["", "writes no more"]
    one = replace(component("object_store", SERVE, tmp_path), ailment=lambda: said.pop(0) if said else "")
    watched = Watched(one, home)
    try:
        first = watched.until("ready").process
        second = watched.until("ready", restarts=1).process
        assert first is not None
        assert second is not None
        assert second != first
        assert not first.running()
        assert watched.until("restarting").error == "writes no more"
    finally:
        watched.finish()


def test_a_program_that_dies_at_every_start_is_given_up_with_the_end_of_its_log(home: Home, tmp_path: Path) -> None:
    watched = Watched(component("evaluator", DIE, tmp_path), home)
    failed = watched.until("failed")
    assert "exit code 7" in failed.error
    assert "no such option: --colour" in failed.error
    assert home.log_file("evaluator").read_text().count("--colour") == process_monitor.STARTS_BEFORE_GIVING_UP
    watched.finish()


def test_a_survivor_is_adopted_not_started_twice(home: Home, tmp_path: Path) -> None:
    one = component("orchestrator", SERVE, tmp_path)
    before = Watched(one, home)
    survivor = before.until("ready").process
    before.stopping.set()
    before.monitor.join(timeout=10)  # as if the supervisor had died: nobody ended the program
    after = Watched(one, home, adopt=survivor)
    try:
        assert after.until("ready").process == survivor
    finally:
        after.finish()
    assert survivor is not None
    assert not survivor.running()


def test_a_record_of_dead_processes_is_stale(home: Home) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    entry = {"pid": gone.pid, "started": 1, "boot": "of-yesterday"}
    record = {"supervisor": entry, "processes": {"ray": {"state": "ready", **entry}, "panel": {"state": "waiting"}}}
    assert supervisor_of(record) is None
    assert survivors(record) == {}
    assert survivors({}) == {}


def run_supervisor(home: Home, make: Callable[..., list[Component]]) -> int:
    """In this process; a thread sends SIGTERM to it as soon as it is healthy."""

    def stop_when_healthy() -> None:
        until(lambda: home.read_record().get("state") in ("healthy", "failed"), "a healthy stack")
        os.kill(os.getpid(), 15)

    threading.Thread(target=stop_when_healthy, daemon=True).start()
    return Supervisor(home, env={}, make=make).run()


def test_users_of_a_server_are_ended_before_it(home: Home, tmp_path: Path) -> None:
    ended: list[str] = []

    def make(*_: object) -> list[Component]:
        made = [
            component("object_store", SERVE, tmp_path, rank=0),
            component("ray", SERVE, tmp_path, rank=1),
            component("orchestrator", SERVE, tmp_path, rank=3),
        ]
        return [Component(**{**vars(one), "tidy": lambda name=one.name: ended.append(name)}) for one in made]

    assert run_supervisor(home, make) == 0
    assert ended == ["orchestrator", "ray", "object_store"]
    assert home.read_record() == {}
    assert not (home.path / "stack.json").exists()
    assert set(home.read_ports()) >= {"orchestrator", "object_store"}


def test_a_full_disk_leaves_no_program_without_its_monitor(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The record cannot be written while a program dies: it is started again all the same, and the record follows."""
    full = threading.Event()
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if full.is_set():
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(supervisor_module, "POLL_S", 0.02)
    seen: list[Identity] = []

    def make(*_: object) -> list[Component]:
        return [component("object_store", SERVE, tmp_path)]

    def strike() -> None:
        until(lambda: home.read_record().get("state") == "healthy", "a healthy stack")
        first = survivors(home.read_record())["object_store"]
        full.set()
        (tmp_path / "object_store.flag").unlink()
        os.kill(first.pid, 9)
        until(lambda: (tmp_path / "object_store.flag").exists(), "the second life")
        stale = home.read_record()["processes"]["object_store"]["pid"]
        full.clear()
        until(lambda: set(survivors(home.read_record())) == {"object_store"}, "the record of it")
        seen.extend([first, survivors(home.read_record())["object_store"]])
        assert stale == first.pid
        os.kill(os.getpid(), 15)

    thread = threading.Thread(target=strike, daemon=True)
    thread.start()
    assert Supervisor(home, env={}, make=make).run() == 0
    thread.join()
    assert len(seen) == 2
    assert seen[0] != seen[1]
    assert list(home.path.glob(".*.half")) == []
    said = capsys.readouterr().out
    assert f"disk full at {home.path / 'processes.json'}" in said
    assert "the record is written again" in said


def test_a_file_that_cannot_be_written_keeps_its_content_and_names_its_path(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.write_ports({"ray": 8265})

    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="disk full") as caught:
        home.write_ports({"ray": 1})
    assert caught.value.filename == str(home.path / "ports.json")
    assert home.read_ports() == {"ray": 8265}


LISTEN = (
    "import pathlib, socket, time; s = socket.socket(); s.bind(('127.0.0.1', {port})); s.listen();"
    "pathlib.Path({flag!r}).write_text('up'); time.sleep(600)"
)


def test_a_port_that_is_taken_between_choice_and_use_is_chosen_anew(home: Home, tmp_path: Path) -> None:
    """The thief listens when the ports have been chosen and before the program binds."""
    with socket.socket() as thief:
        rounds: list[int] = []

        def make(_: Home, ports: Mapping[str, int], __: object) -> list[Component]:
            if not rounds:
                thief.bind(("127.0.0.1", ports["object_store"]))
                thief.listen()
            rounds.append(ports["object_store"])
            store = component("object_store", LISTEN.replace("{port}", str(ports["object_store"])), tmp_path)
            return [store, component("ray", SERVE, tmp_path)]

        first = Supervisor(home, env={}, make=make)
        assert first.run() == 1
        assert first.lost_a_port
        assert home.read_record() == {}, "no failure is told: the next round may do"
        assert run_supervisor(home, make) == 0
    assert rounds[0] != rounds[1]
    assert home.read_ports()["object_store"] == rounds[1]


def test_a_program_that_fails_on_ports_of_its_own_is_no_reason_for_others(home: Home, tmp_path: Path) -> None:
    def make(*_: object) -> list[Component]:
        return [component("object_store", DIE, tmp_path)]

    supervisor = Supervisor(home, env={}, make=make)
    assert supervisor.run() == 1
    assert not supervisor.lost_a_port


def test_a_supervisor_that_hands_over_leaves_its_programs_to_the_next(home: Home, tmp_path: Path) -> None:
    def make(*_: object) -> list[Component]:
        return [component("object_store", SERVE, tmp_path)]

    def ask() -> None:
        until(lambda: home.read_record().get("state") == "healthy", "a healthy stack")
        os.kill(os.getpid(), signal.SIGUSR1)

    threading.Thread(target=ask, daemon=True).start()
    assert Supervisor(home, env={}, make=make).run() == 0
    left = survivors(home.read_record())
    assert set(left) == {"object_store"}
    assert run_supervisor(home, make) == 0  # takes it over, and ends it
    assert not left["object_store"].running()


def test_a_program_that_nobody_noted_is_ended_before_another_works_on_its_data(home: Home, tmp_path: Path) -> None:
    one = component("object_store", SERVE, tmp_path)
    stray = start(one.command, env={}, log=tmp_path / "stray.log", mark=home.mark("object_store"))
    unnoted = Identity.of(stray.pid)
    watched = Watched(one, home)
    try:
        assert watched.until("ready").process != unnoted
        assert not unnoted.running()
    finally:
        watched.finish()


def test_one_program_that_cannot_start_ends_the_others_and_says_why(home: Home, tmp_path: Path) -> None:
    def make(*_: object) -> list[Component]:
        return [component("object_store", SERVE, tmp_path), component("ray", DIE, tmp_path)]

    before = Supervisor(home, env={}, make=make)
    assert before.run() == 1
    record = home.read_record()
    assert record["state"] == "failed"
    assert record["error"].startswith("ray ended before it was ready (exit code 7)")
    assert survivors(record) == {}


def test_the_stack_ends_with_the_process_that_it_was_started_for(home: Home, tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    identity = Identity.of(parent.pid)

    def make(*_: object) -> list[Component]:
        return [component("object_store", SERVE, tmp_path)]

    def kill_parent() -> None:
        until(lambda: home.read_record().get("state") == "healthy", "a healthy stack")
        parent.kill()
        parent.wait()

    threading.Thread(target=kill_parent, daemon=True).start()
    assert Supervisor(home, env={}, make=make, parent=identity).run() == 0
    end(identity, mark="nobody", grace_s=0)
    assert home.read_record() == {}
