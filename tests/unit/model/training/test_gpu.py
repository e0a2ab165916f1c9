"""What only a GPU shows: bf16 by default, and a stage that resumes there."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from model.training.acceleration import Acceleration
from model.training.job import StageJob
from model.training.loop import train_stage
from tests.unit.model.training_helpers import ListPorts, fresh_model, make_job, resumed, write_snapshot

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
FLOAT32 = Acceleration(precision="fp32")


def on_gpu(**changes: Any) -> StageJob:
    return make_job(**{"model": fresh_model().cuda(), **changes})


def run(job: StageJob) -> ListPorts:
    ports = ListPorts(last=-(-job.total_steps // job.steps_per_boundary))
    train_stage(job, ports)
    return ports


def test_float32_has_the_losses_of_a_cpu() -> None:
    assert run(on_gpu(acceleration=FLOAT32)).losses == pytest.approx(run(make_job()).losses, rel=1e-3)


def test_bfloat16_is_the_default_and_keeps_float32_weights() -> None:
    job = on_gpu()
    losses, full = run(job).losses, run(make_job()).losses
    assert losses != full
    assert losses == pytest.approx(full, rel=0.02)
    assert {parameter.dtype for parameter in job.model.parameters()} == {torch.float32}


def test_a_resumed_stage_ends_where_the_undisturbed_one_does(tmp_path: Path) -> None:
    whole = on_gpu(acceleration=FLOAT32)
    first = run(whole).snapshots[0]

    def job(**changes: Any) -> StageJob:
        return on_gpu(**{**changes, "model": copy.deepcopy(changes["model"]).cuda(), "acceleration": FLOAT32})

    again = resumed(write_snapshot(first, tmp_path / "checkpoint"), job)
    run(again)
    for ours, theirs in zip(again.model.parameters(), whole.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
