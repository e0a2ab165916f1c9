"""What the gate acts by: the thresholds, and what it makes of them in the course of a stage."""

import math
from dataclasses import dataclass

from retain.values.severity import Doubt
from retain.values.thresholds import Thresholds

UNSETTLED_STOP_FACTOR = 3.0  # of stop, before a score has settled
# Of stop, the raw score that no projection excuses. Stages of experiment (i) that ended within their budget had been at
# up to 70 % after settling, 3.5 times a stop of 20 %; one at 123 % was at 50 % when it ended.
PROJECTED_CEILING_FACTOR = 5.0


@dataclass(frozen=True, kw_only=True)
class Limits(Thresholds):
    """The thresholds of a stage, and the rest of what its gate goes by: ratios, `settle` is a share of the stage. A
    budget that nobody set while mitigation is off is infinite; `probe_budget` is a share of items."""

    budget: float
    settle: float
    confirm: int
    mitigate: bool
    stop_projected: bool = False
    unsettled_stop_factor: float = UNSETTLED_STOP_FACTOR
    projected_ceiling_factor: float = PROJECTED_CEILING_FACTOR
    probe_budget: float = math.inf

    @property
    def unsettled_stop(self) -> float:
        """What acts before settling: 3 x 0.2 is 0.6, not a hair above."""
        return round(self.unsettled_stop_factor * self.stop, 12)

    @property
    def projected_ceiling(self) -> float:
        """What acts after settling whatever is projected."""
        return round(self.projected_ceiling_factor * self.stop, 12)

    def doubtful(self, ratio: float) -> bool:
        """Whether a score is too good to be true: below the floor, or below -1, which is impossible."""
        return self.doubt(ratio) is not Doubt.NONE
