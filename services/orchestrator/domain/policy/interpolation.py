"""Which point of the interpolation between a stage's parent and its result is taken. handlers/interpolation.py has the
why and the way."""

import math
from collections.abc import Mapping, Sequence

from retain.values import InterpolationSpec, LinePoint, PointKind, SetRole, SetUse
from retain.values.severity import LEAST_RATIO
from services.orchestrator.domain.policy.gate import worst_of
from services.orchestrator.domain.policy.limits import Limits
from services.orchestrator.domain.values import Measurement

PARENT, RESULT = 0.0, 1.0
MIDDLE = 0.5  # of a point of the own path: the mean of its two ends


def kinds_of(given: InterpolationSpec) -> Mapping[float, PointKind]:
    """What lies at each point that a spec asks for."""
    kinds = given.kinds or (PointKind.SEGMENT,) * len(given.points)
    return dict(zip(given.points, kinds, strict=True))


def path_boundary(point: float, boundaries: int) -> int | None:
    """The boundary of the own checkpoint that a point of the path is made with, before the last; None: none."""
    return max(1, min(boundaries - 1, round(point * boundaries))) if boundaries > 1 else None


def path_boundaries(given: InterpolationSpec, boundaries: int) -> frozenset[int]:
    """Those of all points of the path that a spec asks for."""
    asked = (path_boundary(point, boundaries) for point, kind in kinds_of(given).items() if kind is PointKind.PATH)
    return frozenset(boundary for boundary in asked if boundary is not None)


def line_weight(point: float, kind: PointKind) -> float:
    """Weight of the result against the other end; of FAPM the share of the change that is kept."""
    return MIDDLE if kind is PointKind.PATH else point


def interpolation_point(point: float, measured: Measurement, kind: PointKind = PointKind.SEGMENT) -> LinePoint:
    """What was measured at a point, as far as the gauge resolves it. Whatever is missing is NaN, and a point with a NaN
    is never chosen."""
    worst = worst_of(measured.deciding(SetUse.CONTROL))
    targets = [r.loss_nats for r in measured.results_of(SetUse.CONTROL) if r.set.role is SetRole.TARGET]
    return LinePoint(
        point=point,
        forgetting=worst.resolved_ratio if worst is not None and point != PARENT else None,
        worst_set=worst.retention_set if worst is not None and point != PARENT else "",
        target_loss_nats=targets[0] if targets else math.nan,
        kind=kind,
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
        and meets_min_gain(points, p.point, least_gain_nats)
    ]
    return min(good, key=lambda p: (p.target_loss_nats, -p.point), default=None)


def meets_min_gain(points: Sequence[LinePoint], point: float, least_gain_nats: float) -> bool:
    """Whether a point's loss on the target lies at least so far below the parent's. NaN never does."""
    losses = {p.point: p.target_loss_nats for p in points}
    return losses.get(PARENT, math.nan) - losses.get(point, math.nan) >= least_gain_nats


def limit_of(limits: Limits) -> float:
    """What a point must stay below: the budget, and what the gate accepts at a stage's end at all."""
    return min(limits.budget, limits.action)


def describe(points: Sequence[LinePoint], chosen: LinePoint | None) -> str:
    """What was measured and taken, in words, for people."""
    parent = next((p.target_loss_nats for p in points if p.point == PARENT), math.nan)
    rows = [
        f"{named(p)}: {p.worst_set} {p.forgetting:+.2%}, target {p.target_loss_nats - parent:+.4f} nats"
        for p in points
        if p.forgetting is not None
    ]
    said = "none keeps the budget and gains enough" if chosen is None else f"{named(chosen)} is taken"
    return f"interpolated from the parent (0) to the result (1) {said}; {'; '.join(rows)}"


def named(point: LinePoint) -> str:
    """A point as people are told of it; those of the line by their number alone."""
    return f"{point.point:g}" if point.kind is PointKind.SEGMENT else f"{point.kind} {point.point:g}"
