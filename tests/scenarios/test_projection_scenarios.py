"""The ladder waits while a score falls fast enough by itself, and a rollback goes back far enough to work.

By hand: the stage's schedule is linear to zero, so the area under the rate from p on goes with (1 - p)^2, and what is
still to come is the last interval's fall times (1 - p2)^2 / ((1 - p1)^2 - (1 - p2)^2): 3.267 at 30 %, 2.769 at 40 %,
2.273 at 50 %, 1.778 at 60 % with a boundary every tenth.
"""

import math

import pytest

from model.training.lr_schedule import Schedule
from model.training.lr_schedule import ScheduleKind as ModelKind
from retain.values import ScheduleKind, ScheduleSpec
from services.orchestrator.domain.run.commands import RecordDecision
from services.orchestrator.domain.spec.bounds import rate_shape_of
from services.orchestrator.domain.step import step
from tests.scenarios.tables import scenario


def test_the_decision_shows_the_raw_score_the_projection_and_its_severity() -> None:
    runner = scenario("projection", "the decision shows the raw score the projection and its severity")
    made = step(runner.state, runner._event(["score", "30", "general=0.13"]))
    decision = next(r.decision for r in made.records if isinstance(r, RecordDecision))
    by_hand = math.log(1.13) - (math.log(1.16) - math.log(1.13)) * 0.49 / 0.15
    assert decision.projected == pytest.approx(math.expm1(by_hand), rel=1e-9)
    assert (decision.forgetting, decision.severity) == (0.13, "ACTION"), "alerts use the raw score"
    assert "+13.00% (projected to the end +3.73%): at or over action (10%) now, below it at the end" in decision.message


@pytest.mark.parametrize("kind", list(ModelKind))
@pytest.mark.parametrize("progress", [0.0, 0.03, 0.4, 0.9])
def test_the_area_is_that_of_the_schedule_that_trains(kind: ModelKind, progress: float) -> None:
    trained = Schedule(kind=kind, total_steps=4000, warmup=0.05, floor=0.1, decay=0.2)
    by_steps = math.fsum(trained.factor(s) for s in range(round(4000 * progress), 4000)) / 4000
    shape = rate_shape_of(ScheduleSpec(kind=ScheduleKind(kind.value), warmup=0.05, floor=0.1, decay=0.2))
    assert shape.left(progress) == pytest.approx(by_steps, rel=2e-3)


def test_a_stage_that_hovers_under_action_goes_back_further_each_time() -> None:
    """9.9 % all along and 10 % at the end: first to the newest good checkpoint, as always; one that was gone back to is
    no target again, the next one lies at most half as far into the stage."""
    runner = scenario("projection", "a stage that hovers under action goes back further each time")
    assert runner.state.stages[0].gate.rollback_steps == (90, 40, 20, 10)
