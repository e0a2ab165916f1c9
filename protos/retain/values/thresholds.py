"""The bounds of the severities as plain numbers: what the gate acts by, and what detector, command and panel show."""

from dataclasses import dataclass

from retain.values import Severity
from retain.values.severity import SUSPICIOUS_BELOW, Doubt, doubt_of, severity_of, within_floor

# Where nobody says other ones: what the orchestrator fills in, the detector asks by, and alerts fire from.
MINOR, ACTION, STOP = 0.05, 0.10, 0.20


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Where a ratio becomes minor (watch), a case for action, and a stop (go back). Inclusive: exactly `action` acts.
    Below `suspicious_below` a score is too good: the baseline or the set is in doubt."""

    minor: float
    action: float
    stop: float
    suspicious_below: float = SUSPICIOUS_BELOW

    def severity(self, ratio: float, floor_ratio: float | None = None) -> Severity:
        """Severity of a score; NaN and infinity are STOP. `floor_ratio`: the noise floor of the gauge, where it is
        known; within it a score is UNRESOLVED, which is no verdict."""
        if within_floor(ratio, floor_ratio):
            return Severity.UNRESOLVED
        return Severity[severity_of(ratio, minor=self.minor, action=self.action, stop=self.stop)]

    def doubt(self, ratio: float) -> Doubt:
        """Whether a score is too good to be true."""
        return doubt_of(ratio, suspicious_below=self.suspicious_below)
