"""What a person may change of a run while it lasts: retention of checkpoints, the promise about forgetting, labels."""

import math
from typing import Any

from retain.values.faults import mismatch
from ui.client.errors import BadInput, Violation
from ui.client.views import Run


def labels_text(run: Run) -> str:
    """The labels as they are typed: one `key=value` a line."""
    return "\n".join(f"{key}={value}" for key, value in sorted(run.spec.labels.items()))


def changed(
    run: Run, *, keep_last: int | None, budget_percent: float | None, max_retries: int | None, labels: str
) -> dict[str, Any]:
    """What differs from the run as it was seen, as `RetainClient.update` takes it: paths with their new values, None
    for a label that goes. Figures that are None stay. Raises BadInput for a line that is no label."""
    changes: dict[str, Any] = {}
    if keep_last is not None and keep_last != run.spec.checkpoints.keep_last:
        changes["checkpoints.keep_last"] = keep_last
    old = run.spec.forgetting
    if budget_percent is not None and not _same(budget_percent / 100, old.budget):
        changes["forgetting.budget"] = round(budget_percent / 100, 10)
    if max_retries is not None and max_retries != old.max_retries:
        changes["forgetting.max_retries"] = max_retries
    new, before = parse_labels(labels), dict(run.spec.labels)
    changes.update({f"labels.{key}": value for key, value in new.items() if before.get(key) != value})
    changes.update({f"labels.{key}": None for key in before if key not in new})
    return changes


def parse_labels(text: str) -> dict[str, str]:
    """`key=value` of each line. Raises BadInput for other lines, and for a key that stands twice."""
    found: dict[str, str] = {}
    faults = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals or not key:
            faults.append(Violation(field=f"labels line {number}", description=mismatch(repr(line), "key=value")))
        elif key in found:
            said = mismatch(f"{key!r} twice", "each label once")
            faults.append(Violation(field=f"labels line {number}", description=said))
        found[key] = value
    if faults:
        raise BadInput(faults)
    return found


def _same(new: float, old: float | None) -> bool:
    return old is not None and math.isclose(new, old, rel_tol=1e-9)
