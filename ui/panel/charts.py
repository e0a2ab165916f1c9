"""The two charts of a run: both perplexities on one axis, and forgetting within its bands. Altair, from plain rows."""

import functools
from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from ui.client.views import Run
from ui.render.perplexity_table import DualRow
from ui.render.severity import MARKS, Thresholds

GENERAL, TARGET = "#1f5fd0", "#c2410c"
VERDICT_MARKS = {"ADJUST": "triangle-up", "ROLL_BACK": "triangle-down", "STOP": "cross", "ACCEPT": "diamond"}
HEIGHT = 300
LEAST_NAMED = 0.04  # of the axis: a thinner band has no room for its name
TOP_SHARE = 1.15  # room over the highest score or the stop threshold


def stage_starts(rows: Sequence[DualRow], run: Run) -> tuple[tuple[str, int], ...]:
    """Where each stage begins on the axis of tokens: the stages stand one after another."""
    begin, starts = 0, []
    for stage in run.stages:
        starts.append((stage.name, begin))
        begin += stage.total_tokens or max((row.tokens for row in rows if row.stage == stage.name), default=0)
    return tuple(starts)


@functools.lru_cache(maxsize=16)
def draw(
    rows: tuple[DualRow, ...], begins: tuple[tuple[str, int], ...], thresholds: Thresholds
) -> tuple[Any | None, Any | None]:
    """Both charts, None where there is nothing to draw. Kept, because a live page asks again and again for the same."""
    data = frame(rows, begins)
    if data.empty:
        return None, None
    return perplexity_chart(data), None if data["forgetting"].isna().all() else forgetting_chart(data, thresholds)


def frame(rows: Sequence[DualRow], begins: Sequence[tuple[str, int]]) -> pd.DataFrame:
    """One line per boundary; attempts of a stage overlap on the axis."""
    starts = dict(begins)
    return pd.DataFrame(
        [
            {
                "stage_start": starts.get(row.stage, 0),
                "tokens_total": starts.get(row.stage, 0) + row.tokens,
                "stage": row.stage,
                "line": f"{row.stage} {row.attempt}",
                "attempt": row.attempt,
                "step": row.step,
                "target": row.target_perplexity if row.target_set != "general" else None,
                "target set": row.target_set,
                "general": row.general_perplexity,
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


def perplexity_chart(data: pd.DataFrame) -> Any:
    """General and target perplexity on one logarithmic axis, so that equal distances are equal losses."""
    general = data[["tokens_total", "stage", "line", "attempt", "step"]].assign(
        perplexity=data["general"], set="general"
    )
    target = general.assign(perplexity=data["target"], set="domain or chat (target)")
    both = pd.concat([general, target]).dropna(subset=["perplexity"])
    colour = alt.Color(
        "set:N",
        title=None,
        scale=alt.Scale(domain=["general", "domain or chat (target)"], range=[GENERAL, TARGET]),
        legend=alt.Legend(orient="top"),
    )
    base = alt.Chart(both).encode(
        x=_tokens_axis(),
        y=alt.Y("perplexity:Q", title="Perplexity", scale=alt.Scale(type="log", nice=False, zero=False, padding=12)),
        color=colour,
    )
    lines = base.mark_line(strokeWidth=2).encode(detail=["line:N", "set:N"])
    points = base.mark_point(filled=True, size=36).encode(
        tooltip=["stage:N", "attempt:Q", "step:Q", "set:N", alt.Tooltip("perplexity:Q", format=".4g")]
    )
    return alt.layer(_stage_rules(data), lines, points).properties(height=HEIGHT)


def forgetting_chart(data: pd.DataFrame, thresholds: Thresholds) -> Any:
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
        _stage_rules(data),
    ]
    base = alt.Chart(scored).encode(x=_tokens_axis())
    layers.append(base.mark_errorbar().encode(y=alt.Y("low:Q", scale=scale, title="Forgetting"), y2="high:Q"))
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
        title="The gate",
        scale=alt.Scale(domain=list(VERDICT_MARKS), range=list(VERDICT_MARKS.values())),
        legend=alt.Legend(orient="top"),
    )
    quiet = base.transform_filter(~alt.FieldOneOfPredicate("verdict", list(VERDICT_MARKS)))
    acted = base.transform_filter(alt.FieldOneOfPredicate("verdict", list(VERDICT_MARKS)))
    colour = alt.Color("colour:N", scale=None, legend=None)
    layers.append(quiet.mark_point(filled=True, size=36).encode(y=y, color=colour, tooltip=tooltip))
    layers.append(
        acted.mark_point(filled=True, size=130, opacity=1).encode(y=y, color=colour, shape=shape, tooltip=tooltip)
    )
    return alt.layer(*layers).properties(height=HEIGHT)


def _tokens_axis() -> alt.X:
    return alt.X("tokens_total:Q", title="Tokens trained, stage after stage", axis=alt.Axis(format="~s"))


def _floor(scored: pd.DataFrame) -> float:
    """The highest noise floor of what is drawn; 0 where none is known."""
    known = pd.to_numeric(scored["floor"]).dropna()
    return float(known.max()) if len(known) else 0.0


def _bands(thresholds: Thresholds, bottom: float, top: float, floor: float, scale: alt.Scale) -> list[Any]:
    """The severities as areas behind the line, each named at its right edge where it is high enough for its name."""
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
    area = base.mark_rect(opacity=0.13).encode(
        y=alt.Y("from:Q", scale=scale, title="Forgetting", axis=alt.Axis(format="+.0%")),
        y2="to:Q",
        color=alt.Color("colour:N", scale=None, legend=None),
    )
    names = base.mark_text(align="right", baseline="bottom", dx=-4, dy=-2, fontSize=11, opacity=0.9).encode(
        x=alt.value("width"),
        y=alt.Y("from:Q", scale=scale),
        text="band:N",
        color=alt.Color("colour:N", scale=None, legend=None),
    )
    return [area, names]


def _around_zero(low: float, floor: float, minor: float) -> list[tuple[str, float, float]]:
    """OK up to minor, but for what is not resolved on both sides of 0."""
    if floor <= 0:
        return [("OK", low, minor)]
    bands = [("OK", low, -floor), ("UNRESOLVED", max(low, -floor), floor), ("OK", floor, minor)]
    return [band for band in bands if band[1] < band[2]]


def _stage_rules(data: pd.DataFrame) -> Any:
    """A line and a name where each stage begins."""
    if data.empty:
        starts = pd.DataFrame({"stage_start": [], "stage": []})
    else:
        starts = data.groupby("stage", sort=False, as_index=False)["stage_start"].min()
    base = alt.Chart(starts).encode(x="stage_start:Q")
    rule = base.mark_rule(strokeDash=[3, 3], opacity=0.35)
    name = base.mark_text(align="left", baseline="top", dx=4, fontSize=11, opacity=0.75).encode(
        y=alt.value(2), text="stage:N"
    )
    return alt.layer(rule, name)
