"""The runs of a sweep beside each other: means over seeds for each cell, and what changes against the first cell.

Three figures of a stage's end, each a number for one run:

    forgetting    the worst score on the report sets (or that of one named set): (ppl now - ppl baseline) / ppl baseline
    gain          nats a token by which the target is better than before the stage, on its control set
    target loss   nats a token on the target's report set

A change is the mean, over seeds, of (this cell - the first cell) with the same seed, with Student's 95 % interval: what
a seed makes of the order of the data is in both and cancels. Two figures count as a pair only where the digests of the
sets that they were measured on are equal. A run that handed no model on is counted and never averaged. Where a cell has
one run, the interval of its forgetting is the one over documents, paired with those of the baseline.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from retain.values.faults import mismatch
from retain.values.means import Mean, mean_of
from retain.values.severity import badness_of
from ui.client.client import RetainClient
from ui.client.errors import BadInput, Unreachable, Violation
from ui.client.views import ForgettingRecord, Run, SetResult, Stage
from ui.sweep.file import SETTINGS_LABEL, SWEEP_LABEL, settings_of


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A number, the digests of the sets that it was measured on, and of a score its 95 % interval over documents."""

    value: float
    sets: tuple[str, ...]
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class RunFigures:
    """A run of a sweep. `accepted`: the stage ended with a model. Figures are None where nothing was measured."""

    run_id: str
    settings: dict[str, Any]
    seed: int
    state: str
    accepted: bool = False
    forgetting: Figure | None = None
    gain_nats: Figure | None = None
    target_loss_nats: Figure | None = None


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A figure of a cell: its mean over the runs that have it, and its change against the first cell over `pairs` of
    one seed each. `other_sets`: pairs that are left out, since the sets of the two are not the same."""

    mean: Mean | None
    change: Mean | None = None
    pairs: int = 0
    other_sets: int = 0


@dataclass(frozen=True, kw_only=True)
class CellRow:
    """A cell: how many of its runs ended the stage with a model, the states of all of them, and its figures."""

    settings: dict[str, Any]
    runs: int
    accepted: int
    states: dict[str, int]
    forgetting: Compared
    gain_nats: Compared
    target_loss_nats: Compared


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A sweep's table. `notes` say what could not be had."""

    sweep: str
    stage: str
    set: str
    cells: tuple[CellRow, ...]
    runs: tuple[RunFigures, ...]
    notes: tuple[str, ...] = ()


def compare(client: RetainClient, name: str, *, stage: str = "", set_name: str = "", project: str = "") -> Comparison:
    """The table of a sweep, by the label of its runs. `stage`: by its name, the last one without; `set_name`:
    forgetting of this retention set, the worst of all without.

    Raises BadInput for a sweep, stage or set that no run has.
    """
    found = [run for run in client.list_runs(project=project) if run.spec.labels.get(SWEEP_LABEL) == name]
    if not found:
        raise _nowhere("sweep", name, "the name of a sweep that has runs")
    if len(projects := sorted({run.project for run in found})) > 1:
        raise _nowhere("--project", "", f"one of {', '.join(projects)}, which have a sweep of this name each")
    runs = found[::-1]  # oldest first: the first one is of the cell that the others are compared with
    stages = [one.name for one in runs[0].stages]
    stage = stage or stages[-1]
    if stage not in stages:
        raise _nowhere("--stage", stage, f"one of {', '.join(stages)}")
    figures, notes = [], list[str]()
    for run in runs:
        one = next((one for one in run.stages if one.name == stage), None)
        records: list[ForgettingRecord] = []
        if one is not None and one.accepted and not notes:
            try:
                records = client.history(run.id, stage=stage)
            except Unreachable as error:
                notes.append(f"no gains: {error.message}")
        figures.append(run_figures(run, one, records, set_name))
    if set_name and not any(row.forgetting for row in figures) and any(row.target_loss_nats for row in figures):
        names = sorted({s.retention_set for run in runs for one in run.stages for s in one.report_scores})
        raise _nowhere("--set", set_name, f"one of {', '.join(names)}" if names else "a stage with retention sets")
    return Comparison(
        sweep=name, stage=stage, set=set_name, cells=tuple(rows(figures)), runs=tuple(figures), notes=tuple(notes)
    )


