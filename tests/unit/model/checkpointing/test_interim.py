"""Told to leave at any step, or while waiting for a verdict: what was stored continues to the same bits, and tells the
same at the next boundary, as a stage that nobody disturbed."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model.checkpointing import checkpoint
from model.data.shards import TokenShard
from model.dataloader.curriculum import Strategy
from model.errors import BadCheckpoint
from model.training.job import Directive, Interruption, StageJob, Verdict
from model.training.loop import train_stage
from tests.unit.model.training.test_resume import job_of, shards
from tests.unit.model.training_helpers import ListPorts, a_state, weights_sha256, write_snapshot

__all__ = ["shards"]
ADJUST = {1: Directive(verdict=Verdict.ADJUST, shares={"general": 0.5}, lr_scale=0.5)}
# Nine steps, boundaries after 3, 6 and 9.
LAST = 3


def played(job: StageJob, folder: Path, **ports) -> tuple[ListPorts, str]:
    given = ListPorts(last=LAST, directives=ADJUST, **ports)
    outcome = train_stage(job, given)
    assert outcome.directive is not None
    return given, weights_sha256(given.snapshots[LAST].model, folder)


def seeded(job: StageJob) -> StageJob:
    """The stage as it begins in a new process."""
    torch.manual_seed(5)
    return job


def told_at_boundary(before: ListPorts, last: ListPorts) -> None:
    """Every boundary of the second part tells what the undisturbed stage told there."""
    for boundary, snapshot in last.snapshots.items():
        same = before.snapshots[boundary]
        assert snapshot.state == same.state
        assert snapshot.loss_nats == same.loss_nats
        assert not snapshot.interim


@pytest.mark.parametrize("lag", [0, 1])
@pytest.mark.parametrize(
    ("target", "strategy", "rank"),
    [("chat", Strategy.RANDOM, 4), ("math", Strategy.SELF_PACED, 0), ("math", Strategy.COMPETENCE, 0)],
    ids=["LoRA", "self-paced", "competence"],
)
def test_told_to_leave_at_any_step_nothing_changes(
    shards: dict[str, TokenShard], target: str, strategy: Strategy, rank: int, lag: int, tmp_path: Path
) -> None:
    def fresh() -> StageJob:
        return seeded(replace(job_of(shards, target, strategy, rank=rank), decision_lag=lag))

    alone, bits = played(fresh(), tmp_path / "alone")
    for told_at in range(9):
        leaving = ListPorts(last=LAST, directives=ADJUST, leave_at_step=told_at)
        outcome = train_stage(fresh(), leaving)
        assert (outcome.directive, outcome.interruption) == (None, Interruption.LEAVE)
        assert outcome.step == told_at + 1  # the step that was under way is finished
        interim = leaving.interim
        assert interim is not None
        assert (interim.interim, interim.state.step, interim.boundary) == (True, told_at + 1, told_at // 3)
        folder = write_snapshot(interim, tmp_path / f"interim-{told_at}")
        torch.manual_seed(99)
        job = replace(job_of(shards, target, strategy, folder, rank), decision_lag=lag)
        again, same = played(job, tmp_path / f"again-{told_at}")
        assert same == bits
        assert again.losses == alone.losses[told_at + 1 :]
        told_at_boundary(alone, again)
        asked = [entry for entry in leaving.log + again.log if entry.startswith("directive")]
        assert asked == ["directive 1", "directive 2", "directive 3"]


@pytest.mark.parametrize("lag", [0, 1])
@pytest.mark.parametrize("boundary", [1, 2, 3])
def test_told_to_leave_while_waiting_for_a_verdict(
    shards: dict[str, TokenShard], boundary: int, lag: int, tmp_path: Path
) -> None:
    """With a lag of 0 the boundary's checkpoint is there already. With 1 it waits for the verdict on the one before,
    and is stored as an interim one, which the boundary's own takes the place of."""

    def job(folder: Path | None = None) -> StageJob:
        return replace(job_of(shards, "math", Strategy.STAGED, folder), decision_lag=lag)

    alone, bits = played(seeded(job()), tmp_path / "alone")
    leaving = ListPorts(last=LAST, directives=ADJUST, leave_at_boundary=boundary)
    outcome = train_stage(seeded(job()), leaving)
    assert (outcome.directive, outcome.interruption, outcome.step) == (None, Interruption.LEAVE, 3 * boundary)
    if lag == 0 or boundary == LAST:
        assert leaving.interim is None
        kept = leaving.snapshots[boundary]
    else:
        assert boundary not in leaving.snapshots
        assert leaving.interim is not None
        kept = leaving.interim
        assert (kept.boundary, kept.state.interim) == (boundary - 1, True)
    again, same = played(job(write_snapshot(kept, tmp_path / "kept")), tmp_path / "again") if boundary < LAST else (
        ListPorts(last=LAST), weights_sha256(kept.model, tmp_path / "last"))  # fmt: skip
    assert same == bits
    told_at_boundary(alone, again)


def test_an_interim_state_survives_its_file_and_older_files_are_read() -> None:
    state = a_state(interim=True, interval_nats=0.1 + 0.2, interval_targets=7)
    assert checkpoint.TrainerState.from_json(state.to_json()) == state
    import json

    raw = json.loads(a_state().to_json())
    # Interim states of 0.1.0 also held the last step's rate.
    assert checkpoint.TrainerState.from_json(json.dumps(raw | {"learning_rate": 3e-4})) == a_state(rng=raw["rng"])
    for name in ("interim", "interval_nats", "interval_targets"):
        del raw[name]
    assert checkpoint.TrainerState.from_json(json.dumps(raw)) == a_state(rng=raw["rng"])
    del raw["rng"]
    with pytest.raises(BadCheckpoint, match="rng"):
        checkpoint.TrainerState.from_json(json.dumps(raw))
