"""The two charts of a run: both perplexities on one axis, and forgetting within its bands. Altair, from plain rows."""

import functools
from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from ui.client.views import Run
from ui.panel.axes import NEUTRAL, Axis, Starts, shared_axis, stage_marks, starts
from ui.panel.refresh.chart import KeptChart
from ui.render.perplexity_table import DualRow
from ui.render.severity import MARKS, Thresholds

GENERAL, TARGET = "#3b7cf0", "#d9622b"
SETS = ("general", "its baseline", "target")  # the target: the domain, or chat
SETS_COLOURS = dict(zip(SETS, (GENERAL, NEUTRAL, TARGET), strict=True))
VERDICT_MARKS = {"ADJUST": "triangle-up", "ROLL_BACK": "triangle-down", "STOP": "cross", "ACCEPT": "diamond"}
WORDS = "datum.label == 'ROLL_BACK' ? 'roll back' : lower(datum.label)"  # as the decisions below have them
HEIGHT = 300
LEAST_NAMED = 0.04  # of the axis: a thinner band has no room for its name
TOP_SHARE = 1.15  # room over the highest score or the stop threshold


def stage_starts(rows: Sequence[DualRow], run: Run, axis: Axis = Axis.TOKENS) -> Starts:
    """Where each stage begins on the axis; one whose length is not planned yet is as long as what was measured."""
    seen: dict[str, int] = {}
    for row in rows:
        seen[row.stage] = max(seen.get(row.stage, 0), row.tokens if axis is Axis.TOKENS else row.step)
    return starts(run, axis, seen=seen)


@functools.lru_cache(maxsize=16)
def draw(rows: tuple[DualRow, ...], begins: Starts, thresholds: Thresholds) -> tuple[Any | None, Any | None]:
    """Both charts, None where there is nothing to draw. Kept, because every tab asks for the same."""
    data = frame(rows, begins)
    if data.empty:
        return None, None
    axis = begins.axis
    forgetting = None if data["forgetting"].isna().all() else KeptChart(forgetting_chart(data, thresholds, axis))
    return KeptChart(perplexity_chart(data, axis)), forgetting


def frame(rows: Sequence[DualRow], begins: Starts) -> pd.DataFrame:
    """One line per boundary; attempts of a stage overlap on the axes of tokens and steps."""
    data = pd.DataFrame(
        [
            {
                "x": begins.place(row.stage, step=row.step, tokens=row.tokens, time_s=row.time_s),
                "begin": begins.place(row.stage, step=0, tokens=0, time_s=row.time_s),
                "stage": row.stage,
                "line": f"{row.stage} {row.attempt}",
                "attempt": row.attempt,
                "step": row.step,
                "target": row.target_perplexity if row.target_set != "general" else None,
                "target set": row.target_set,
                "general": row.general_perplexity,
                "baseline": row.general_baseline,
                "forgetting": row.forgetting,
                "low": row.forgetting_low,
                "high": row.forgetting_high,
                "of": row.worst_set,
                "floor": row.floor,
                "colour": MARKS["UNRESOLVED"].hex_colour if row.severity == "UNRESOLVED" else GENERAL,
                "verdict": row.verdict,
            }
            for row in rows
        ]
    )
    return data if data.empty else data.dropna(subset=["x"])


def perplexity_chart(data: pd.DataFrame, axis: Axis = Axis.TOKENS) -> Any:
    """General and target perplexity on one logarithmic axis, so that equal distances are equal losses; dashed: what the
    general one is compared with."""
    general = data[["x", "stage", "line", "attempt", "step"]].assign(perplexity=data["general"], set=SETS[0])
    baseline = general.assign(perplexity=data["baseline"], set=SETS[1])
    target = general.assign(perplexity=data["target"], set=SETS[2])
    both = pd.concat([general, baseline, target]).dropna(subset=["perplexity"])
    shown = [name for name in SETS if name in set(both["set"])]
    colour = alt.Color(
        "set:N",
        title=None,
        scale=alt.Scale(domain=shown, range=[SETS_COLOURS[name] for name in shown]),
        legend=alt.Legend(orient="top", labelLimit=0),
    )
    base = alt.Chart(both).encode(
        x=shared_axis(axis),
        y=alt.Y(
            "perplexity:Q",
            title="Perplexity",
            axis=alt.Axis(format=".4~g"),
            scale=alt.Scale(type="log", nice=False, zero=False, padding=12),
        ),
        color=colour,
    )
    measured = base.transform_filter(alt.datum.set != SETS[1])
    compared = base.transform_filter(alt.datum.set == SETS[1]).mark_line(strokeWidth=2, strokeDash=[5, 4])
    lines = [measured.mark_line(strokeWidth=2).encode(detail=["line:N", "set:N"]), compared.encode(detail="stage:N")]
    points = measured.mark_point(filled=True, size=36).encode(
        tooltip=["stage:N", "attempt:Q", "step:Q", "set:N", alt.Tooltip("perplexity:Q", format=".4g")]
    )
    return alt.layer(_stage_rules(data, axis), *lines, points).properties(height=HEIGHT)


