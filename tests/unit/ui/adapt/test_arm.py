"""An arm on the fake platform: found again by its name, told from its run; one that failed tells nothing."""

import json
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest

from retain.orchestrator.v1 import resources_pb2 as res
from tests.fakes.orchestrator_service import FakePlatform
from ui.adapt import arm
from ui.client.errors import ClientError
from ui.sweep.file import Sweep, load_sweep

SWEEP = """
name: small
spec:
  name: base
  model: {checkpoint: "s3://retain/uploads/x"}
  stages: [{kind: PRETRAIN, data: {general: "sample://docs"}, duration: {tokens: 1500}}]
arms:
  plain: {}
  other: {stages.0.learning_rate: 2e-3}
"""
CHANGES = [{"name": "math", "ratio": 0.1}]


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    return load_sweep(str(tmp_path / "sweep.yaml"))


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that measure; the model is not fetched, and answers are its name."""
    asked: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, stdout=json.dumps({"sets": [], "against": CHANGES}), stderr="")

    monkeypatch.setattr(arm.subprocess, "run", run)
    monkeypatch.setattr(arm, "cached_model", lambda client, ref, cache, say: cache / "m")
    monkeypatch.setattr(arm, "_samples", lambda client, ref: [{"prompt": "?", "text": ref.uri}])
    return asked


def ending(platform: FakePlatform, *states: int) -> None:
    """New runs end at once, in one state after the other."""
    left = list(states)

    def end(run: res.PipelineRun) -> None:
        run.status.state = left.pop(0)
        stage = run.status.stages.add(name="pretrain", kind=1, tokens=1500, wall_seconds=12.34)
        if run.status.state == res.RUN_STATE_SUCCEEDED:
            stage.accepted.uri = "s3://retain/accepted"
        platform.put(run)

    platform.on_create = end


def test_a_row_is_of_the_run_and_asking_again_is_the_same_run(
    client, platform: FakePlatform, sweep: Sweep, measured: list[list[str]], tmp_path: Path
) -> None:
    ending(platform, res.RUN_STATE_SUCCEEDED)
    row = arm.run_arm(client, sweep, "other", tmp_path, lambda _: None)
    assert (row.arm, row.state, row.target_tokens, row.seconds) == ("other", "SUCCEEDED", 1500, 12.3)
    assert list(row.sets) == CHANGES
    assert row.samples == [{"prompt": "?", "text": "s3://retain/accepted"}]
    assert measured[0][-2:] == ["--against", str(tmp_path / "before.json")]
    (run,) = platform.runs.values()
    assert run.spec.stages[0].learning_rate == 2e-3
    assert asdict(arm.run_arm(client, sweep, "other", tmp_path, lambda _: None)) == asdict(row)
    assert len(platform.runs) == 1


def test_a_run_that_waits_for_a_person_has_no_model_and_one_that_failed_no_row(
    client,
    platform: FakePlatform,
    sweep: Sweep,
    measured: list[list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "retry", client.get_run)  # it fails again at once
    ending(platform, res.RUN_STATE_SUSPENDED, res.RUN_STATE_FAILED)
    row = arm.run_arm(client, sweep, "plain", tmp_path, lambda _: None)
    assert (row.state, list(row.sets), list(row.samples)) == ("SUSPENDED", [], [])
    assert measured == []
    with pytest.raises(ClientError, match=r"of the arm other is FAILED.*resumes it"):
        arm.run_arm(client, sweep, "other", tmp_path, lambda _: None)
