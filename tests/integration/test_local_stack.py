"""The real local stack: up, a call over gRPC, a killed head, down, and the state of before after another up."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deploy.healthcheck import grpc_serving
from deploy.local.components import BUCKET
from deploy.local.home import Home
from services.common.store.minio_store import MinioStore

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def launcher(home: Path, *arguments: str) -> str:
    """What `python -m deploy.local` prints; a failure is one of the test."""
    done = subprocess.run(
        [sys.executable, "-m", "deploy.local", *arguments, "--home", str(home)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("stack")
    yield folder
    launcher(folder, "down")


def store_of(home: Path, endpoint: str) -> MinioStore:
    keys = Home(path=home).credentials()
    return MinioStore(endpoint, BUCKET, access_key=keys.access_key, secret_key=keys.secret_key, patience_s=20)


def test_the_stack_comes_up_recovers_goes_down_and_keeps_its_state(home: Path) -> None:
    first = json.loads(launcher(home, "up", "--json"))
    assert set(first) >= {"orchestrator", "evaluator", "object_store", "metrics", "panel"}
    assert grpc_serving(first["orchestrator"], "retain.orchestrator.v1.OrchestratorService")
    assert grpc_serving(first["evaluator"], "retain.evaluator.v1.EvaluatorService")
    with urllib.request.urlopen(first["metrics"], timeout=5) as reply:
        assert b"process_resident_memory_bytes" in reply.read()
    store_of(home, first["object_store"]).put_bytes("kept/by/a/restart", b"forty-two")

    before = json.loads(launcher(home, "status", "--json"))
    assert before["healthy"]
    assert json.loads(launcher(home, "up", "--json")) == first  # a second `up` changes nothing
    assert json.loads(launcher(home, "status", "--json"))["processes"] == before["processes"]

    head = before["processes"]["ray"]["pid"]
    os.kill(head, 9)
    deadline = time.monotonic() + 60
    while True:
        ray = Home(path=home).read_record()["processes"]["ray"]
        if ray["state"] == "ready" and ray["pid"] != head:
            break
        assert time.monotonic() < deadline, ray
        time.sleep(0.3)
    assert ray["restarts"] == 1

    marks = [f"{home}:{name}" for name in before["processes"]]
    launcher(home, "down")
    assert [pid for pid in psutil.pids() if _environment(pid).get("RETAIN_STACK_MEMBER") in marks] == []
    assert not (home / "stack.json").exists()

    again = json.loads(launcher(home, "up", "--json", "--only", "object_store"))
    assert store_of(home, again["object_store"]).get_bytes("kept/by/a/restart") == b"forty-two"
    launcher(home, "down")


def test_what_a_killed_supervisor_left_is_taken_over_and_ended_in_a_folder_with_blanks(
    tmp_path: Path,
) -> None:
    home = tmp_path / "My Projects" / "home"
    launcher(home, "up", "--only", "object_store,ray")
    before = Home(path=home).read_record()
    os.kill(before["supervisor"]["pid"], 9)
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        launcher(home, "up", "--only", "object_store")
        after = Home(path=home).read_record()
        assert {name: one["pid"] for name, one in after["processes"].items()} == {
            name: one["pid"] for name, one in before["processes"].items()
        }
        launcher(home, "down")
        assert [
            pid for pid in psutil.pids() if _environment(pid).get("RETAIN_STACK_MEMBER", "").startswith(f"{home}:")
        ] == []
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
        launcher(home, "down")


def _environment(pid: int) -> dict[str, str]:
    try:
        return psutil.Process(pid).environ()
    except (psutil.Error, OSError):
        return {}
