"""The charts of a run's figures as it trains. Altair, from plain rows."""

import functools
from typing import Any

import altair as alt
import pandas as pd

from ui.client.views import MetricSeries
from ui.panel.axes import Axis, Starts, shared_axis, stage_marks
from ui.panel.charts import GENERAL
from ui.panel.refresh.chart import KeptChart
from ui.panel.run.series import Figure, figures

HEIGHT = 200
FORMATS = {"tokens_per_second": "~s", "learning_rate": ".1e", "share": ".0%"}
STEPPED = frozenset({"share", "curriculum_level"})  # what holds until it is changed
COLOURS = ("#3b7cf0", "#d9622b", "#2e9e5b", "#a06bd6", "#b07d00", "#0f8f86")


@functools.lru_cache(maxsize=16)
def draw_figures(series: tuple[MetricSeries, ...], begins: Starts) -> tuple[tuple[Figure, Any], ...]:
    """Each figure with its chart. Kept, because every tab asks for the same."""
    return tuple((one, KeptChart(chart(one, begins))) for one in figures(series, begins) if one.rows)


def chart(figure: Figure, begins: Starts) -> Any:
    """One figure over the axis, a line for each source that it is of; each stage is marked where it begins, on the axis
    of time where it is first told of."""
    axis, first = begins.axis, dict[str, float]()
    known = {} if axis is Axis.TIME else dict(begins.by_stage)
    for row in figure.rows:
        first[row["stage"]] = known.get(row["stage"], min(row["x"], first.get(row["stage"], row["x"])))
    named = [name for name in figure.sets if name]
    form = FORMATS.get(figure.name, ".4~g")
    # A rate that changes by a thousandth is no picture of a fall: speeds and shares stand on 0, losses do not.
    on_zero = figure.name in {"tokens_per_second", "share"}
    scale = alt.Scale(domainMin=0, nice=True) if on_zero else alt.Scale(zero=False, padding=8)
    if named:
        colour: Any = alt.Color(
            "set:N",
            title=None,
            scale=alt.Scale(domain=named, range=list(COLOURS)),
            legend=alt.Legend(orient="top", labelLimit=0),
        )
    else:
        colour = alt.value(GENERAL)
    base = alt.Chart(pd.DataFrame(list(figure.rows))).encode(
        x=shared_axis(axis, ticks=5),
        y=alt.Y("value:Q", title=None, scale=scale, axis=alt.Axis(format=form, tickCount=5)),
        color=colour,
    )
    tooltip = [
        "stage:N",
        "attempt:Q",
        "step:Q",
        *(["set:N"] if named else []),
        alt.Tooltip("value:Q", format=form, title=figure.title),
    ]
    lines = base.mark_line(
        strokeWidth=1.8, interpolate="step-after" if figure.name in STEPPED else "linear", clip=True
    ).encode(detail=["stage:N", "set:N"])
    points = base.mark_point(filled=True, size=14, opacity=0.55).encode(tooltip=tooltip)
    return alt.layer(stage_marks(tuple(first.items()), axis), lines, points).properties(height=HEIGHT)
