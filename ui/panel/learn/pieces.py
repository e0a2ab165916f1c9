"""The live pieces of the guides: what a guide says, to be tried with other numbers."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from ui.client import ClientError
from ui.panel.axes import NEUTRAL
from ui.panel.learn.figures import DEFAULT_THRESHOLDS, figure, score_told
from ui.panel.shared import as_text, show_error
from ui.render.severity import MARKS
from ui.spec.form.layout import SCHEDULES, STRATEGIES

COLOURS = ["#1f5fd0", "#c2410c"]
HEIGHT = 240
STEPS = [tenth / 10 for tenth in range(11)]  # the points that are stored
LINES = {"domain_perplexity": "Perplexity, domain", "general_perplexity": "Perplexity, general text"}


def pieces_of(guide: str) -> None:
    """Draws those of a guide, each under its title."""
    for title, piece in PIECES.get(guide, {}).items():
        with st.container(border=True):
            st.markdown(f"**Try it: {title}**")
            try:
                piece()
            except ClientError as error:
                show_error(error)


def _rates() -> None:
    first, second, third = st.columns(3)
    kind = first.selectbox("Shape", SCHEDULES, key="learn_shape")
    warmup = second.slider("Warm-up, share of the steps", 0.0, 0.5, 0.05, key="learn_warmup")
    floor = third.slider("Rate at the end, share of the peak", 0.0, 1.0, 0.1, key="learn_floor")
    found = figure("rates", kind, str(warmup), str(floor))
    factors = found["factors"]
    line({"rate": factors}, [n / len(factors) for n in range(len(factors))], "Part of the stage", "Share of the peak")
    st.caption(f"On the average {found['mean']:.0%} of the peak. Forgetting is worst while the rate is high.")


def _curriculum() -> None:
    first, second = st.columns(2)
    strategy = first.selectbox("Strategy", STRATEGIES, key="learn_strategy")
    levels = second.slider("Levels", 2, 5, 3, key="learn_levels", disabled=strategy != "STAGED")
    found = figure("curriculum", strategy, str(levels))
    if strategy == "STAGED":
        lengths = ", ".join(f"{length:.0%}" for length in found["lengths"])
        line({"level": found["level"]}, found["progress"], "Part of the stage", "Level", interpolate="step-after")
        st.caption(f"The levels take {lengths} of the stage: what is hard needs the longest.")
    else:
        line({"open": found["open"]}, found["progress"], "Part of the stage", "Part of the data that is open")
        told = {"RANDOM": "The control: everything from the first step on."}
        st.caption(told.get(strategy, "The easiest first, and ever more of the rest."))


def _mixture() -> None:
    first, second = st.columns(2)
    share = first.slider("Share of replay", 0.0, 0.9, 0.1, key="learn_share")
    tokens = second.slider("Target tokens in a row of replay (the target's rows have 256)", 16, 256, 96, step=16,
                           key="learn_row_tokens")  # fmt: skip
    found = figure("mixture", str(share), str(tokens))
    rows = list(range(1, len(found["diffused"]) + 1))
    line({"error diffusion": found["diffused"], "lots by rows": found["drawn"]}, rows, "Rows", "Share of the tokens")
    st.caption(
        f"Asked for {share:.0%}. After {len(rows)} rows error diffusion, which training uses, has met "
        f"{found['diffused'][-1]:.1%}; lots, drawn by rows as most loaders do, {found['drawn'][-1]:.1%}."
    )


def _calculator() -> None:
    first, second = st.columns(2)
    baseline = first.number_input("Perplexity of the baseline", 1.0, 1e6, 50.0, key="learn_baseline")
    now = second.number_input("Perplexity now", 1.0, 1e6, 55.0, key="learn_now")
    ratio, severity, advice = score_told(baseline, now)
    mark = MARKS[severity]
    st.markdown(f"Forgetting **{as_text(f'{ratio:+.1%}')}**, in nats {as_text(f'{math.log1p(ratio):+.4f}')}: "
                f"**{mark.word}**")  # fmt: skip
    for line in advice:
        st.caption(as_text(line))


def _interpolation() -> None:
    point = st.select_slider(
        "Weights between the parent (0) and the result (1)",
        STEPS,
        value=1.0,
        key="learn_point",
        format_func="{:g}".format,
    )
    found = figure("interpolation", str(point))
    points, at = found["points"], found["at"]
    mark = MARKS[DEFAULT_THRESHOLDS.severity(at["forgetting"])]
    first, second, third = st.columns(3)
    first.metric("Perplexity, domain", f"{at['domain_perplexity']:.2f}")
    second.metric("Perplexity, general text", f"{at['general_perplexity']:.2f}")
    third.metric("Forgetting", f"{at['forgetting']:+.1%}", mark.word, delta_color="off", delta_arrow="off")
    places, across = [one["point"] for one in points], "Point between the parent (0) and the result (1)"
    for column, (key, up) in zip(st.columns(2), LINES.items(), strict=True):
        with column:
            line({up: [one[key] for one in points]}, places, across, up, marked=at["point"], log=True)
    learned = (points[0]["domain_perplexity"], at["domain_perplexity"], points[-1]["domain_perplexity"])
    kept = math.log(learned[0] / learned[1]) / math.log(learned[0] / learned[2])
    st.caption(
        f"Here {kept:.0%} of what was learned (in nats) is there. Each dot was measured, on a model of stories with "
        f"{found['weights']:,} weights and the same one with arithmetic learned on top, a tenth of it replay: "
        "`python -m model.experiments.line` trains and measures both anew."
    )


def line(
    series: Mapping[str, list[float]],
    x: Sequence[float],
    across: str,
    up: str,
    *,
    interpolate: str = "linear",
    marked: float | None = None,
    log: bool = False,
) -> None:
    """Draws series over `x`; `marked` is a place on it, `log` makes equal ratios equally high and dots the points."""
    rows = [
        {"x": place, "y": value, "what": name}
        for name, values in series.items()
        for place, value in zip(x, values, strict=True)
    ]
    legend: Any = alt.Legend(orient="top", title=None) if len(series) > 1 else None
    chart = (
        alt.Chart(pd.DataFrame(rows))
        .mark_line(strokeWidth=2, interpolate=interpolate, point=log)  # type: ignore[arg-type]
        .encode(
            x=alt.X("x:Q", title=across),
            y=alt.Y(
                "y:Q", title=up, scale=alt.Scale(type="log", nice=False, padding=8) if log else alt.Scale(zero=True)
            ),
            color=alt.Color("what:N", scale=alt.Scale(domain=list(series), range=COLOURS), legend=legend),
            tooltip=["x:Q", alt.Tooltip("y:Q", format=".4g"), "what:N"],
        )
        .properties(height=HEIGHT)
    )
    if marked is not None:
        rule = alt.Chart(pd.DataFrame([{"x": marked}])).mark_rule(
            aria=False, strokeWidth=2, strokeDash=[4, 4], color=NEUTRAL
        )
        chart = chart + rule.encode(x="x:Q")
    st.altair_chart(chart)


PIECES: Mapping[str, Mapping[str, Callable[[], None]]] = {
    "pipeline": {"the learning rate over a stage": _rates},
    "midtraining": {"a share of replay, row by row": _mixture, "a curriculum's schedule": _curriculum},
    "forgetting": {
        "a score and what to do about it": _calculator,
        "a model between its parent and itself": _interpolation,
    },
}
