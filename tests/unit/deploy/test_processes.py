"""A process is its pid and its start time; ending one ends its family and nobody else."""

import subprocess
import sys
import time
from pathlib import Path

import psutil

from deploy.local.processes import Identity, end, family, start
from tests.unit.deploy.stand_ins import PARENT, STUBBORN


def wait_for(flag: Path) -> str:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if flag.exists() and flag.read_text():
            return flag.read_text()
        time.sleep(0.02)
    raise AssertionError(f"{flag} was not written")


def run(program: str, folder: Path, mark: str) -> tuple[subprocess.Popen[bytes], Identity, str]:
    flag = folder / "flag"
    child = start([sys.executable, "-c", program.format(flag=str(flag))], env={}, log=folder / "program.log", mark=mark)
    return child, Identity.of(child.pid), wait_for(flag)


def test_another_process_with_the_same_pid_is_not_taken_for_ours(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        born = psutil.Process(child.pid).create_time()
        assert Identity(pid=child.pid, started=born).running()
        stale = Identity(pid=child.pid, started=born - 3600)
        assert not stale.running()
        end(stale, mark=f"{tmp_path}:nobody", grace_s=0)
        assert child.poll() is None, "ending the stale identity ended the process that has its pid now"
    finally:
        child.kill()
        child.wait()


def test_sigterm_that_is_ignored_is_followed_by_sigkill_after_the_grace(tmp_path: Path) -> None:
    child, identity, _ = run(STUBBORN, tmp_path, f"{tmp_path}:stubborn")
    began = time.monotonic()
    end(identity, mark=f"{tmp_path}:stubborn", grace_s=0.5)
    assert 0.5 <= time.monotonic() - began < 5
    assert not identity.running()
    child.wait(timeout=5)


def test_a_helper_in_a_session_of_its_own_is_ended_with_its_parent(tmp_path: Path) -> None:
    mark = f"{tmp_path}:parent"
    child, identity, helper = run(PARENT, tmp_path, mark)
    assert {process.pid for process in family(identity, mark)} == {child.pid, int(helper)}
    end(identity, mark=mark, grace_s=1)
    assert not psutil.pid_exists(int(helper)) or psutil.Process(int(helper)).status() == psutil.STATUS_ZOMBIE
    child.wait(timeout=5)


def test_a_helper_that_outlives_its_parent_is_found_by_its_mark(tmp_path: Path) -> None:
    mark = f"{tmp_path}:orphan"
    child, identity, helper = run(PARENT, tmp_path, mark)
    child.kill()
    child.wait()
    assert {process.pid for process in family(identity, mark)} == {int(helper)}
    end(identity, mark=mark, grace_s=0)
    assert family(identity, mark) == set()
