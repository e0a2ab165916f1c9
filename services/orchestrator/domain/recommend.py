"""What people are told to do about a score, by its severity."""

from services.orchestrator.domain.decision import Severity
from services.orchestrator.domain.gate import Limits


def recommendations(severity: Severity, limits: Limits) -> tuple[str, ...]:
    """Lines for people; they name the learning rate too, which the ladder touches only after the replay share."""
    minor, action, stop = (f"{100 * limit:g}" for limit in (limits.minor, limits.action, limits.stop))
    if severity is Severity.STOP:
        return (
            f"✗ Severe forgetting detected ({stop}% degradation or more, or not a finite number)",
            "→ STOP and restore the last good checkpoint",
            "→ INCREASE general data mix ratio (e.g., 10% → 30%)",
            "→ LOWER learning rate by 50% (e.g., 1e-5 → 5e-6)",
        )
    if severity is Severity.ACTION:
        return (
            f"⚠ Moderate forgetting detected ({action}-{stop}% degradation)",
            "→ INCREASE general data mix ratio (e.g., 10% → 20%)",
            "→ LOWER learning rate by 50% (e.g., 1e-5 → 5e-6)",
        )
    if severity is Severity.MINOR:
        return (f"⚠ Minor forgetting detected ({minor}-{action}% degradation)", "→ WATCH the next evaluations")
    if severity is Severity.OK:
        return (f"✓ No significant forgetting (below {minor}%)",)
    return ()
