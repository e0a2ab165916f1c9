"""What is kept of a run's figures: bounded, with the extremes, of the branch that counts."""

from dataclasses import replace

import pytest

from services.orchestrator.domain.handlers.lifecycle import new_run
from services.orchestrator.domain.metrics.points import (
    BUCKETS,
    Bucket,
    Point,
    Slot,
    bucket_of,
    counting,
    progress_point,
    series_of,
    with_report,
)
from services.orchestrator.domain.run.events import ProgressReported
from services.orchestrator.domain.run.state import StagePhase, StageRun
from services.orchestrator.domain.spec.defaults import fill
from tests.unit.services.orchestrator.specs import spec


def stage(steps: int) -> StageRun:
    first = new_run("r", fill(spec()), store_uri="s3://retain", base=None, queue_number=1, now_s=0.0).stages[0]
    return replace(first, plan=replace(first.plan, steps=steps))


def point(step: int, loss: float = 1.0, attempt: int = 1) -> Point:
    return Point(attempt=attempt, step=step, tokens=step, time_s=0.0, values={"train_loss_nats": loss})


def kept(steps: int, losses: list[float]) -> list[Point]:
    """What stays of a stage that reports every step."""
    of, buckets = stage(steps), dict[int, dict[Slot, Point | None]]()
    for step, loss in enumerate(losses, start=1):
        slots = buckets.setdefault(bucket_of(of, step), {})
        slots.update(
            with_report(Bucket(lowest=slots.get(Slot.LOWEST), highest=slots.get(Slot.HIGHEST)), point(step, loss))
        )
    return counting(one for slots in buckets.values() for one in slots.values() if one is not None)


def test_of_a_hundred_thousand_reports_a_bounded_number_stays_with_every_spike() -> None:
    losses = [2.0 + 0.1 * (step % 7) for step in range(100_000)]
    losses[61_234], losses[61_240] = 50.0, 0.5
    found = kept(100_000, losses)
    assert 2 * BUCKETS - 10 <= len(found) <= 2 * BUCKETS
    assert [p.step for p in found] == sorted(p.step for p in found)
    assert {61_235, 61_241} <= {p.step for p in found}
    told = [p.values["train_loss_nats"] for p in found]
    assert (max(told), min(told)) == (50.0, 0.5)


def test_of_a_short_stage_everything_stays() -> None:
    assert [p.step for p in kept(BUCKETS, [1.0] * BUCKETS)] == list(range(1, BUCKETS + 1))


@pytest.mark.parametrize(
    ("steps", "step", "bucket"),
    [(100, 1, 0), (100, 100, 99 * BUCKETS // 100), (0, 5, BUCKETS - 1), (10**9, 10**9, BUCKETS - 1), (100, 0, 0)],
)
def test_a_step_is_in_one_part_of_its_stage(steps: int, step: int, bucket: int) -> None:
    assert bucket_of(stage(steps), step) == bucket


def test_a_later_attempt_takes_the_place_of_an_earlier_one() -> None:
    stored = Bucket(lowest=point(5, 1.0), highest=point(6, 9.0))
    new = point(5, 4.0, attempt=2)
    assert with_report(stored, new) == {Slot.LOWEST: new, Slot.HIGHEST: None}
    assert with_report(Bucket(lowest=point(5, 1.0)), new) == {Slot.LOWEST: new}


def test_between_the_extremes_nothing_changes() -> None:
    stored = Bucket(lowest=point(5, 1.0), highest=point(6, 9.0))
    assert with_report(stored, point(7, 4.0)) == {}
    assert with_report(stored, point(7, 10.0)) == {Slot.HIGHEST: point(7, 10.0)}
    assert with_report(stored, point(7, 0.0)) == {Slot.LOWEST: point(7, 0.0), Slot.HIGHEST: point(6, 9.0)}
    assert with_report(Bucket(lowest=point(5, 3.0)), point(7, 1.0)) == {
        Slot.LOWEST: point(7, 1.0), Slot.HIGHEST: point(5, 3.0),
    }  # fmt: skip


def test_what_was_given_up_is_not_shown() -> None:
    """Attempt 1 came to step 50 and went back to 30: attempt 2 begins at 31."""
    points = [*(point(step) for step in (10, 20, 30, 31, 40, 50)), point(31, attempt=2), point(40, attempt=2)]
    assert [(p.step, p.attempt) for p in counting(points)] == [(10, 1), (20, 1), (30, 1), (31, 1), (31, 2), (40, 2)]


def test_a_report_becomes_the_figures_of_its_step() -> None:
    said = ProgressReported(
        now_s=7.0, submission=1, attempt=2, stage_index=0, phase=StagePhase.TRAINING, step=5, tokens=500,
        train_loss_nats=2.5, learning_rate=1e-4, tokens_per_second=0.0, curriculum_level=0,
    )  # fmt: skip
    made = progress_point(stage(100), said)
    assert made == Point(attempt=2, step=5, tokens=500, time_s=7.0,
                         values={"train_loss_nats": 2.5, "learning_rate": 1e-4})  # fmt: skip
    moving = progress_point(stage(100), replace(said, tokens_per_second=900.0, curriculum_level=2))
    assert list(series_of([moving])) == [
        ("train_loss_nats", ""), ("tokens_per_second", ""), ("learning_rate", ""), ("curriculum_level", ""),
    ]  # fmt: skip
