"""The ladder: what is changed when a stage forgets too much.

The replay share of the worst set goes up to the next rung, 20, 30, 50 % of the target tokens; after the last
rung the learning rate is halved. Measured on the same data, a nat of forgetting saved by replay costs about a third of
the target loss of one saved by the learning rate: so share comes first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, kw_only=True)
class Mix:
    """What the workers train with: share of each replay source, factor on the learning rate."""

    shares: Mapping[str, float] = field(default_factory=dict)
    lr_scale: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """Bounds of the ladder. `largest_replay` is of all shares together; the rest is for what the stage is to learn."""

    rungs: tuple[float, ...]
    rate_factor: float
    largest_replay: float


def climb(mix: Mix, worst_set: str, ladder: Ladder) -> tuple[Mix, str]:
    """The mix one rung higher, and what was changed, for people.

    Without a worst set (a loss that is not finite, a stage that has nothing to keep) only the learning rate can help.
    """
    now = mix.shares.get(worst_set)
    if now is not None:
        rung = next((rung for rung in ladder.rungs if rung > now), None)
        others = sum(share for name, share in mix.shares.items() if name != worst_set)
        if rung is not None and others + rung <= ladder.largest_replay:
            return replace(mix, shares={**mix.shares, worst_set: rung}), f"{worst_set} share {now:g} -> {rung:g}"
    lr_scale = mix.lr_scale * ladder.rate_factor
    return replace(mix, lr_scale=lr_scale), f"learning rate x {mix.lr_scale:g} -> x {lr_scale:g}"
