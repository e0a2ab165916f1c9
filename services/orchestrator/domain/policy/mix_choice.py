"""The share of old text before a stage begins, from a trial of mixes (OP-Mix, arXiv:2605.15220).

A worker has measured a few mixes that were simulated from the present model (model/training/mix_trial.py). Between
neighbouring points losses are taken to be straight. Of all shares that may be chosen, the one with the least loss on
the target is taken among those whose forgetting of every set keeps the part of the budget that is aimed at; where none
does, the largest: the controller that takes over measures whether even that was needed.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from retain.values import MixPoint
from services.orchestrator.domain.policy.anticipation import Anticipation


@dataclass(frozen=True, kw_only=True)
class MixChoice:
    """The share of old text that was chosen, in all, what is expected of it (nats: loss of the target, forgetting of
    the worst set), and whether it keeps the budget."""

    share: float
    target_nats: float
    forgetting_nats: float
    worst_set: str
    keeps: bool


def choose_share(
    points: Sequence[MixPoint], *, start: Mapping[str, float], law: Anticipation, budget: float, largest: float
) -> MixChoice | None:
    """The choice; None where a trial says nothing (fewer than two finite points). `start`: what was forgotten of each
    set before the stage (nats); `largest`: the largest share in all that the stage may replay."""
    known = sorted((p for p in points if _finite(p)), key=lambda p: p.share)
    if len(known) < 2:
        return None
    limit = law.aim * math.log1p(budget)
    found = [_expected(known, share, start, limit) for share in _shares(law, largest)]
    good = [one for one in found if one.keeps]
    return min(good, key=lambda one: (one.target_nats, one.share)) if good else found[-1]


def _shares(law: Anticipation, largest: float) -> list[float]:
    """Whole steps from the smallest to the largest share that may be chosen."""
    top = min(law.largest_share, largest)
    first, last = math.ceil(round(law.smallest_share / law.share_step, 6)), math.floor(round(top / law.share_step, 6))
    return [round(step * law.share_step, 6) for step in range(first, last + 1)] or [top]


def _expected(points: Sequence[MixPoint], share: float, start: Mapping[str, float], limit: float) -> MixChoice:
    nats = {name: _at(points, share, name) + start.get(name, 0.0) for name in points[0].forgetting_nats}
    worst = max(nats, key=lambda name: nats[name])
    target = _between([(p.share, p.target_loss_nats) for p in points], share)
    return MixChoice(
        share=share, target_nats=target, forgetting_nats=nats[worst], worst_set=worst, keeps=nats[worst] < limit
    )


def _at(points: Sequence[MixPoint], share: float, name: str) -> float:
    return _between([(p.share, p.forgetting_nats[name]) for p in points], share)


def _between(at: Sequence[tuple[float, float]], share: float) -> float:
    """Straight between neighbours; beyond the last point, as there."""
    if share <= at[0][0]:
        return at[0][1]
    for (left, low), (right, high) in pairwise(at):
        if share <= right:
            return low + (share - left) / (right - left) * (high - low)
    return at[-1][1]


def _finite(point: MixPoint) -> bool:
    return bool(point.forgetting_nats) and all(
        math.isfinite(nats) for nats in (point.target_loss_nats, *point.forgetting_nats.values())
    )


def told(points: Sequence[MixPoint], choice: MixChoice | None) -> str:
    """The table and the choice, in words, for people."""
    rows = "; ".join(
        f"{100 * p.share:g}%: target {p.target_loss_nats:.4f} nats, "
        + ", ".join(f"{name} {math.expm1(nats):+.2%}" for name, nats in sorted(p.forgetting_nats.items()))
        for p in points
    )
    if choice is None:
        return f"the trial of mixes says nothing, the share stays as it is ({rows or 'no points'})"
    kept = "keeps the budget" if choice.keeps else "is the largest allowed: none keeps the budget"
    expected = f"{choice.worst_set} {math.expm1(choice.forgetting_nats):+.2%}, target {choice.target_nats:.4f} nats"
    return f"the share {choice.share:g} {kept} (expected: {expected}); tried: {rows}"
