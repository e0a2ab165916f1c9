"""Where a falling score will end: what the ladder compares with `action` once a rung has shown how it works.

Forgetting peaks early and falls as the learning rate decays, so a score above `action` in the middle of a stage need
not be above it at the end, and a ladder that climbs at each such boundary halves a learning rate that the model needs
to recover with. Two settled boundaries under the same rung (the first may be the one at which the rung begins) tell how
fast a score falls. What is still to come is in proportion to the learning rate that is still to come: with A(p) the
area under the schedule from p (a share of the stage) to the stage's end,

    nats_end = nats_2 - (nats_1 - nats_2) * A(p_2) / (A(p_1) - A(p_2))

but never below 0 (nor below a score that is under 0 already). A rise is not extended, and one boundary says nothing:
the raw score is compared then. So a projection is never above the raw score, and never falls when the score rises.

By the same token a falling score is no case for a lower learning rate: that is what it recovers with. Where no share is
left to raise, the ladder then waits for the stage's end, from which a rollback can do more.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from services.orchestrator.domain.policy.gate import Limits
from services.orchestrator.domain.run.state import Checkpoint, Scored, StageRun
from services.orchestrator.domain.spec.spec import PipelineSpec, ScheduleKind, ScheduleSpec
from services.orchestrator.domain.values import ForgettingScore, Measurement, SetUse

POINTS_KEPT = 2
SLICES = 200  # of the sum that stands for the area


def note(stage: StageRun, checkpoint: Checkpoint, measured: Measurement) -> StageRun:
    """The stage with one boundary more; those of earlier rungs are forgotten."""
    step = checkpoint.ref.step
    nats = {s.retention_set: math.log1p(s.resolved_ratio) for s in measured.scores_of(SetUse.CONTROL) if s.sane}
    same_rung = [point for point in stage.recent if point.step >= stage.adjusted_step]
    return replace(stage, recent=(*same_rung, Scored(step=step, nats=nats))[-POINTS_KEPT:])


def fall(stage: StageRun, name: str) -> float:
    """Nats by which a set's score fell over the last interval, if all of it was under the present rung; else 0."""
    if len(stage.recent) < POINTS_KEPT:
        return 0.0
    before, now = (point.nats.get(name, math.nan) for point in stage.recent)
    return before - now if before > now else 0.0


def projected_falls(spec: PipelineSpec, stage: StageRun) -> dict[str, float]:
    """Ratio projected to the stage's end of each retention set whose score falls under the present rung."""
    if len(stage.recent) < POINTS_KEPT:
        return {}
    (before, now), schedule = stage.recent, spec.stages[stage.plan.index].schedule
    if not _settled(spec, stage, before):
        return {}
    left = rate_left(schedule, now.step / stage.plan.steps)
    used = rate_left(schedule, before.step / stage.plan.steps) - left
    return {
        name: math.expm1(max(nats - fell * left / used, min(nats, 0.0)))
        for name, nats in now.nats.items()
        if (fell := fall(stage, name)) > 0 and used > 0
    }


def seen_to_the_end(
    spec: PipelineSpec, stage: StageRun, scores: Sequence[ForgettingScore], *, falls: Mapping[str, float]
) -> dict[str, float]:
    """As `projected_falls`, whose result is given, with the raw ratio of each set that was seen twice under the present
    rung and does not fall: a rise is not extended, and not forgiven either."""
    if len(stage.recent) < POINTS_KEPT or not _settled(spec, stage, stage.recent[0]):
        return {}
    before, now = stage.recent
    seen = before.nats.keys() & now.nats.keys()
    return {score.retention_set: score.ratio for score in scores if score.retention_set in seen} | dict(falls)


def _settled(spec: PipelineSpec, stage: StageRun, point: Scored) -> bool:
    return point.step / stage.plan.steps >= Limits.of(spec.forgetting).settle


def rate_left(schedule: ScheduleSpec, progress: float) -> float:
    """Area under the learning rate from `progress` to the stage's end; the peak and the stage's length are 1."""
    width = (1.0 - progress) / SLICES
    return width * math.fsum(rate_at(schedule, progress + (i + 0.5) * width) for i in range(SLICES))


def rate_at(schedule: ScheduleSpec, progress: float) -> float:
    """Share of the peak rate at a share of the stage: the shapes of model/training/lr_schedule.py (not seen here)."""
    warmup, floor, decay = schedule.warmup or 0.0, schedule.floor or 0.0, schedule.decay or 0.0
    if progress < warmup:
        return progress / warmup
    begins = max(warmup, 1.0 - decay) if schedule.kind is ScheduleKind.WSD else warmup
    if schedule.kind is ScheduleKind.CONSTANT or progress < begins or begins >= 1.0:
        return 1.0
    done = (progress - begins) / (1.0 - begins)
    if schedule.kind is ScheduleKind.COSINE:
        return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * done))
    return 1.0 - (1.0 - floor) * done
