"""The axis that the figures of a run stand on: tokens, steps or time, the stages one after another.

On tokens and steps a stage begins where the one before it is planned to end, so that attempts of one stage lie over
each other; on the axis of time everything stands where it happened.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import altair as alt

from ui.client.views import Run

NEUTRAL = "#6f7a8e"  # of rules and names: a contrast of 4.3 on the panel's light ground and on its dark one (WCAG 2.2)


class Axis(StrEnum):
    """What figures are drawn over."""

    TOKENS = "tokens"
    STEPS = "steps"
    TIME = "time"


TITLES = {
    Axis.TOKENS: "Tokens trained, stage after stage",
    Axis.STEPS: "Steps, stage after stage",
    Axis.TIME: "Time",
}
NAMES = {Axis.TOKENS.value: "Tokens", Axis.STEPS.value: "Steps", Axis.TIME.value: "Time"}


@dataclass(frozen=True, kw_only=True)
class Starts:
    """Where each stage begins on an axis, by its name. Hashable, so that what is drawn over it can be kept."""

    axis: Axis
    by_stage: tuple[tuple[str, int], ...]

    def place(self, stage: str, *, step: int, tokens: int, time_s: float | None) -> float | None:
        """Where something that happened stands: tokens, steps, or Unix milliseconds. None without a time."""
        if self.axis is Axis.TIME:
            return None if time_s is None else 1000 * time_s
        start = dict(self.by_stage).get(stage, 0)
        return start + (tokens if self.axis is Axis.TOKENS else step)


def starts(run: Run, axis: Axis, *, seen: Mapping[str, int] | None = None) -> Starts:
    """The stages of a run on the axis; `seen`: how far each is known to have come, where no total is planned yet."""
    begin, found = 0, []
    for stage in run.stages:
        found.append((stage.name, begin))
        total = stage.total_tokens if axis is Axis.TOKENS else stage.total_steps
        begin += total or (seen or {}).get(stage.name, 0)
    return Starts(axis=axis, by_stage=tuple(found))


def shared_axis(axis: Axis, ticks: int = 6) -> alt.X:
    """The axis of a chart whose rows have their place in `x`."""
    if axis is Axis.TIME:
        return alt.X("x:T", title=None, axis=alt.Axis(tickCount=ticks, labelOverlap=True))
    return alt.X("x:Q", title=TITLES[axis], axis=alt.Axis(format="~s", tickCount=ticks))


def stage_marks(first: Sequence[tuple[str, float]], axis: Axis) -> Any:
    """A line and a name where each stage begins, in colours that are read on light and on dark ground; no screen reader
    is told of them (`aria`): the stages stand in a table beside the charts."""
    kind = "T" if axis is Axis.TIME else "Q"
    rows = [{"x": place, "stage": name} for name, place in first]
    data = alt.Data(values=rows)
    base = alt.Chart(data).encode(x=alt.X(f"x:{kind}"))
    rule = base.mark_rule(aria=False, strokeDash=[3, 3], color=NEUTRAL, opacity=0.7)
    name = base.mark_text(aria=False, align="left", baseline="top", dx=4, fontSize=11, color=NEUTRAL).encode(
        y=alt.value(2), text="stage:N"
    )
    return alt.layer(rule, name)
