"""The arithmetic of comparisons: what a fixed mix forgets at the same target loss.

Two runs rarely end with the same loss on the target, and the one that learned less has usually forgotten less too. So
forgetting is compared at *matched target loss*: the points of the fixed mixes that neither another one nor the straight
line between two others beats are joined by straight lines, and a run is held against the line at its own target loss.
So one more fixed mix can make the frontier better or leave it, and never worse.

                forgetting
                  |   x
                  |     x .         x  fixed mixes      .  the line between them
                  |   o     . x     o  a run: compared with the line straight above it
                  +----------------- target loss

Outside the losses that the line covers there is nothing to compare with. That is said ("not reached"), never
extrapolated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise


@dataclass(frozen=True, kw_only=True)
class Point:
    """Where a run ended: mean nats of a target token, and nats of a general token that were forgotten."""

    target_nats: float
    forgetting_nats: float
    label: str = ""

    @property
    def finite(self) -> bool:
        """False for a run that broke: it never counts as a point."""
        return math.isfinite(self.target_nats) and math.isfinite(self.forgetting_nats)


class Reach(StrEnum):
    """Whether a frontier has something to compare with at a target loss."""

    WITHIN = "within"
    BETTER_TARGET = "not reached: the frontier never learns the target as well"
    WORSE_TARGET = "not reached: every point of the frontier learns the target better"


@dataclass(frozen=True, kw_only=True)
class Matched:
    """A run beside the frontier at its own target loss. `ratio` < 1: it forgets less; None outside the frontier, and
    where the frontier forgets nothing. `end`: outside, the end of the frontier that is nearest."""

    reach: Reach
    frontier_nats: float | None = None
    ratio: float | None = None
    end: Point | None = None


def pareto(points: Sequence[Point]) -> list[Point]:
    """The finite points that no other one beats in both, by falling forgetting (and so rising target loss)."""
    best: list[Point] = []
    for point in sorted((p for p in points if p.finite), key=lambda p: (p.target_nats, p.forgetting_nats)):
        if not best or point.forgetting_nats < best[-1].forgetting_nats:
            best.append(point)
    return best


def frontier_of(points: Sequence[Point]) -> list[Point]:
    """Those of `pareto` that no straight line between two others passes below: the lower convex hull (Andrew 1979, the
    monotone chain). Between neighbours the slope rises, so a step of the target costs less and less forgetting."""
    hull: list[Point] = []
    for point in pareto(points):
        while len(hull) > 1 and _slope(hull[-2], point) <= _slope(hull[-2], hull[-1]):
            hull.pop()
        hull.append(point)
    return hull


def _slope(left: Point, right: Point) -> float:
    """Forgotten nats a nat of target loss."""
    return (right.forgetting_nats - left.forgetting_nats) / (right.target_nats - left.target_nats)


def match(run: Point, fixed: Sequence[Point]) -> Matched:
    """The run against the frontier of the fixed mixes at the run's target loss."""
    line = frontier_of(fixed)
    if not line or not run.finite or run.target_nats < line[0].target_nats:
        return Matched(reach=Reach.BETTER_TARGET, end=line[0] if line else None)
    if run.target_nats > line[-1].target_nats:
        return Matched(reach=Reach.WORSE_TARGET, end=line[-1])
    frontier = line[-1].forgetting_nats
    for left, right in pairwise(line):
        if left.target_nats <= run.target_nats <= right.target_nats:
            part = (run.target_nats - left.target_nats) / (right.target_nats - left.target_nats)
            frontier = left.forgetting_nats + part * (right.forgetting_nats - left.forgetting_nats)
            break
    ratio = run.forgetting_nats / frontier if frontier > 0 else None
    return Matched(reach=Reach.WITHIN, frontier_nats=frontier, ratio=ratio)
