"""The supervisor with stand-in programs: starts, restarts, adopts, gives up with the reason, ends in order."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.local import keeper
from deploy.local.components import Component
from deploy.local.home import Home
from deploy.local.keeper import Keeper, Status
from deploy.local.processes import Identity, end
from deploy.local.supervisor import Supervisor, supervisor_of, survivors
from tests.unit.deploy.stand_ins import DIE, SERVE, component


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(path=tmp_path / "home")
    home.prepare()
    return home


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "BACKOFF_S", (0.05,))
    monkeypatch.setattr(keeper, "POLL_S", 0.02)


def until(condition: Callable[[], bool], what: str, timeout_s: float = 15) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}"
        time.sleep(0.02)


class Watched:
    """A keeper on a thread with all that it said."""

    def __init__(self, one: Component, home: Home, adopt: Identity | None = None) -> None:
        self.stopping, self.said = threading.Event(), list[Status]()
        self.keeper = Keeper(one, home, self.said.append, self.stopping, adopt)
        self.keeper.start()

    def until(self, state: str, *, restarts: int = 0) -> Status:
        until(lambda: any(s.state == state and s.restarts >= restarts for s in list(self.said)), f"{state}")
        return next(s for s in reversed(self.said) if s.state == state)

    def finish(self) -> None:
        self.stopping.set()
        self.keeper.join(timeout=10)
        self.keeper.finish()


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


def test_a_program_that_dies_at_every_start_is_given_up_with_the_end_of_its_log(home: Home, tmp_path: Path) -> None:
    watched = Watched(component("evaluator", DIE, tmp_path), home)
    failed = watched.until("failed")
    assert "exit code 7" in failed.error
    assert "no such option: --colour" in failed.error
    assert home.log_file("evaluator").read_text().count("--colour") == keeper.STARTS_BEFORE_GIVING_UP
    watched.finish()


def test_a_survivor_is_adopted_not_started_twice(home: Home, tmp_path: Path) -> None:
    one = component("orchestrator", SERVE, tmp_path)
    before = Watched(one, home)
    survivor = before.until("ready").process
    before.stopping.set()
    before.keeper.join(timeout=10)  # as if the supervisor had died: nobody ended the program
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
    entry = {"pid": gone.pid, "started": time.time()}
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
