"""`retain lm-eval`: what is asked of the child, what becomes of its answer, what is said where it is not installed."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from retain.orchestrator.v1 import resources_pb2 as res
from tests.fakes.orchestrator_service import FakePlatform

DOCUMENT = {
    "harness": "lm-evaluation-harness",
    "versions": {"lm_eval": "0.4.13"},
    "settings": {"limit": "5", "num_fewshot": "default"},
    "tasks": [
        {
            "task": "arc",
            "version": "1.0",
            "digest": "ef" * 32,
            "samples": 5,
            "metrics": [
                {"metric": "acc,none", "figure": 0.4, "standard_error": 0.2},
                {"metric": "acc_norm,none", "figure": 0.6, "standard_error": None},
            ],
        }
    ],
}


@pytest.fixture
def asked(platform: FakePlatform, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """A checkpoint, and a child that answers; the commands that it is given."""
    made = res.Checkpoint(id="r/pretrain/attempt-1/step-000000001", run_id="r", stage="pretrain")
    made.ref.uri, made.ref.manifest_sha256 = "s3://retain/runs/r/pretrain/attempt-1/step-000000001", "ab" * 32
    platform.checkpoints.append(made)
    platform.store.objects["/runs/r/pretrain/attempt-1/step-000000001/model/config.json"] = b"{}"
    commands: list[list[str]] = []

    def child(command: list[str], **_: object) -> subprocess.CompletedProcess:
        commands.append(command)
        return subprocess.CompletedProcess(command, 0, stdout=f"{json.dumps(DOCUMENT)}\n")

    monkeypatch.setattr("ui.local.lm_eval.subprocess.run", child)
    monkeypatch.setattr("ui.commands.benchmarks.require", lambda *_: None)
    return commands


def test_it_is_asked_in_a_child_kept_once_and_shown(asked: list, retain: Callable) -> None:
    for _ in range(2):
        outcome = retain("lm-eval", "ab" * 32, "--tasks", "arc", "--limit", "5", "--include-path", "tasks")
        assert outcome.code == 0
    assert asked[0][1:4] == ["-P", "-m", "model.cli.lm_eval"]
    assert Path(asked[0][4]).name == "ab" * 32
    assert asked[0][5:] == ["--tasks", "arc", "--device", "cpu", "--include-path", "tasks", "--limit", "5"]
    (kept,) = retain("lm-eval", "ab" * 32, "--show", "--json").json
    assert kept["tasks"][0]["metrics"][0] == {"metric": "acc,none", "figure": 0.4, "standard_error": 0.2}
    shown = retain("lm-eval", "ab" * 32, "--show").out
    assert "arc v1.0" in shown
    assert "0.6000" in shown
    assert "limit 5" in shown


def test_a_local_folder_is_asked_and_nothing_is_kept(
    asked: list, retain: Callable, platform: FakePlatform, tmp_path: Path
) -> None:
    assert retain("lm-eval", str(tmp_path), "--tasks", "arc").code == 0
    assert platform.benchmarks == {}


def test_without_tasks_or_the_package_it_says_what_is_missing(
    platform: FakePlatform, retain: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = retain("lm-eval", "ab" * 32)
    assert outcome.code == 2
    assert "--tasks: got none; expected names of tasks, or --show" in outcome.err
    monkeypatch.setattr("ui.extras.missing_packages", lambda *extras: ["lm-eval"])
    outcome = retain("lm-eval", "ab" * 32, "--tasks", "arc")
    assert outcome.code == 1
    assert "pip install 'retain[train,lm-eval]'" in outcome.err


def test_the_child_without_the_harness_says_so(tmp_path: Path) -> None:
    blocked = (
        "import sys; sys.modules['lm_eval'] = None; from model.cli.lm_eval import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", blocked, str(tmp_path), "--tasks", "arc"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'retain[train,lm-eval]'" in done.stderr
