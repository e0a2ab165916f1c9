"""The rows of a probe: what a model answers now, item by item against what the stage's start answered.

A row is of one kind of item; the last one is of all kinds that decide. A kind at which the start was no better than
chance is shown only: what was never known cannot be lost.
"""

from collections.abc import Callable, Mapping, Sequence
from math import sqrt

from retain.values import ProbeKind, ProbeReport, ProbeResult

CHANCE: Mapping[ProbeKind, float] = {ProbeKind.CHOICE: 0.25}  # four endings; a form is not met by chance
KINDS = (ProbeKind.CHOICE, ProbeKind.FORMAT, ProbeKind.JSON, ProbeKind.STOP)
_Z = 1.959963984540054
Interval = Callable[[int, int, int], tuple[float, float]]


def probe_report(
    now: Mapping[str, bool], before: Mapping[str, bool], *, digest: str, interval: Interval
) -> ProbeReport:
    """The rows of a model against its start, over the items that both were asked. Answers are by id of the item, which
    begins with its kind; interval: of (lost, gained, items)."""
    both = sorted(now.keys() & before.keys())
    rows = []
    for kind in KINDS:
        items = [name for name in both if name.startswith(f"{kind.lower()}/")]
        if items:
            known = better_than(CHANCE.get(kind, 0.0), sum(before[name] for name in items), len(items))
            rows.append(_row(kind, items, now, before, interval, shown_only=not known))
    deciding = tuple(row.kind.lower() for row in rows if not row.shown_only)
    if deciding:
        items = [name for name in both if name.split("/", 1)[0] in deciding]
        rows.append(_row(ProbeKind.ALL, items, now, before, interval, shown_only=False))
    said = "" if rows else "no item fits the model's context"
    return ProbeReport(results=tuple(rows), not_measured=said, digest=digest)


def better_than(chance: float, right: int, items: int) -> bool:
    """Whether the lower end of Wilson's 95 % interval of right / items (Wilson 1927) is above chance."""
    share, z2 = right / items, _Z * _Z
    low = (share + z2 / (2 * items) - _Z * sqrt((share * (1 - share) + z2 / (4 * items)) / items)) / (1 + z2 / items)
    return right > 0 and low > chance


def _row(
    kind: ProbeKind,
    items: Sequence[str],
    now: Mapping[str, bool],
    before: Mapping[str, bool],
    interval: Interval,
    *,
    shown_only: bool,
) -> ProbeResult:
    lost = sum(before[name] and not now[name] for name in items)
    gained = sum(now[name] and not before[name] for name in items)
    low, high = interval(lost, gained, len(items))
    return ProbeResult(
        kind=kind,
        items=len(items),
        right=sum(now[name] for name in items),
        baseline_right=sum(before[name] for name in items),
        lost=lost,
        gained=gained,
        loss=(lost - gained) / len(items),
        loss_low=low,
        loss_high=high,
        shown_only=shown_only,
    )
