"""The end of a stage on the line between its parent and its result (Wortsman et al. 2022, arXiv:2109.01903).

On the line w(a) = (1 - a) parent + a result the old text's loss falls faster towards the parent than the new text's
rises, so a point in between often keeps most of what was learned and gives back most of what was forgotten. When a spec
asks for it (`forgetting.interpolation.points`), the last checkpoint of a stage is not judged at once:

    result measured -> every point measured on the control sets -> INTERPOLATE: one is chosen -> it is written
        -> measured like any checkpoint, on the report sets too -> ACCEPT, or what the gate asks for

The result itself (1) takes part; the parent (0) is measured only for its loss on the target, and never chosen. Every
choice is made on control sets; the report set only says yes or no to the one that was chosen.

Who writes: the evaluator, which holds both ends, verified, in memory. What it writes is a pure function of two digests
and a point, so a process that dies in between leaves the question open, and asking again gives the same bytes under the
same name. The worker group waits meanwhile, and need not: it may die and come back, for the line is measured and
written without it.
"""

import math
from collections.abc import Sequence

from services.orchestrator.domain.policy.gate import LEAST_RATIO, Limits, worst_of
from services.orchestrator.domain.run.commands import Evaluate, WritePoint
from services.orchestrator.domain.run.lineage import baselines, parent_of, sets_at
from services.orchestrator.domain.run.state import Checkpoint, RunState, StageRun
from services.orchestrator.domain.values import LinePoint, Measurement, SetRole, SetUse

PARENT, RESULT = 0.0, 1.0


def wanted(state: RunState, stage: StageRun, checkpoint: Checkpoint) -> bool:
    """Whether this checkpoint is a stage's result whose line is to be looked at before it is judged."""
    rules = state.spec.forgetting
    last = checkpoint.boundary == stage.plan.boundaries and checkpoint.point is None
    line = bool(rules.interpolation.points and stage.plan.retention_sets and parent_of(state, stage) is not None)
    return last and line and Limits.of(rules).mitigate


def unmeasured(state: RunState, stage: StageRun) -> tuple[float, ...]:
    """Points that have not been measured yet, from the parent on."""
    known = {found.point for found in stage.line}
    asked = {PARENT, *state.spec.forgetting.interpolation.points}
    return tuple(point for point in sorted(asked) if point not in known)


def line_point(point: float, measured: Measurement) -> LinePoint:
    """What was measured at a point, as far as the gauge resolves it. Whatever is missing is NaN, and a point with a NaN
    is never chosen."""
    worst = worst_of(measured.deciding(SetUse.CONTROL))
    targets = [r.loss_nats for r in measured.results_of(SetUse.CONTROL) if r.set.role is SetRole.TARGET]
    return LinePoint(
        point=point,
        forgetting=worst.resolved_ratio if worst is not None and point != PARENT else None,
        worst_set=worst.retention_set if worst is not None and point != PARENT else "",
        target_loss_nats=targets[0] if targets else math.nan,
    )


def choose(points: Sequence[LinePoint], *, limit: float, least_gain_nats: float) -> LinePoint | None:
    """The point with the least loss on the target among those that forget less than `limit` and gain enough; None:
    there is none. Of equal ones that nearer to the result wins."""
    good = [
        p
        for p in points
        if p.point != PARENT
        and p.forgetting is not None
        and math.isfinite(p.forgetting)
        and p.forgetting >= LEAST_RATIO
        and p.forgetting < limit
        and gains(points, p.point, least_gain_nats)
    ]
    return min(good, key=lambda p: (p.target_loss_nats, -p.point), default=None)


def gains(points: Sequence[LinePoint], point: float, least_gain_nats: float) -> bool:
    """Whether a point's loss on the target lies at least so far below the parent's. NaN never does."""
    losses = {p.point: p.target_loss_nats for p in points}
    return losses.get(PARENT, math.nan) - losses.get(point, math.nan) >= least_gain_nats


def limit_of(limits: Limits) -> float:
    """What a point must stay below: the budget, and what the gate accepts at a stage's end at all."""
    return min(limits.budget, limits.action)


def told(points: Sequence[LinePoint], chosen: LinePoint | None) -> str:
    """The line in words, for people."""
    parent = next((p.target_loss_nats for p in points if p.point == PARENT), math.nan)
    rows = [
        f"{p.point:g}: {p.worst_set} {p.forgetting:+.2%}, target {p.target_loss_nats - parent:+.4f} nats"
        for p in points
        if p.forgetting is not None
    ]
    said = "none keeps the budget and gains enough" if chosen is None else f"{chosen.point:g} is taken"
    return f"on the line from the parent (0) to the result (1) {said}; {'; '.join(rows)}"


def questions(state: RunState, stage: StageRun) -> tuple[Evaluate | WritePoint, ...]:
    """What is outstanding about the line of a stage's result: points to measure, then the chosen one to write."""
    result, parent = stage.at_boundary(stage.plan.boundaries), parent_of(state, stage)
    if result is None or parent is None or stage.held_rollback is not None:
        return ()
    tried = f"-try{stage.line_failed + 1}" if stage.line_failed else ""
    if stage.chosen_point is not None and stage.newest == result:
        written = f"-point-{stage.chosen_point:g}"
        write = WritePoint(
            order_id=f"{result.id}{written}{tried}",
            checkpoint_id=f"{result.id}{written}",
            stage_index=stage.plan.index,
            attempt=result.attempt,
            point=stage.chosen_point,
            result=result.ref,
            parent=parent,
            uri=f"{result.ref.uri}{written}",
            after_s=stage.line_pause_s,
        )
        return (write,)
    if result.measurement is None or stage.chosen_point is not None or not wanted(state, stage, result):
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
            parent=parent,
            after_s=stage.line_pause_s,
        )
        for point in unmeasured(state, stage)
    )
