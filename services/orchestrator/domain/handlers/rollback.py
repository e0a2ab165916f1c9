"""Going back: to the newest checkpoint with a finite verdict below `action`; the stage's start always qualifies.

A rollback takes the next rung too: unchanged, the deterministic training would replay the same failure bit for bit.

How far back: a stage that hovers just under `action` and ends over it has a good checkpoint close to its end, and from
there hardly any learning rate is left for the next rung to work with. So a checkpoint is gone back to once; after that
the target lies at most half as far into the stage, and at last at its start.

With which learning rate: halvings that were decided after the target are taken back, for they are part of what is
undone. A stage begun again with a rate that had collapsed would forget nothing and learn nothing.
"""

from dataclasses import replace

from services.orchestrator.domain.policy.ladder import Ladder, climb
from services.orchestrator.domain.run.commands import Record, RecordCheckpoint
from services.orchestrator.domain.run.directives import mix_from, trail_to
from services.orchestrator.domain.run.state import Checkpoint, CheckpointState, PipelineRun, Rollback, StageRun


def choose_rollback(
    stage: StageRun, failed: Checkpoint, worst_set: str, *, decision_delay: int, ladder: Ladder
) -> tuple[Rollback, str]:
    """Where to go back to from a failed checkpoint, with which mix, and what changed, for people.

    `worst_set` is empty when something was no number: then only the learning rate can help, and no halving is undone.
    """
    boundary, where = _target(stage, below=failed.boundary)
    if failed.ref.step <= stage.gate.adjusted_step:
        # This checkpoint was trained before the last adjustment: going back with that one is change enough.
        return Rollback(boundary=boundary, mix=stage.branch.mix), f"{where} with the adjustment made since"
    if not worst_set:
        mix, changed = climb(stage.branch.mix, "", ladder)
        return Rollback(boundary=boundary, mix=mix), f"{where}, {changed}"
    # Before the branch's start too, what failed is the branch's mix: to go back further with less were no change.
    held = stage.branch.start_mix
    if boundary >= stage.branch.start_boundary:
        held = mix_from(stage, boundary, decision_delay=decision_delay)
    now = replace(stage.branch.mix, lr_scale=held.lr_scale)
    mix, changed = climb(now, worst_set, ladder)
    if mix.lr_scale != now.lr_scale and now != held:
        # No rung of replay is left, but from the target on the shares are higher than they were: that is change enough.
        mix, changed = now, "with the replay shares reached since"
    if held.lr_scale != stage.branch.mix.lr_scale:
        changed += f", from learning rate x {held.lr_scale:g} again"
    return Rollback(boundary=boundary, mix=mix), f"{where}, {changed}"


def measured_anew(stage: StageRun, failed: Checkpoint) -> tuple[Rollback, str]:
    """Where to go back to when a measurement is wrong: nothing is changed, for nothing is known to be bad."""
    boundary, where = _target(stage, below=failed.boundary)
    return Rollback(boundary=boundary, mix=stage.branch.mix), f"{where} with nothing changed"


def rollback_from_start(stage: StageRun, ladder: Ladder) -> tuple[Rollback, str]:
    """Where to go back to when training itself failed (its loss is no number) after the newest checkpoint."""
    boundary, where = _target(stage, below=stage.plan.boundaries + 1)
    mix, changed = climb(stage.branch.mix, "", ladder)
    return Rollback(boundary=boundary, mix=mix), f"{where}, {changed}"


def _target(stage: StageRun, *, below: int) -> tuple[int, str]:
    """Boundary to go back to and how people are told: 0 is the stage's start."""
    below = min(below, stage.plan.boundaries)  # from the stage's end there is nothing to train
    good = [c for c in stage.branch.checkpoints if c.boundary < below and c.good]
    said = ""
    if good and good[-1].ref.step in stage.gate.rollback_steps:
        tried = good[-1].ref.step
        said = f" (step {tried} was gone back to before)"
        good = [c for c in good if c.ref.step not in stage.gate.rollback_steps and 2 * c.ref.step <= tried]
    if not good:
        return 0, f"back to the stage's start{said}"
    return good[-1].boundary, f"back to step {good[-1].ref.step}{said}"


def begin_rollback(state: PipelineRun, stage: StageRun, rollback: Rollback) -> tuple[PipelineRun, tuple[Record, ...]]:
    """Void what lies after the target, count a retry, and leave the rest to the next BeginAttempt."""
    after = tuple(c for c in stage.branch.checkpoints if c.boundary > rollback.boundary)
    interim = (stage.branch.interim,) if stage.branch.interim is not None else ()
    voided = tuple(replace(c, status=CheckpointState.VOID, measurement=None) for c in (*after, *interim))
    stage = replace(
        stage,
        branch=replace(
            stage.branch,
            checkpoints=tuple(c for c in stage.branch.checkpoints if c.boundary <= rollback.boundary),
            voided=(*stage.branch.voided, *voided),
            interim=None,
            pending_rollback=rollback,
            mix=rollback.mix,
        ),
        gate=replace(
            stage.gate,
            rollback_steps=(*stage.gate.rollback_steps, stage.plan.boundary_step(rollback.boundary)),
            retries=stage.gate.retries + 1,
            watched=0,
        ),
        interpolation=stage.without_interpolation,
        last=replace(stage.last, checkpoint_count=rollback.boundary),
    )
    return state.with_stage(stage), tuple(RecordCheckpoint(checkpoint=c) for c in voided)


def enter_branch(stage: StageRun, *, decision_delay: int) -> StageRun:
    """Start the branch that a pending rollback asks for; without one the present branch continues."""
    rollback = stage.branch.pending_rollback
    stage = replace(stage, attempt=replace(stage.attempt, cut=None))
    if rollback is None:
        return stage
    branch = replace(
        stage.branch,
        start_boundary=rollback.boundary,
        start_mix=rollback.mix,
        mix=rollback.mix,
        verdicts=(),
        trail=trail_to(stage, rollback.boundary, decision_delay=decision_delay),
        pending_rollback=None,
    )
    # The target's own verdict was made with the old mix; from here on the new one works.
    gate = replace(stage.gate, adjusted_step=stage.plan.boundary_step(rollback.boundary), recent=())
    return replace(stage, branch=branch, gate=gate)
