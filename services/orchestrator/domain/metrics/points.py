"""What is kept of a run's figures while it trains, in bounded space.

The steps of a stage are cut into BUCKETS equal parts. Of the reports in a part those with the lowest and the highest
training loss stay (min/max per bucket, as M4 does: Jugel et al. 2014, "M4: A Visualization-Oriented Time Series Data
Aggregation"), of its boundaries the last. So a stage has up to 3 x BUCKETS points, however long it is, and no spike is
averaged away; of a stage of up to BUCKETS steps every report stays. A later attempt takes the place of what an earlier
one left in a part.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from retain.values import SetUse
from services.orchestrator.domain.run.events import ProgressReported
from services.orchestrator.domain.run.state import Checkpoint, StageRun
from services.orchestrator.domain.values import Measurement

BUCKETS = 2048
# Names of the series; those of a set are stored as NAME/SET.
OF_PROGRESS = ("train_loss_nats", "tokens_per_second", "learning_rate", "curriculum_level", "share")
OF_BOUNDARIES = ("perplexity", "baseline_perplexity", "forgetting", "probe_accuracy", "probe_loss")
NAMES = (*OF_PROGRESS, *OF_BOUNDARIES)


class Slot(IntEnum):
    """A place in a bucket."""

    LOWEST = 0
    HIGHEST = 1
    BOUNDARY = 2


@dataclass(frozen=True, kw_only=True)
class Point:
    """Figures of a stage at a step: `values` by NAME or NAME/SET, tokens trained so far, Unix seconds."""

    attempt: int
    step: int
    tokens: int
    time_s: float
    values: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """What of a stage stands in one of its parts."""

    lowest: Point | None = None
    highest: Point | None = None
    boundary: Point | None = None


def bucket_of(stage: StageRun, step: int) -> int:
    """The part of a stage that a step is in, from 0."""
    return min(BUCKETS - 1, max(0, step - 1) * BUCKETS // max(1, stage.plan.steps))


def progress_point(stage: StageRun, event: ProgressReported) -> Point:
    """What a worker reported, and the shares that hold."""
    values = {"train_loss_nats": event.train_loss_nats, "learning_rate": event.learning_rate}
    if event.tokens_per_second > 0:
        values["tokens_per_second"] = event.tokens_per_second
    if event.curriculum_level > 0:
        values["curriculum_level"] = float(event.curriculum_level)
    values |= {f"share/{name}": share for name, share in stage.branch.mix.shares.items()}
    return Point(attempt=event.attempt, step=event.step, tokens=event.tokens, time_s=event.now_s, values=values)


def boundary_point(checkpoint: Checkpoint, measured: Measurement, now_s: float) -> Point:
    """What was measured at a boundary: on the control sets, and by the probe where it was asked."""
    values = {f"perplexity/{result.set.name}": result.perplexity for result in measured.results_of(SetUse.CONTROL)}
    for score in measured.scores_of(SetUse.CONTROL):
        values[f"baseline_perplexity/{score.retention_set}"] = score.baseline_perplexity
        values[f"forgetting/{score.retention_set}"] = score.ratio
    for row in measured.probe.results if measured.probe is not None else ():
        values[f"probe_accuracy/{row.kind.lower()}"] = row.right / row.items
        values[f"probe_loss/{row.kind.lower()}"] = row.loss
    ref = checkpoint.ref
    return Point(attempt=checkpoint.attempt, step=ref.step, tokens=ref.tokens, time_s=now_s, values=values)


def with_report(stored: Bucket, new: Point) -> Mapping[Slot, Point | None]:
    """What changes in a bucket by a report: the point that takes a place, None for a place that becomes empty."""
    low, high = stored.lowest, stored.highest
    if low is None or low.attempt != new.attempt:
        return {Slot.LOWEST: new} if high is None else {Slot.LOWEST: new, Slot.HIGHEST: None}
    loss = new.values["train_loss_nats"]
    lowest, highest = low.values["train_loss_nats"], (high or low).values["train_loss_nats"]
    if loss < lowest:
        return {Slot.LOWEST: new, Slot.HIGHEST: high or low}
    return {Slot.HIGHEST: new} if high is None or loss > highest else {}


def counting(points: Iterable[Point]) -> list[Point]:
    """The points of the branch that counts, in the order of steps: what an earlier attempt did behind a step of a later
    one was given up."""
    newest, found = 0, list[Point]()
    for point in sorted(points, key=lambda p: (p.step, p.attempt)):
        newest = max(newest, point.attempt)
        if point.attempt == newest:
            found.append(point)
    return found


def series_of(points: Sequence[Point]) -> dict[tuple[str, str], list[Point]]:
    """The points that have a value, by (name, set), in the order of NAMES and of the sets' names."""
    found: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        for key in point.values:
            name, _, retention_set = key.partition("/")
            found.setdefault((name, retention_set), []).append(point)
    return dict(sorted(found.items(), key=lambda item: (NAMES.index(item[0][0]), item[0][1])))


def key_of(name: str, retention_set: str) -> str:
    """Under what a value is stored."""
    return f"{name}/{retention_set}" if retention_set else name
