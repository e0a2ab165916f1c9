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
from dataclasses import dataclass

from retain.values import ForgettingScore
from services.orchestrator.domain.policy.learning_rate import RateShape

POINTS_KEPT = 2


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Scores of one boundary in nats, by retention set."""

    step: int
    nats: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Horizon:
    """What lies before a stage's end: its length in steps, the share of it after which scores have settled, and the
    shape of the learning rate over it."""

    steps: int
    settle: float
    rate: RateShape

    def progress(self, step: int) -> float:
        """Share of the stage that is done at a step, 0 to 1."""
        return step / self.steps

    def settled(self, step: int) -> bool:
        """Whether a score at this step says something about the stage's end."""
        return self.progress(step) >= self.settle


def append_score(
    recent: Sequence[Scored], step: int, scores: Sequence[ForgettingScore], *, adjusted_step: int
) -> tuple[Scored, ...]:
    """The last boundaries with one more; those of earlier rungs (before `adjusted_step`) are forgotten."""
    nats = {s.retention_set: math.log1p(s.resolved_ratio) for s in scores if s.is_valid_ratio}
    same_rung = [point for point in recent if point.step >= adjusted_step]
    return (*same_rung, Scored(step=step, nats=nats))[-POINTS_KEPT:]


def score_decrease(recent: Sequence[Scored], name: str) -> float:
    """Nats by which a set's score fell over the last interval, if all of it was under the present rung; else 0."""
    if len(recent) < POINTS_KEPT:
        return 0.0
    before, now = (point.nats.get(name, math.nan) for point in recent)
    return before - now if before > now else 0.0


def projected_decreases(recent: Sequence[Scored], horizon: Horizon) -> dict[str, float]:
    """Ratio projected to the stage's end of each retention set whose score falls under the present rung."""
    if len(recent) < POINTS_KEPT:
        return {}
    before, now = recent
    if not horizon.settled(before.step):
        return {}
    left = horizon.rate.left(horizon.progress(now.step))
    used = horizon.rate.left(horizon.progress(before.step)) - left
    return {
        name: math.expm1(max(nats - decrease * left / used, min(nats, 0.0)))
        for name, nats in now.nats.items()
        if (decrease := score_decrease(recent, name)) > 0 and used > 0
    }


def seen_to_the_end(
    recent: Sequence[Scored],
    horizon: Horizon,
    scores: Sequence[ForgettingScore],
    *,
    decreases: Mapping[str, float],
) -> dict[str, float]:
    """As `projected_decreases`, whose result is given, with the raw ratio of each set that was seen twice under the
    present rung and does not fall: a rise is not extended, and not forgiven either."""
    if len(recent) < POINTS_KEPT or not horizon.settled(recent[0].step):
        return {}
    before, now = recent
    seen = before.nats.keys() & now.nats.keys()
    return {score.retention_set: score.ratio for score in scores if score.retention_set in seen} | dict(decreases)
