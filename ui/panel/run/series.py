"""The figures of a run as it trains, as rows for charts: loss, speed, rate, shares, curriculum level."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ui.client.views import MetricSeries, Run
from ui.panel.axes import Axis, Starts, starts

FIGURES = {  # by the name that the server has for it
    "train_loss_nats": "Training loss (nats a token)",
    "tokens_per_second": "Tokens a second",
    "learning_rate": "Learning rate",
    "share": "Share of replay",
    "curriculum_level": "Curriculum level",
}


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What is drawn of one figure. `left_out`: points that are no finite number."""

    name: str
    title: str
    rows: tuple[dict[str, Any], ...]
    left_out: int = 0

    @property
    def sets(self) -> tuple[str, ...]:
        """The sources that it has a line for; one empty name where it has a single line."""
        return tuple(dict.fromkeys(row["set"] for row in self.rows))


def begins(run: Run, series: Sequence[MetricSeries], axis: Axis) -> Starts:
    """The stages on the axis; one whose length is not planned yet is as long as what is known of it."""
    seen: dict[str, int] = {}
    for one in series:
        places = one.tokens if axis is Axis.TOKENS else one.steps
        seen[one.stage] = max([seen.get(one.stage, 0), *places])
    return starts(run, axis, seen=seen)


def figures(series: Sequence[MetricSeries], begin: Starts) -> list[Figure]:
    """Each figure that there is something to draw of, in the order of FIGURES."""
    found = []
    for name, title in FIGURES.items():
        rows, left_out = [], 0
        for one in series:
            if one.name != name:
                continue
            for step, tokens, time_s, attempt, value in zip(
                one.steps, one.tokens, one.unix_seconds, one.attempts, one.values, strict=True
            ):
                if not math.isfinite(value):
                    left_out += 1
                    continue
                place = begin.place(one.stage, step=step, tokens=tokens, time_s=time_s)
                rows.append(
                    {"x": place, "value": value, "set": one.set, "stage": one.stage, "step": step, "attempt": attempt}
                )
        if rows or left_out:
            found.append(Figure(name=name, title=title, rows=tuple(rows), left_out=left_out))
    return found
