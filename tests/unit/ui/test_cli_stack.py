"""`retain up` and `retain down` as processes: what they print, and how they end when they are told to."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

# Ends in order, which takes a while, whatever it is told and however often.
ORDERLY = (
    "import pathlib, signal, sys, time; told = []\n"
    "for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP): signal.signal(n, lambda *a: told.append(a[0]))\n"
    "pathlib.Path(sys.argv[1]).write_text('up')\n"
    "while not told: time.sleep(0.02)\n"
    "time.sleep(0.6); pathlib.Path(sys.argv[1]).write_text('in order'); sys.exit(7)"
)
PARENT = "import sys; from ui.commands.stack import attended; sys.exit(attended(sys.argv[1:], None))"


def retain(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ui.cli", *arguments],
        env={**os.environ, "RETAIN_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def wait_for(flag: Path, text: str) -> None:
    deadline = time.monotonic() + 20
    while not (flag.exists() and flag.read_text() == text):
        assert time.monotonic() < deadline, f"{flag} does not read {text}"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_reaches_the_child_which_ends_in_order(number: signal.Signals, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    with subprocess.Popen([sys.executable, "-c", PARENT, sys.executable, "-c", ORDERLY, str(flag)]) as parent:
        wait_for(flag, "up")
        parent.send_signal(number)
        assert parent.wait(timeout=20) == 7
    assert flag.read_text() == "in order"


def test_ctrl_c_twice_waits_for_an_orderly_end(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    command = [sys.executable, "-c", PARENT, sys.executable, "-c", ORDERLY, str(flag)]
    with subprocess.Popen(command, start_new_session=True) as parent:
        wait_for(flag, "up")
        for _ in range(2):
            os.killpg(parent.pid, signal.SIGINT)
            time.sleep(0.1)
        assert parent.wait(timeout=20) == 7
    assert flag.read_text() == "in order"


def test_down_of_nothing_says_so_and_prints_one_object(tmp_path: Path) -> None:
    done = retain(tmp_path, "down", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"stopped": []})
    assert f"Nothing runs in {tmp_path}" in done.stderr


def test_a_program_that_does_not_exist_is_refused_with_those_that_do(tmp_path: Path) -> None:
    done = retain(tmp_path, "up", "--json", "--only", "object_store,panels")
    assert (done.returncode, done.stdout) == (1, "")
    assert "--only: got panels; expected orchestrator, evaluator, panel, ray, object_store" in done.stderr
