"""The charts of several runs. Altair, from plain rows."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from ui.client.views import MetricSeries, Run
from ui.panel.axes import NEUTRAL, Axis, shared_axis
from ui.panel.compare.frontier import Point
from ui.panel.run.series import begins

COLOURS = ("#3b7cf0", "#d9622b", "#2e9e5b", "#a06bd6", "#b07d00", "#0f8f86", "#d0427f", "#7a8b2f")
HEIGHT = 340
HOUR_S = 3600.0


def rows(runs: Sequence[Run], series: Mapping[str, Sequence[MetricSeries]], axis: Axis) -> list[dict[str, Any]]:
    """The points of one figure of several runs. Time is hours since each run was created, so that runs of different
    days lie over each other."""
    found = []
    for run in runs:
        own = series.get(run.id, ())
        begin = begins(run, own, axis)
        for one in own:
            for step, tokens, time_s, value in zip(one.steps, one.tokens, one.unix_seconds, one.values, strict=True):
                if not math.isfinite(value):
                    continue
                hours = (time_s - (run.create_time_s or time_s)) / HOUR_S
                place = hours if axis is Axis.TIME else begin.place(one.stage, step=step, tokens=tokens, time_s=None)
                line = " ".join(filter(None, (one.stage, one.set)))
                found.append({"x": place, "value": value, "run": run.id, "line": line, "step": step})
    return found


def lines(points: Sequence[Mapping[str, Any]], runs: Sequence[str], axis: Axis, title: str, form: str) -> Any:
    """A line for each run and stage, a colour for each run."""
    x = shared_axis(axis) if axis is not Axis.TIME else alt.X("x:Q", title="Hours since the run was created")
    legend = alt.Legend(orient="top", labelLimit=0, columns=2)
    base = alt.Chart(alt.Data(values=list(points))).encode(
        x=x,
        y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=False, padding=8), axis=alt.Axis(format=form)),
        color=alt.Color("run:N", title=None, scale=_scale(runs), legend=legend),
    )
    tooltip = ["run:N", "line:N", "step:Q", alt.Tooltip("value:Q", format=form, title=title)]
    marks = base.mark_line(strokeWidth=1.8).encode(detail=["run:N", "line:N"])
    return alt.layer(marks, base.mark_point(filled=True, size=16, opacity=0.6).encode(tooltip=tooltip)).properties(
        height=HEIGHT
    )


def scatter(points: Sequence[Point], best: Sequence[Point], runs: Sequence[str]) -> Any:
    """Forgetting over gain; the stepped line joins those that no other one beats."""

    def values(chosen: Sequence[Point]) -> Any:
        return alt.Data(values=[vars(one) for one in chosen])

    x = alt.X("gain:Q", title="Gain on the target (nats a token)", axis=alt.Axis(format=".3~g"),
        scale=alt.Scale(zero=False, padding=20),
    )  # fmt: skip
    y = alt.Y("forgetting:Q", title="Forgetting", axis=alt.Axis(format="+.0%"), scale=alt.Scale(padding=16))
    line = (
        alt.Chart(values(best)).mark_line(color=NEUTRAL, strokeDash=[5, 4], interpolate="step-before").encode(x=x, y=y)
    )
    tooltip = ["run_id:N", "stage:N", alt.Tooltip("gain:Q", format=".4f"), alt.Tooltip("forgetting:Q", format="+.2%")]
    base = alt.Chart(values(points)).encode(x=x, y=y)
    dots = base.mark_point(filled=True, size=110, opacity=1).encode(
        color=alt.Color("run_id:N", scale=_scale(runs), legend=None), tooltip=tooltip
    )
    names = base.mark_text(align="left", dx=8, fontSize=11, color=NEUTRAL).encode(text="run_id:N")
    return alt.layer(line, dots, names).properties(height=HEIGHT)


def _scale(runs: Sequence[str]) -> alt.Scale:
    return alt.Scale(domain=list(runs), range=[COLOURS[number % len(COLOURS)] for number in range(len(runs))])
