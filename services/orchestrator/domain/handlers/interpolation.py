"""The end of a stage by interpolation between its parent and its result (Wortsman et al. 2022, arXiv:2109.01903).

At w(a) = (1 - a) parent + a result the old text's loss falls faster towards the parent than the new text's
rises, so a point in between often keeps most of what was learned and gives back most of what was forgotten. When a spec
asks for it (`forgetting.interpolation.points`), the last checkpoint of a stage is not judged at once:

    result measured -> every point measured on the control sets -> INTERPOLATE: one is chosen -> it is written
        -> measured like any checkpoint, on the report sets too -> ACCEPT, or what the gate asks for

A point need not lie on that line (`interpolation.kinds`): of FAPM the parent has that share of the change's elements,
of PATH the other end is an own checkpoint that far into the stage, and the point the mean of both. Each point costs one
measurement, whatever its kind. What was taken is in the written checkpoint's row: the point, its kind and both ends.

The result itself (1) takes part; the parent (0) is measured only for its loss on the target, and never chosen. Every
choice is made on control sets; the report set only says yes or no to the one that was chosen.

Who writes: the evaluator, which holds both ends, verified, in memory. What it writes is a pure function of two digests
and a point, so a process that dies in between leaves the command open, and asking again gives the same bytes under the
same name. The worker group waits meanwhile, and need not: it may die and return, for the points are measured and
written without it.
"""

from dataclasses import replace

from retain.values import CheckpointRef, PointKind, SetUse
from services.orchestrator.domain.policy.interpolation import PARENT, kinds_of, path_boundary
from services.orchestrator.domain.run import fence
from services.orchestrator.domain.run.commands import Evaluate, Record, RecordCheckpoint, WritePoint
from services.orchestrator.domain.run.events import PointWritten
from services.orchestrator.domain.run.lineage import baselines, parent_of, sets_at
from services.orchestrator.domain.run.state import Checkpoint, PipelineRun, StageRun
from services.orchestrator.domain.spec.bounds import limits_of


def should_interpolate(state: PipelineRun, stage: StageRun, checkpoint: Checkpoint) -> bool:
    """Whether this checkpoint is a stage's result that is interpolated before the gate decides on it."""
    rules = state.spec.forgetting
    last = checkpoint.boundary == stage.plan.boundaries and checkpoint.point is None
    possible = bool(rules.interpolation.points and stage.plan.retention_sets and parent_of(state, stage) is not None)
    return last and possible and limits_of(rules).mitigate


def unmeasured(state: PipelineRun, stage: StageRun) -> tuple[float, ...]:
    """Points that have not been measured yet, from the parent on."""
    known = {found.point for found in stage.known_interpolation.points}
    asked = {PARENT, *state.spec.forgetting.interpolation.points}
    return tuple(p for p in sorted(asked) if p not in known and other_end(state, stage, p) is not None)


def kind_at(state: PipelineRun, point: float) -> PointKind:
    """What lies at a point; the parent and the result are ends of the line."""
    return kinds_of(state.spec.forgetting.interpolation).get(point, PointKind.SEGMENT)


def other_end(state: PipelineRun, stage: StageRun, point: float) -> CheckpointRef | None:
    """What a point is made of beside the result: the parent, or of PATH an own checkpoint. None where that is gone (one
    that was set aside): the point is left out then."""
    if kind_at(state, point) is not PointKind.PATH:
        return parent_of(state, stage)
    boundary = path_boundary(point, stage.plan.boundaries)
    own = stage.branch.at_boundary(boundary) if boundary is not None else None
    return own.ref if own is not None else None


def interpolation_commands(state: PipelineRun, stage: StageRun) -> tuple[Evaluate | WritePoint, ...]:
    """What is outstanding about a result's interpolation: points to measure, then the chosen one to write."""
    known = stage.known_interpolation
    result, parent = stage.branch.at_boundary(stage.plan.boundaries), parent_of(state, stage)
    if result is None or parent is None or stage.gate.held_rollback is not None:
        return ()
    tried = f"-try{known.failed + 1}" if known.failed else ""
    chosen_end = other_end(state, stage, known.chosen) if known.chosen is not None else None
    if known.chosen is not None and chosen_end is not None and stage.branch.newest == result:
        written = f"-point-{known.chosen:g}"
        write = WritePoint(
            order_id=f"{result.id}{written}{tried}",
            checkpoint_id=f"{result.id}{written}",
            stage_index=stage.plan.index,
            attempt=result.attempt,
            point=known.chosen,
            kind=kind_at(state, known.chosen),
            result=result.ref,
            parent=chosen_end,
            uri=f"{result.ref.uri}{written}",
            after_s=known.pause_s,
        )
        return (write,)
    if result.measurement is None or known.chosen is not None or not should_interpolate(state, stage, result):
        return ()
    name = f"{state.id}-{stage.plan.index}-{result.attempt}-{result.ref.step}"
    return tuple(
        Evaluate(
            evaluation_id=f"{name}-line-{point:g}{tried}",
            stage_index=stage.plan.index,
            stage=stage.plan.name,
            attempt=result.attempt,
            checkpoint=result.ref,
            sets=tuple(s for s in sets_at(state, stage, result.boundary) if s.use is SetUse.CONTROL),
            baselines=baselines(state, stage),
            train_loss_nats=result.train_loss_nats,
            point=point,
            kind=kind_at(state, point),
            parent=other_end(state, stage, point),
            after_s=known.pause_s,
        )
        for point in unmeasured(state, stage)
    )


def on_point_written(state: PipelineRun, event: PointWritten) -> tuple[PipelineRun, tuple[Record, ...]]:
    """Register the chosen point, once: a result that nobody waits for (again, or after a rollback) changes nothing.

    It stands one boundary after the result, from which it was made; training never resumes from it.
    """
    stage = fence.stage_of(state, event.stage_index)
    result = stage.branch.at_boundary(stage.plan.boundaries)
    asked = {(q.point, q.attempt) for q in interpolation_commands(state, stage)}
    other = other_end(state, stage, event.point)
    if result is None or stage.known_interpolation.chosen != event.point or (event.point, event.attempt) not in asked:
        return state, ()
    written = replace(
        result,
        id=f"{result.id}-point-{event.point:g}",
        boundary=result.boundary + 1,
        ref=replace(event.checkpoint, step=result.ref.step, tokens=result.ref.tokens),
        parent=result.ref.manifest_sha256,
        bytes=event.bytes,
        forgetting=None,
        severity=None,
        target_loss_nats=None,
        measurement=None,
        evaluation_tries=0,
        evaluations_failed=0,
        evaluation_pause_s=0.0,
        created_s=event.now_s,
        point=event.point,
        point_kind=kind_at(state, event.point),
        other_end=other.manifest_sha256 if other is not None else "",
    )
    stage = replace(
        stage,
        branch=replace(stage.branch, checkpoints=(*stage.branch.checkpoints, written)),
        interpolation=replace(stage.known_interpolation, tries=0, pause_s=0.0),
        last=replace(stage.last, checkpoint_count=stage.last.checkpoint_count + 1),
    )
    return state.with_stage(stage), (RecordCheckpoint(checkpoint=written),)