def forgetting_chart(data: pd.DataFrame, thresholds: Thresholds, axis: Axis = Axis.TOKENS) -> Any:
    """The score with its 95 % interval within the bands OK, minor, action, stop; what the gate did is marked. What lies
    within the noise floor has no colour."""
    scored = data.dropna(subset=["forgetting"])
    finite = [value for value in (*scored["forgetting"], *scored["high"].dropna()) if abs(value) != float("inf")]
    top = max([thresholds.stop, *finite]) * TOP_SHARE
    bottom = min([0.0, *finite, *scored["low"].dropna()]) * TOP_SHARE
    scale = alt.Scale(domain=[bottom, top], nice=False)
    y = alt.Y("forgetting:Q", title="Forgetting", axis=alt.Axis(format="+.0%"), scale=scale)
    layers: list[Any] = [
        *_bands(thresholds, bottom, top, _floor(scored), scale),
        _stage_rules(data, axis),
    ]
    base = alt.Chart(scored).encode(x=shared_axis(axis))
    # No screen reader is told of it: where no score has an interval its group would have no name.
    interval = base.mark_errorbar(rule={"aria": False})
    layers.append(interval.encode(y=alt.Y("low:Q", scale=scale, title="Forgetting"), y2="high:Q"))
    layers.append(base.mark_line(strokeWidth=2, color=GENERAL).encode(y=y, detail="line:N"))
    tooltip = [
        "stage:N",
        "attempt:Q",
        "step:Q",
        "of:N",
        alt.Tooltip("forgetting:Q", format="+.1%"),
        alt.Tooltip("low:Q", format="+.1%"),
        alt.Tooltip("high:Q", format="+.1%"),
        alt.Tooltip("floor:Q", format=".1e", title="noise floor"),
        "verdict:N",
    ]
    shape = alt.Shape(
        "verdict:N",
        title=None,
        scale=alt.Scale(domain=list(VERDICT_MARKS), range=list(VERDICT_MARKS.values())),
        legend=alt.Legend(
            orient="top",
            labelExpr=WORDS,
            symbolFillColor=NEUTRAL,
            symbolStrokeColor=NEUTRAL,
            titleColor=NEUTRAL,
            columns=2,
        ),
    )
    quiet = base.transform_filter(~alt.FieldOneOfPredicate("verdict", list(VERDICT_MARKS)))
    acted = base.transform_filter(alt.FieldOneOfPredicate("verdict", list(VERDICT_MARKS)))
    colour = alt.Color("colour:N", scale=None, legend=None)
    layers.append(quiet.mark_point(filled=True, size=36).encode(y=y, color=colour, tooltip=tooltip))
    layers.append(
        acted.mark_point(filled=True, size=130, opacity=1).encode(y=y, color=colour, shape=shape, tooltip=tooltip)
    )
    return alt.layer(*layers).properties(height=HEIGHT)


def _floor(scored: pd.DataFrame) -> float:
    """The highest noise floor of what is drawn; 0 where none is known."""
    known = pd.to_numeric(scored["floor"]).dropna()
    return float(known.max()) if len(known) else 0.0


def _bands(thresholds: Thresholds, bottom: float, top: float, floor: float, scale: alt.Scale) -> list[Any]:
    """The severities as areas behind the line, each named at its left edge, where no score stands yet, if there is
    room for a name."""
    doubtful = max(bottom, thresholds.suspicious_below)
    resolved = min(floor, thresholds.minor)
    bounds = [
        *([("SUSPICIOUS", bottom, doubtful)] if bottom < doubtful else []),
        *_around_zero(doubtful, resolved, thresholds.minor),
        ("MINOR", thresholds.minor, thresholds.action),
        ("ACTION", thresholds.action, thresholds.stop),
        ("STOP", thresholds.stop, top),
    ]
    bands = pd.DataFrame(
        [
            {
                "from": low,
                "to": high,
                "band": MARKS[name].word if high - low >= LEAST_NAMED * (top - bottom) else "",
                "colour": MARKS[name].hex_colour,
            }
            for name, low, high in bounds
        ]
    )
    base = alt.Chart(bands)
    area = base.mark_rect(aria=False, opacity=0.13).encode(
        y=alt.Y("from:Q", scale=scale, title="Forgetting", axis=alt.Axis(format="+.0%")),
        y2="to:Q",
        color=alt.Color("colour:N", scale=None, legend=None),
    )
    names = base.mark_text(aria=False, align="left", baseline="bottom", dx=4, dy=-2, fontSize=11).encode(
        x=alt.value(0),
        y=alt.Y("from:Q", scale=scale),
        text="band:N",
        color=alt.value(NEUTRAL),  # the colours of the bands are too light for letters on a light ground
    )
    return [area, names]


def _around_zero(low: float, floor: float, minor: float) -> list[tuple[str, float, float]]:
    """OK up to minor, but for what is not resolved on both sides of 0."""
    if floor <= 0:
        return [("OK", low, minor)]
    bands = [("OK", low, -floor), ("UNRESOLVED", max(low, -floor), floor), ("OK", floor, minor)]
    return [band for band in bands if band[1] < band[2]]


def _stage_rules(data: pd.DataFrame, axis: Axis) -> Any:
    """A line and a name where each stage begins; on the axis of time, where it is first measured."""
    first = data.groupby("stage", sort=False)["begin"].min()
    return stage_marks(tuple((str(stage), float(place)) for stage, place in first.items()), axis)
