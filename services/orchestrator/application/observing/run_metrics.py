"""The figures of a run as series, with as many points as somebody can look at."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from retain.values import MetricSeries
from retain.values.faults import mismatch
from services.common.errors import InvalidInput, Violation
from services.orchestrator.application.projects.scope import ScopedRunStore
from services.orchestrator.domain.metrics.downsample import downsample
from services.orchestrator.domain.metrics.points import NAMES, Point, counting, key_of, series_of

DEFAULT_POINTS = 500
MOST_POINTS = 2000  # of one series: more than a screen has columns
MOST_POINTS_AT_ONCE = 200_000  # of one page: what a response can hold


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What somebody asks for: series by name (none: all), of one stage ("": of all), points of each series."""

    names: tuple[str, ...]
    stage: str
    points: int


class RunMetrics:
    """The use case of ListRunMetrics."""

    def __init__(self, run_store: ScopedRunStore) -> None:
        self._run_store = run_store

    async def series(self, run_id: str, wanted: Wanted, *, start: int, size: int) -> tuple[list[MetricSeries], bool]:
        """Some series of a run from the place `start` on, and whether more follow: by stage, by name, by set. Raises
        NotFound, InvalidInput."""
        run = await self._run_store.get(run_id)
        stages = [stage.plan.name for stage in run.stages]
        _check(wanted, stages)
        stored = await self._run_store.read(self._run_store.repository.list_points, run_id)
        return await asyncio.to_thread(_page, stored, wanted, stages, start, size)


def points_wanted(given: int) -> int:
    """0 is the default, more than the most is the most, negative is refused. Raises InvalidInput."""
    if given < 0:
        raise InvalidInput([Violation(field="max_points", description=mismatch(given, f"0 to {MOST_POINTS}"))])
    return min(given or DEFAULT_POINTS, MOST_POINTS)


def _check(wanted: Wanted, stages: Sequence[str]) -> None:
    faults = [
        Violation(field=f"names[{number}]", description=mismatch(repr(name), ", ".join(NAMES)))
        for number, name in enumerate(wanted.names)
        if name not in NAMES
    ]
    if wanted.stage and wanted.stage not in stages:
        faults.append(Violation(field="stage", description=mismatch(repr(wanted.stage), ", ".join(stages))))
    if faults:
        raise InvalidInput(faults)


def _page(
    stored: Sequence[tuple[int, Point]], wanted: Wanted, stages: Sequence[str], start: int, size: int
) -> tuple[list[MetricSeries], bool]:
    found = [
        (index, name, retention_set, points)
        for index, group in groupby(stored, key=lambda pair: pair[0])
        if wanted.stage in ("", stages[index])
        for (name, retention_set), points in series_of(counting(point for _, point in group)).items()
        if not wanted.names or name in wanted.names
    ]
    end = start + min(size, MOST_POINTS_AT_ONCE // wanted.points)
    shown = [
        _series(name, retention_set, stages[index], index, points, wanted.points)
        for index, name, retention_set, points in found[start:end]
    ]
    return shown, len(found) > end


def _series(name: str, retention_set: str, stage: str, index: int, points: Sequence[Point], most: int) -> MetricSeries:
    key = key_of(name, retention_set)
    values = [point.values[key] for point in points]
    places = downsample([point.step for point in points], values, most)
    chosen = [points[place] for place in places]
    return MetricSeries(
        name=name,
        set=retention_set,
        stage=stage,
        stage_index=index,
        steps=tuple(point.step for point in chosen),
        tokens=tuple(point.tokens for point in chosen),
        unix_seconds=tuple(point.time_s for point in chosen),
        attempts=tuple(point.attempt for point in chosen),
        values=tuple(values[place] for place in places),
        stored_points=len(points),
    )
