"""The four shapes of the learning rate, by hand-computed points."""

import math

import pytest

from model.errors import BadConfig
from model.training import lr_schedule as schedules
from model.training.lr_schedule import Schedule, ScheduleKind

COSINE, WSD, LINEAR, CONSTANT = ScheduleKind.COSINE, ScheduleKind.WSD, ScheduleKind.LINEAR, ScheduleKind.CONSTANT


@pytest.mark.parametrize("kind", list(ScheduleKind))
def test_warm_up_rises_by_equal_amounts_to_the_peak(kind: ScheduleKind) -> None:
    schedule = Schedule(kind=kind, total_steps=100, warmup=0.05)
    assert [schedule.factor(step) for step in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert schedule.factor(5) == 1.0


@pytest.mark.parametrize(
    ("kind", "step", "factor"),
    [
        (COSINE, 10, 1.0),
        (COSINE, 55, 0.1 + 0.9 * 0.5),
        (COSINE, 40, 0.1 + 0.9 * 0.75),  # a third of the way: cos(60 degrees) = 1/2
        (COSINE, 70, 0.1 + 0.9 * 0.25),
        (LINEAR, 55, 0.55),
        (LINEAR, 99, 0.1 + 0.9 * 1 / 90),
        (WSD, 79, 1.0),
        (WSD, 80, 1.0),
        (WSD, 90, 0.55),
        (WSD, 99, 0.1 + 0.9 * 1 / 20),
        (CONSTANT, 99, 1.0),
    ],
)
def test_points(kind: ScheduleKind, step: int, factor: float) -> None:
    schedule = Schedule(kind=kind, total_steps=100, warmup=0.1, floor=0.1, decay=0.2)
    assert schedule.factor(step) == pytest.approx(factor)


@pytest.mark.parametrize("kind", list(ScheduleKind))
@pytest.mark.parametrize("total_steps", [1, 2, 3, 19, 1000])
def test_every_step_of_every_length_has_a_rate_above_zero(kind: ScheduleKind, total_steps: int) -> None:
    factors = [Schedule(kind=kind, total_steps=total_steps).factor(step) for step in range(total_steps)]
    assert all(0.0 < factor <= 1.0 for factor in factors)
    assert factors[-1] <= factors[total_steps // 2]


def test_after_the_warm_up_no_shape_rises() -> None:
    for kind in ScheduleKind:
        schedule = Schedule(kind=kind, total_steps=200)
        factors = [schedule.factor(step) for step in range(10, 200)]
        assert factors == sorted(factors, reverse=True)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"total_steps": 0}, "total_steps"),
        ({"warmup": -0.1}, "schedule.warmup"),
        ({"warmup": math.nan}, "schedule.warmup"),
        ({"floor": 1.5}, "schedule.floor"),
        ({"kind": WSD, "warmup": 0.5, "decay": 0.6}, "warmup 0.5"),
    ],
)
def test_what_cannot_work_is_refused_by_name(changes: dict, named: str) -> None:
    with pytest.raises(BadConfig, match=named):
        Schedule(**{"kind": COSINE, "total_steps": 10, **changes})


@pytest.mark.parametrize("kind", [COSINE, ScheduleKind.LINEAR, ScheduleKind.CONSTANT])
def test_a_stage_may_be_all_warm_up(kind: ScheduleKind) -> None:
    schedule = Schedule(kind=kind, total_steps=4, warmup=1.0)
    assert [schedule.factor(step) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]


def test_a_step_outside_of_the_stage_is_refused() -> None:
    with pytest.raises(BadConfig, match="0 to 9"):
        Schedule(kind=COSINE, total_steps=10).factor(10)


def test_the_demonstration_prints_every_shape(capsys: pytest.CaptureFixture[str]) -> None:
    schedules.main()
    printed = capsys.readouterr().out
    assert "CONSTANT: mean rate 0.978 of the peak" in printed  # (0.1 + ... + 1.0 + 190) / 200 = 0.9775
    assert all(kind in printed for kind in ScheduleKind)
