"""The gate's thresholds as plain numbers, and the severity of a score by them."""

from dataclasses import dataclass

from retain.values import Severity
from retain.values.severity import LEAST_RATIO, SUSPICIOUS_BELOW, doubt_of, severity_of

__all__ = ["LEAST_RATIO", "SUSPICIOUS_BELOW", "Limits"]
UNSETTLED_STOP_FACTOR = 3.0  # of stop, before a score has settled
# Of stop, the raw score that no projection excuses. Stages of experiment (i) that ended within their budget had been at
# up to 70 % after settling, 3.5 times a stop of 20 %; one at 123 % was at 50 % when it ended.
PROJECTED_CEILING_FACTOR = 5.0


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The thresholds of a stage as plain numbers: ratios, `settle` is a share of the stage. A budget that nobody set
    while mitigation is off is infinite."""

    minor: float
    action: float
    stop: float
    budget: float
    settle: float
    confirm: int
    mitigate: bool
    suspicious_below: float = SUSPICIOUS_BELOW
    stop_projected: bool = False
    unsettled_stop_factor: float = UNSETTLED_STOP_FACTOR
    projected_ceiling_factor: float = PROJECTED_CEILING_FACTOR

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
        return doubt_of(ratio, suspicious_below=self.suspicious_below) != "NONE"

    def severity(self, ratio: float) -> Severity:
        """How bad a score is; not finite is STOP."""
        return Severity[severity_of(ratio, minor=self.minor, action=self.action, stop=self.stop)]
