"""The line between two models of one shape: weight interpolation as a way to forget less.

What: w(a) = (1 - a) * parent + a * result, for every weight. a = 0 is the parent, a = 1 the result.
Why it works: after fine-tuning from the parent, both ends lie in one basin of the loss, and on the line between them
the loss of the old text falls faster (towards the parent) than that of the new text rises (Wortsman et al. 2022,
arXiv:2109.01903 and 2203.05482). A point of the line often keeps most of what was learned and gives back most of what
was forgotten, at the price of measuring a few points and no training at all.
When not: models that did not grow from each other; and a = 0 returns the parent, which is no success.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from model.errors import BadConfig
from model.llama import Llama


@dataclass(frozen=True, kw_only=True)
class MeasuredPoint:
    """One point of the line, measured on control sets. `forgetting` is the worst ratio of the retention sets."""

    point: float
    target_nats: float
    forgetting: float


@torch.no_grad()
def interpolate(parent: Llama, result: Llama, point: float) -> Llama:
    """A new model at `point` of the line. Exactly the parent at 0 and exactly the result at 1."""
    if not 0.0 <= point <= 1.0:
        raise BadConfig("interpolation.points", point, "0 (the parent) to 1 (the result)")
    theirs = dict(parent.named_parameters())
    between = copy.deepcopy(result)
    for name, weight in between.named_parameters():
        if name not in theirs or theirs[name].shape != weight.shape:
            raise BadConfig(f"interpolation: {name}", "no such weight in the parent", "a parent of the same shape")
        if point == 0.0:
            weight.copy_(theirs[name])
        elif point < 1.0:
            weight.mul_(point).add_(theirs[name], alpha=1.0 - point)
    return between


def choose_point(
    points: Sequence[MeasuredPoint], *, budget: float, parent_target_nats: float, least_gain_nats: float
) -> MeasuredPoint | None:
    """The point with the least target loss among those within the budget that gain enough, or None: nothing qualifies.

    Fails closed: a point whose loss or forgetting is not finite never qualifies. Of equal points the one nearer to the
    result wins (it is the one that was trained).
    """
    good = [
        p
        for p in points
        if math.isfinite(p.target_nats)
        and math.isfinite(p.forgetting)
        and p.forgetting <= budget
        and p.point > 0.0
        and parent_target_nats - p.target_nats >= least_gain_nats
    ]
    return min(good, key=lambda p: (p.target_nats, -p.point), default=None)
