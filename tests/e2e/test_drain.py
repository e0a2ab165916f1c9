"""A machine is drained amid a stage: its worker leaves with an interim checkpoint; the run comes to the same bits."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.pipelines import three_stages
from tests.e2e.stack import Stack, until, until_ended
from ui.client.client import RetainClient
from ui.client.views import Run

pytestmark = [pytest.mark.long, pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parents[2]


def amid_training(run: Run) -> bool:
    """A stage trains, and has a checkpoint."""
    return run.status.phase == "TRAINING" and any(s.state == "RUNNING" and s.latest for s in run.stages)


def test_a_drained_machine_costs_no_bits_and_no_retry(stack: Stack, client: RetainClient, undisturbed: Run) -> None:
    run_id = client.create_run(three_stages("drained")).id
    before = until(client, run_id, amid_training, "a stage that trains")
    command = [sys.executable, "-m", "services.worker.drain", "--grace-s", "60", "--cache", str(stack.cache)]
    drained = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert drained.returncode == 0, drained.stderr
    assert run_id in drained.stdout + drained.stderr
    ended = until_ended(client, run_id)
    assert ended.state == "SUCCEEDED"
    assert ended.status.submission == before.status.submission + 1
    assert [stage.retries for stage in ended.stages] == [0, 0, 0]
    for mine, theirs in zip(ended.stages, undisturbed.stages, strict=True):
        assert mine.accepted is not None
        assert theirs.accepted is not None
        assert mine.accepted.weights_digest == theirs.accepted.weights_digest
