"""How long a stage will still take, by hand-computed cases."""

from dataclasses import replace

import pytest

from services.orchestrator.domain.run.state import Attempt, Costs, LastFigures, StageState
from services.orchestrator.domain.run.time_left import time_left_s
from tests.scenarios.builders import run


def stage(*, status=StageState.RUNNING, attempt=None, costs=None, **last):
    """A stage of 100 steps in the middle of its first interval, 256 tokens a step, 64 tokens a second."""
    planned = run().stages[0]
    assert planned.plan.steps == 100
    return replace(
        planned,
        status=status,
        attempt=attempt or Attempt(number=1),
        last=LastFigures(**({"step": 5, "tokens": 5 * 256, "pace": 64.0} | last)),
        costs=costs or Costs(),
    )


def test_the_steps_that_are_left_at_the_last_pace():
    """95 steps of 4 s, and no boundary has cost anything yet."""
    assert time_left_s(stage()) == pytest.approx(380.0)


def test_boundaries_to_come_cost_what_those_of_earlier_attempts_cost():
    """Two boundaries took 180 s in the attempt before; all boundaries but those two are still to come."""
    costs = Costs(earlier_wait_s=160.0, earlier_stall_s=20.0)
    resumed = stage(attempt=Attempt(number=2, resume_boundary=2), costs=costs)
    assert time_left_s(resumed) == pytest.approx(380.0 + resumed.plan.boundaries * 90.0)


@pytest.mark.parametrize(
    "fields", [{"pace": 0.0}, {"step": 0, "tokens": 0}, {"status": StageState.COMPLETE}], ids=lambda f: next(iter(f))
)
def test_without_a_pace_or_a_running_stage_nothing_is_claimed(fields):
    assert time_left_s(stage(**fields)) is None
