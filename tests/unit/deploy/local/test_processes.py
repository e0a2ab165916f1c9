"""A process is its pid and its start time; ending one ends its family and nobody else."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from deploy.local.processes import Identity, end, end_marked, family, marked, start
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
        now = Identity.of(child.pid)
        assert now.running()
        stale = replace(now, started=now.started - 1)
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


def test_another_boot_has_other_processes(tmp_path: Path) -> None:
    child, identity, _ = run(STUBBORN, tmp_path, f"{tmp_path}:booted")
    try:
        before = replace(identity, boot="of-yesterday")
        assert not before.running()
        end(before, mark=f"{tmp_path}:nobody", grace_s=0)
        assert child.poll() is None
    finally:
        end(identity, mark=f"{tmp_path}:booted", grace_s=0)
        child.wait(timeout=5)


def test_a_clock_that_is_set_makes_nobody_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child, identity, _ = run(STUBBORN, tmp_path, f"{tmp_path}:clock")
    try:
        # What `date --set` does to the start times that psutil tells: the time of the boot moves by as much.
        real = psutil._pslinux.boot_time()
        monkeypatch.setattr(psutil._pslinux, "boot_time", lambda: real - 86_400)
        assert identity.running()
        assert Identity.parse(identity.as_record()).running()
        assert child.pid in {process.pid for process in family(identity, f"{tmp_path}:clock")}
    finally:
        end(identity, mark=f"{tmp_path}:clock", grace_s=0)
        child.wait(timeout=5)


def test_a_record_of_an_earlier_version_is_understood(tmp_path: Path) -> None:
    child, identity, _ = run(STUBBORN, tmp_path, f"{tmp_path}:old")
    try:
        epoch = psutil.Process(child.pid).create_time()
        assert Identity.parse({"pid": child.pid, "started": epoch}) == identity
        assert not Identity.parse({"pid": child.pid, "started": epoch - 3600}).running()
    finally:
        end(identity, mark=f"{tmp_path}:old", grace_s=0)
        child.wait(timeout=5)


def test_what_nobody_noted_is_ended_by_its_mark_and_nothing_else_is(tmp_path: Path) -> None:
    ours, stranger = tmp_path / "ours", tmp_path / "stranger"
    ours.mkdir(), stranger.mkdir()
    child, identity, helper = run(PARENT, ours, f"{tmp_path}:ray")
    other, other_identity, _ = run(STUBBORN, stranger, f"{tmp_path}/another/home:ray")
    try:
        assert {process.pid for process in marked(f"{tmp_path}:ray")} == {child.pid, int(helper)}
        assert end_marked(f"{tmp_path}:ray", grace_s=1)
        child.wait(timeout=5)
        assert not identity.running()
        assert marked(f"{tmp_path}:ray") == set()
        assert not end_marked(f"{tmp_path}:ray", grace_s=1)
        assert other_identity.running()
    finally:
        end(other_identity, mark=f"{tmp_path}/another/home:ray", grace_s=0)
        other.wait(timeout=5)
