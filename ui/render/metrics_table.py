"""Series of a run's figures as a table with a line drawn in each row."""

import math
from collections.abc import Sequence

from rich.table import Table

from ui.client.views import MetricSeries
from ui.render import formatting

BLOCKS = "▁▂▃▄▅▆▇█"
WIDTH = 40


def metrics_table(series: Sequence[MetricSeries]) -> Table:
    """A row for each series: from, to, its ends, and how it goes."""
    table = Table("stage", "figure", "of", "steps", "first", "lowest", "highest", "last", "")
    for one in series:
        finite = [value for value in one.values if math.isfinite(value)] or [math.nan]
        ends = (one.values[0], min(finite), max(finite), one.values[-1])
        steps = f"{one.steps[0]:,} to {one.steps[-1]:,}"
        table.add_row(
            one.stage, one.name, one.set, steps, *(_shown(one.name, value) for value in ends), line(one.values)
        )
    return table


def line(values: Sequence[float], width: int = WIDTH) -> str:
    """A line of block characters, from the lowest value to the highest; `x` where a value is no finite number."""
    shown = [values[place * len(values) // width] for place in range(width)] if len(values) > width else values
    finite = [value for value in shown if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    top = len(BLOCKS) - 1
    return "".join(
        BLOCKS[round((value - low) / (high - low) * top) if high > low else 0] if math.isfinite(value) else "x"
        for value in shown
    )


def _shown(name: str, value: float) -> str:
    if name in ("forgetting", "share", "probe_accuracy", "probe_loss"):
        return formatting.percent(value, signed=name in ("forgetting", "probe_loss"))
    return formatting.rate(value) if name == "tokens_per_second" else f"{value:.4g}"
