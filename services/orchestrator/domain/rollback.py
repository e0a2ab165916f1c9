"""Going back: to the newest checkpoint with a finite verdict below `action`; the stage's start always qualifies.

A rollback takes the next rung too: unchanged, the deterministic training would replay the same failure bit for bit.
"""

from dataclasses import replace

from services.orchestrator.domain.actions import Action, RecordCheckpoint
from services.orchestrator.domain.ladder import climb
from services.orchestrator.domain.run_state import Checkpoint, CheckpointStatus, Rollback, RunState, StageRun


def choose_rollback(stage: StageRun, failed: Checkpoint, worst_set: str) -> tuple[Rollback, str]:
    """Where to go back to from a failed checkpoint, with which mix, and what changed, for people."""
    good = [c for c in stage.checkpoints if c.boundary < failed.boundary and c.good]
    boundary = good[-1].boundary if good else 0
    where = f"back to step {good[-1].ref.step}" if good else "back to the stage's start"
    if failed.ref.step <= stage.adjusted_step:
        # This checkpoint was trained before the last adjustment: going back with that one is change enough.
        return Rollback(boundary=boundary, mix=stage.mix), f"{where} with the adjustment made since"
    mix, changed = climb(stage.mix, worst_set)
    return Rollback(boundary=boundary, mix=mix), f"{where}, {changed}"


def rollback_from_start(stage: StageRun) -> tuple[Rollback, str]:
    """Where to go back to when training itself failed (its loss is no number) after the newest checkpoint."""
    good = [c for c in stage.checkpoints if c.good]
    boundary = good[-1].boundary if good else 0
    where = f"back to step {good[-1].ref.step}" if good else "back to the stage's start"
    mix, changed = climb(stage.mix, "")
    return Rollback(boundary=boundary, mix=mix), f"{where}, {changed}"


def begin_rollback(state: RunState, stage: StageRun, rollback: Rollback) -> tuple[RunState, tuple[Action, ...]]:
    """Void what lies after the target, count a retry, and leave the rest to the next BeginAttempt."""
    after = tuple(c for c in stage.checkpoints if c.boundary > rollback.boundary)
    voided = tuple(replace(c, status=CheckpointStatus.VOID, measurement=None) for c in after)
    stage = replace(
        stage,
        checkpoints=tuple(c for c in stage.checkpoints if c.boundary <= rollback.boundary),
        voided=(*stage.voided, *voided),
        checkpoint_count=stage.checkpoint_count - len(after),
        pending_rollback=rollback,
        mix=rollback.mix,
        retries=stage.retries + 1,
        watched=0,
    )
    return state.with_stage(stage), tuple(RecordCheckpoint(checkpoint=c) for c in voided)


def enter_line(stage: StageRun) -> StageRun:
    """Start the line that a pending rollback asks for; without one the present line goes on."""
    rollback = stage.pending_rollback
    if rollback is None:
        return stage
    target = stage.at_boundary(rollback.boundary)
    return replace(
        stage,
        pending_rollback=None,
        line_boundary=rollback.boundary,
        line_mix=rollback.mix,
        mix=rollback.mix,
        verdicts=(),
        # The target's own verdict was made with the old mix; from here on the new one works.
        adjusted_step=target.ref.step if target else 0,
        constants={},
    )
