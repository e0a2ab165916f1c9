"""A sweep for people: its cells before they run, and the table that compares them."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from retain.values.means import Mean
from ui.render import formatting
from ui.render.tables import narrow, titled
from ui.sweep.carry_out import CellPlan
from ui.sweep.comparison import CellRow, Compared, Comparison
from ui.sweep.file import ARM

AS_IT_IS = "as the spec is"
UNKNOWN = "not known"


def settings_text(settings: Mapping[str, Any]) -> str:
    """`general_share=0.02, controller=LADDER`: the last parts of the paths, as many as tell them apart; an arm by its
    name alone."""
    if ARM in settings:
        rest = {path: value for path, value in settings.items() if path != ARM}
        return ", ".join([str(settings[ARM]), *([settings_text(rest)] if rest else [])])
    paths = {path: path.split(".") for path in settings}
    shown = {}
    for path, parts in paths.items():
        others = [other for other in paths.values() if other != parts]
        told_apart = (d for d in range(1, len(parts)) if all(other[-d:] != parts[-d:] for other in others))
        depth = next(told_apart, len(parts))
        shown[".".join(parts[-depth:])] = settings[path]
    return ", ".join(f"{path}={value}" if path else str(value) for path, value in shown.items()) or AS_IT_IS


def cells_table(name: str, plans: Sequence[CellPlan], seeds: Sequence[int]) -> Table:
    """What would run: a row for each cell."""
    columns = ("Cell", "Seeds", "Tokens a run", "Time a run")
    table = narrow(titled(f"Sweep {name}", "#", *columns, right=["#", *columns[1:]]), may_break=["Cell"])
    for number, one in enumerate(plans, start=1):
        table.add_row(
            str(number), settings_text(one.settings), str(len(seeds)), _tokens(one.tokens), _time(one.seconds)
        )
    return table


def total_line(plans: Sequence[CellPlan], seeds: Sequence[int], at_most: int) -> str:
    """What all of it comes to, as far as the plans know."""
    tokens = _sum([one.tokens for one in plans], len(seeds))
    seconds = _sum([one.seconds for one in plans], len(seeds))
    runs = len(plans) * len(seeds)
    said = f"{runs} runs ({len(plans)} cells of {len(seeds)} seeds), at most {min(at_most, runs)} at a time: "
    return f"{said}{_tokens(tokens)} tokens, time of all runs one after another {_time(seconds)}"


def comparison_table(found: Comparison) -> Group:
    """Figures of each cell; below them, where there is a pair, what changes against the first cell."""
    columns = ("Ended", "Forgetting %", "Gain, nats", "Target loss, nats")
    title = f"Sweep {found.sweep}, {found.stage}: forgetting of {found.set or 'the worst report set'}"
    table = narrow(titled(title, "Cell", *columns, right=columns), may_break=["Cell"])
    for row in found.cells:
        table.add_row(
            settings_text(row.settings),
            f"{row.accepted} of {row.runs}",
            _cell(row.forgetting, percent=True),
            _cell(row.gain_nats),
            _cell(row.target_loss_nats),
        )
    legend = "means over seeds with 95 % intervals (Student's t); Δ: against the first cell, in pairs of one seed"
    if all(row.accepted <= 1 for row in found.cells):
        legend = (
            "forgetting with its 95 % interval over documents, paired with the baseline's; Δ: against the first cell"
        )
    return Group(table, Text(legend, "dim"), *(Text(line) for line in (*_left_out(found.cells), *found.notes)))


def _left_out(cells: Sequence[CellRow]) -> list[str]:
    """What was not averaged, and why."""
    said = []
    for row in cells:
        name = settings_text(row.settings)
        without = {state.lower(): count for state, count in row.states.items() if state != "SUCCEEDED"}
        if without:
            said.append(f"{name}: " + ", ".join(f"{count} {state}" for state, count in without.items()))
        if other := max(row.forgetting.other_sets, row.gain_nats.other_sets, row.target_loss_nats.other_sets):
            said.append(f"{name}: {other} pairs are not compared: their sets are not those of the first cell")
    return said


def _cell(figure: Compared, *, percent: bool = False) -> str:
    """The mean over its interval, and below them the change: side by side they are too wide for 80 columns."""
    lines = ["-"] if figure.mean is None else _lines(figure.mean, percent)
    return "\n".join(lines if figure.change is None else [*lines, *_lines(figure.change, percent, change=True)])


def _lines(mean: Mean, percent: bool, *, change: bool = False) -> list[str]:
    scale, digits = (100, 2) if percent else (1, 4)
    sign = "+" if change or percent else ""
    value = f"{'Δ ' if change else ''}{scale * mean.value:{sign}.{digits}f}"
    if mean.low is None or mean.high is None:
        return [value]
    return [value, f"[{scale * mean.low:{sign}.{digits}f}, {scale * mean.high:{sign}.{digits}f}]"]


def _sum(values: Sequence[float | None], times: int) -> float | None:
    known = [value for value in values if value is not None]
    return times * sum(known) if len(known) == len(values) else None


def _tokens(count: float | None) -> str:
    return UNKNOWN if count is None else formatting.amount(count)


def _time(seconds: float | None) -> str:
    return UNKNOWN if seconds is None else formatting.seconds(seconds)