def run_figures(run: Run, stage: Stage | None, records: Sequence[ForgettingRecord], set_name: str) -> RunFigures:
    """The figures of a run at the end of one stage; none before the stage's checkpoint was accepted."""
    settings = settings_of(run.spec.labels.get(SETTINGS_LABEL, ""))
    row = RunFigures(run_id=run.id, settings=settings, seed=run.spec.seed, state=str(run.state))
    if stage is None or stage.accepted is None:
        return row
    end, report = _target(stage.results, "CONTROL"), _target(stage.report_results, "REPORT")
    base = next((found for r in records if r.baseline and (found := _target(r.results, "CONTROL"))), None)
    gain = None
    if base is not None and end is not None and base.set.digest == end.set.digest:
        gain = Figure(value=base.loss_nats - end.loss_nats, sets=(end.set.digest,))
    loss = None if report is None else Figure(value=report.loss_nats, sets=(report.set.digest,))
    forgetting = _forgetting(stage, set_name)
    return replace(row, accepted=True, forgetting=forgetting, gain_nats=gain, target_loss_nats=loss)


def rows(runs: Sequence[RunFigures]) -> list[CellRow]:
    """A row for each cell, in the order of their first runs; the first is what the others are compared with."""
    cells: dict[str, list[RunFigures]] = {}
    for run in runs:
        cells.setdefault(repr(sorted(run.settings.items(), key=repr)), []).append(run)
    first, *_ = cells.values()
    return [
        CellRow(
            settings=cell[0].settings,
            runs=len(cell),
            accepted=sum(run.accepted for run in cell),
            states={state: sum(run.state == state for run in cell) for state in sorted({run.state for run in cell})},
            forgetting=_compared(cell, first, lambda run: run.forgetting),
            gain_nats=_compared(cell, first, lambda run: run.gain_nats),
            target_loss_nats=_compared(cell, first, lambda run: run.target_loss_nats),
        )
        for cell in cells.values()
    ]


def _compared(
    cell: Sequence[RunFigures], first: Sequence[RunFigures], figure: Callable[[RunFigures], Figure | None]
) -> Compared:
    found_all = [found for run in cell if (found := figure(run)) is not None]
    mean = mean_of([found.value for found in found_all])
    if mean is not None and len(found_all) == 1:  # one seed says nothing of seeds; its documents have an interval
        mean = replace(mean, low=found_all[0].low, high=found_all[0].high)
    if cell is first:
        return Compared(mean=mean)
    by_seed: Mapping[int, Figure] = {run.seed: found for run in first if (found := figure(run)) is not None}
    pairs = [(found, by_seed[run.seed]) for run in cell if (found := figure(run)) is not None and run.seed in by_seed]
    same = [own.value - other.value for own, other in pairs if own.sets == other.sets]
    return Compared(mean=mean, change=mean_of(same), pairs=len(same), other_sets=len(pairs) - len(same))


def _forgetting(stage: Stage, set_name: str) -> Figure | None:
    """The named report score, or the worst of those that decide."""
    digests = {result.set.name: result.set.digest for result in stage.report_results}
    scores = [
        score
        for score in stage.report_scores
        if (score.retention_set == set_name if set_name else not score.shown_only)
    ]
    if not scores:
        return None
    worst = max(scores, key=lambda score: badness_of(score.ratio, score.floor_ratio))
    return Figure(
        value=worst.ratio,
        sets=tuple(sorted(digests.get(score.retention_set, "") for score in scores)),
        low=worst.ratio_low,
        high=worst.ratio_high,
    )


def _target(results: Sequence[SetResult], use: str) -> SetResult | None:
    return next((one for one in results if (one.set.role, one.set.use) == ("TARGET", use)), None)


def _nowhere(place: str, got: str, expected: str) -> BadInput:
    return BadInput([Violation(field=place, description=mismatch(repr(got), expected))])
