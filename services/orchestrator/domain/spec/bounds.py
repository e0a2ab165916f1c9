"""What the controllers may choose and what their law assumes, as plain numbers from the spec: `forgetting.ladder` and
`forgetting.anticipate`.

    forgetting_nats = c / (share + share_offset)

The defaults were measured on one small model (anticipation.py and ladder.py in domain/policy have the figures); what
half and double of each does is not measured yet.
"""

import math
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from services.orchestrator.domain.spec.spec import AnticipateSpec, ForgettingSpec, LadderSpec

Bounds = TypeVar("Bounds", LadderSpec, AnticipateSpec)
EARLY = 0.1  # of a stage: where the reference run was looked at first

# What `forgetting.anticipate` holds where it says nothing.
DEFAULT_ANTICIPATE = AnticipateSpec(
    aim=0.9,
    share_offset=0.05,
    smallest_share=0.02,
    largest_share=0.5,  # nothing was measured beyond it
    share_step=0.01,
    least_raise=0.02,  # smaller changes are noise of the estimate
    least_relief=0.05,
    relief_felt=0.95,  # late, what goes wrong cannot be undone
    boundaries_used=3,  # old ones are of another learning rate
    lag=0.1,
    early_forgetting=0.236,  # GSM8K, share .25: nats forgotten at a tenth of the stage
    end_forgetting=0.122,  # and at its end
)
# What `forgetting.ladder` holds where it says nothing.
DEFAULT_LADDER = LadderSpec(rungs=(0.2, 0.3, 0.5), rate_factor=0.5, largest_replay=0.9)


def _given_or(given: Bounds, default: Bounds) -> dict[str, Any]:
    """The fields of `given`; those that it does not say are those of `default`."""
    values = {f.name: getattr(given, f.name) for f in fields(given)}
    return {name: getattr(default, name) if value in (None, ()) else value for name, value in values.items()}


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """The bounds as plain numbers. `largest_replay` is of all shares together; the rest is for what the stage is to
    learn."""

    rungs: tuple[float, ...]
    rate_factor: float
    largest_replay: float

    @classmethod
    def of(cls, rules: ForgettingSpec) -> "Ladder":
        """From a spec; what it does not say (one stored before it could say it) is the default."""
        return cls(**_given_or(rules.ladder, DEFAULT_LADDER))


@dataclass(frozen=True, kw_only=True)
class Anticipation:
    """The fields of `forgetting.anticipate`, each with a value."""

    aim: float
    share_offset: float
    smallest_share: float
    largest_share: float
    share_step: float
    least_raise: float
    least_relief: float
    relief_felt: float
    boundaries_used: int
    lag: float
    early_forgetting: float
    end_forgetting: float

    @classmethod
    def of(cls, rules: ForgettingSpec) -> "Anticipation":
        """From a spec; what it does not say (one stored before it could say it) is the default."""
        return cls(**_given_or(rules.anticipate, DEFAULT_ANTICIPATE))

    def end_over_present(self, progress: float) -> float:
        """Forgetting at a stage's end over that at `progress` (0 to 1), of the reference run, straight between its two
        points, in nats."""
        early, end = math.log1p(self.early_forgetting), math.log1p(self.end_forgetting)
        at = min(max(progress, EARLY), 1.0)
        return end / (early + (end - early) * (at - EARLY) / (1.0 - EARLY))

    def percent(self, share: float) -> float:
        """The next whole step of a share, within what may be chosen."""
        step = math.ceil(round(share / self.share_step, 6)) * self.share_step
        return round(min(max(step, self.smallest_share), self.largest_share), 6)
