"""Where a falling score will end: what the ladder compares with `action` once a rung has shown how it works.

Forgetting peaks early and falls as the learning rate decays, so a score above `action` in the middle of a stage need
not be above it at the end, and a ladder that climbs at each such boundary halves a learning rate that the model needs
to recover with. Two settled boundaries under the same rung (the first may be the one at which the rung begins) tell how
fast a score falls. What is still to come is in proportion to the learning rate that is still to come: with A(p) the
area under the schedule from p (a share of the stage) to the stage's end,

    nats_end = nats_2 - (nats_1 - nats_2) * A(p_2) / (A(p_1) - A(p_2))

but never below 0 (nor below a score that is under 0 already). A rise is not extended, and one boundary says nothing:
the raw score is compared then. So a projection is never above the raw score, and never falls when the score rises.
"""

import math
from dataclasses import replace

from services.orchestrator.domain.gate import Limits
from services.orchestrator.domain.run_state import Checkpoint, Settled, StageRun
from services.orchestrator.domain.spec import PipelineSpec, ScheduleKind, ScheduleSpec
from services.orchestrator.domain.values import Measurement, SetUse

POINTS_KEPT = 2
SLICES = 200  # of the sum that stands for the area


def note(spec: PipelineSpec, stage: StageRun, checkpoint: Checkpoint, measured: Measurement) -> StageRun:
    """The stage with one settled boundary more; those of earlier rungs are forgotten."""
    step = checkpoint.ref.step
    if step / stage.plan.steps < Limits.of(spec.forgetting).settle:
        return stage
    nats = {s.retention_set: math.log1p(s.ratio) for s in measured.scores_of(SetUse.CONTROL) if s.sane}
    same_rung = [point for point in stage.settled if point.step >= stage.adjusted_step]
    return replace(stage, settled=(*same_rung, Settled(step=step, nats=nats))[-POINTS_KEPT:])


def projected_falls(spec: PipelineSpec, stage: StageRun) -> dict[str, float]:
    """Ratio projected to the stage's end of each retention set whose score falls under the present rung."""
    if len(stage.settled) < POINTS_KEPT:
        return {}
    (before, now), schedule = stage.settled, spec.stages[stage.plan.index].schedule
    left = rate_left(schedule, now.step / stage.plan.steps)
    used = rate_left(schedule, before.step / stage.plan.steps) - left
    found = {}
    for name, nats in now.nats.items():
        fall = before.nats.get(name, nats) - nats
        if fall > 0 and used > 0:
            found[name] = math.expm1(max(nats - fall * left / used, min(nats, 0.0)))
    return found


def rate_left(schedule: ScheduleSpec, progress: float) -> float:
    """Area under the learning rate from `progress` to the stage's end; the peak and the stage's length are 1."""
    width = (1.0 - progress) / SLICES
    return width * math.fsum(rate_at(schedule, progress + (i + 0.5) * width) for i in range(SLICES))


def rate_at(schedule: ScheduleSpec, progress: float) -> float:
    """Share of the peak rate at a share of the stage: the shapes of model/schedules.py, which this layer cannot see."""
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
