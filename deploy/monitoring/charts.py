"""What a dashboard is made of, before any builder: queries, charts, boards."""

from collections.abc import Iterator
from dataclasses import dataclass

RUN = '{run=~"$run"}'
GREEN, YELLOW, ORANGE, RED, GREY = "green", "yellow", "orange", "red", "gray"


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A query and what its lines are called."""

    expr: str
    legend: str = "{{run}} {{stage}}"


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One panel. `unit` is Grafana's name of it; `bands` are (from, colour) drawn behind the lines, above `base`."""

    title: str
    about: str
    curves: tuple[Curve, ...]
    unit: str = "short"
    bands: tuple[tuple[float, str], ...] = ()
    base: str = GREEN
    number: bool = False  # one big number instead of lines
    wide: bool = False
    logarithmic: bool = False


@dataclass(frozen=True, kw_only=True)
class Board:
    """One dashboard: `uid` is its address, and the name of its file."""

    uid: str
    title: str
    about: str
    charts: tuple[Chart, ...]
    by_run: bool = True

    def expressions(self) -> Iterator[str]:
        """Every query, with the run variable opened to all runs."""
        for chart in self.charts:
            for curve in chart.curves:
                yield curve.expr.replace("$run", ".*").replace("$__rate_interval", "1m")
