"""What a checkpoint measures: its row of the history of its run."""

import math
from collections.abc import Sequence

from retain.values import LinePoint
from ui.client.views import Checkpoint, Decision, ForgettingRecord


def measured(row: Checkpoint, history: Sequence[ForgettingRecord]) -> ForgettingRecord | None:
    """The newest measurement of this checkpoint; None where it was not measured."""
    found = [
        record
        for record in history
        if (record.stage, record.attempt, record.step) == (row.stage, row.attempt, row.ref.step) and not record.baseline
    ]
    return found[-1] if found else None


def line_points(row: Checkpoint, decisions: Sequence[Decision]) -> tuple[LinePoint, ...]:
    """The points between its stage's parent and result that a decision of its attempt was made on; none where nothing
    was interpolated. The newest decision counts."""
    found = [
        one.points for one in decisions if (one.stage, one.attempt) == (row.stage, row.attempt) and len(one.points) > 0
    ]
    return tuple(sorted(found[-1], key=lambda point: point.point)) if found else ()


def perplexities(record: ForgettingRecord | None) -> dict[str, float]:
    """The perplexity on each set, named with the use where that is not the gate's."""
    results = record.results if record is not None else ()
    return {
        result.set.name + (" (report)" if result.set.use == "REPORT" else ""): result.perplexity for result in results
    }


def side_by_side(
    left: ForgettingRecord | None, right: ForgettingRecord | None
) -> list[tuple[str, float | None, float | None, float | None]]:
    """Each set with both perplexities and, where both are measured, ln(right / left): nats a token, > 0 is worse."""
    one, two = perplexities(left), perplexities(right)
    rows = []
    for name in dict.fromkeys((*one, *two)):
        a, b = one.get(name), two.get(name)
        change = math.log(b / a) if a and b and math.isfinite(a) and math.isfinite(b) else None
        rows.append((name, a, b, change))
    return rows
