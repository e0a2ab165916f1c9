"""What people are told to do about a score, by its severity: the gate's decisions and the detector say it alike."""

from retain.values import Severity
from retain.values.severity import LEAST_RATIO
from retain.values.thresholds import Thresholds


def recommendations(
    severity: Severity,
    thresholds: Thresholds,
    *,
    doubted: float | None = None,
    name: str = "",
    replayed: bool = False,
    never_replayed: bool = False,
) -> tuple[str, ...]:
    """Lines for people about the worst score, the finding first.

    They name the learning rate too, which is touched only after the replay share, and it alone for a set that replay
    cannot help (`never_replayed`). doubted: the ratio of a score that is too good to be true, which is never praised;
    name: of its set; replayed: its text is part of the training data, so that a large fall means that it is being
    learned.
    """
    if doubted is not None:
        lines = _in_doubt(doubted, thresholds, name=name, replayed=replayed)
        worse = severity in (Severity.ACTION, Severity.STOP) and doubted >= LEAST_RATIO
        return (*lines, *recommendations(severity, thresholds, never_replayed=never_replayed)) if worse else lines
    minor, action, stop = (f"{100 * limit:g}" for limit in (thresholds.minor, thresholds.action, thresholds.stop))
    if severity is Severity.STOP:
        return (
            f"✗ Severe forgetting detected ({stop}% degradation or more, or not a finite number)",
            "→ STOP and restore the last good checkpoint",
            *_remedies(never_replayed, share="20-30%"),
        )
    if severity is Severity.ACTION:
        return (
            f"⚠ Moderate forgetting detected ({action}-{stop}% degradation)",
            *_remedies(never_replayed, share="20%"),
        )
    if severity is Severity.MINOR:
        return (f"⚠ Minor forgetting detected ({minor}-{action}% degradation)", "→ WATCH the next evaluations")
    if severity is Severity.UNRESOLVED:
        return ("≈ Not resolved: within its noise floor the gauge cannot tell a score from 0", "→ DO nothing about it")
    if severity is Severity.OK:
        return (f"✓ No significant forgetting (below {minor}%)", "→ CONTINUE with the present settings")
    return ()


def _remedies(never_replayed: bool, *, share: str) -> tuple[str, ...]:
    slower = "→ LOWER learning rate by 50% (e.g., 1e-5 → 5e-6)"
    if never_replayed:
        return (f"{slower}: text of this kind is not replayed, and replay protects what is like what it replays",)
    return f"→ INCREASE general data mix ratio (e.g., 10% → {share})", slower


def _in_doubt(ratio: float, thresholds: Thresholds, *, name: str, replayed: bool) -> tuple[str, ...]:
    found = f"{name} {ratio:+.4g}".strip()
    again = "→ MEASURE the baseline again: the same frozen set, the checkpoint before the stage"
    if ratio < LEAST_RATIO:
        return (
            f"✗ Impossible score ({found}): a perplexity cannot fall by more than 100%",
            again,
            "→ TRUST no score until the baseline is a measured one",
        )
    below = f"{100 * thresholds.suspicious_below:g}%"
    if replayed:
        return (
            f"? Suspicious score ({found}, below {below}): that text is replayed, so that text is being learned",
            "→ READ it as training on that text; whether the model kept what it knew before, it does not say",
            "→ LOWER the replay share if the text is not what is to be learned",
        )
    return (
        f"? Suspicious score ({found}, below {below}): text that is not trained on does not get so much easier",
        again,
        "→ CHECK that no evaluation text stands in the training data",
    )
