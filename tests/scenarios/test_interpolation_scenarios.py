"""The end of a stage on the line to its parent: measured, chosen, written, measured again, accepted or not.

Points 0.3 and 0.6 are asked for; the parent (0) is measured for its target loss, and the result (1) takes part.
"""

import pytest

from retain.values import LinePoint
from services.orchestrator.domain.policy.interpolation import choose
from tests.scenarios.scenario_runner import ScenarioRunner, training
from tests.scenarios.tables import scenario

POINTS = "points=0.3,0.6"
POINT_URI = "s3://retain/runs/r1/midtrain/code/attempt-1/step-000000100-point-0.6"


def at_the_end(header: str = POINTS) -> ScenarioRunner:
    """A stage whose last checkpoint has been registered."""
    runner = training(header)
    for at in range(10, 100, 10):
        runner.apply(f"checkpoint {at}")
        runner.apply(f"score {at} general=0.04 target=2.5")
    runner.apply("checkpoint 100")
    return runner


def test_the_best_target_within_the_budget_is_written_and_accepted() -> None:
    runner = scenario("interpolation", "the best target within the budget is written and accepted")
    stage = runner.state.stages[0]
    assert stage.accepted is not None
    assert (stage.accepted.uri, stage.accepted.step) == (POINT_URI, 100)
    assert [s.ratio for s in stage.last.report_scores] == [0.07], "what people quote is the accepted checkpoint's"
    accepted = stage.branch.checkpoints[-1]
    assert accepted.parent == "0" * 64, "it grew from the result"
    assert accepted.id.endswith("/step-000000100-point-0.6")


def test_a_written_point_over_its_budget_on_the_report_set_is_not_accepted() -> None:
    """The report set says yes or no to the one that was chosen; it chooses nothing. The point is no place to go back
    to, and a person who accepts after the last retry accepts the point, which is what was measured last."""
    scenario("interpolation", "a written point over its budget on the report set is not accepted")
    runner = scenario("interpolation", "a written point over its budget on the report set is not accepted, 2")
    assert runner.state.stages[0].accepted is not None
    assert runner.state.stages[0].accepted.uri == POINT_URI


def test_what_cannot_be_written_is_tried_again_and_then_ends_the_run() -> None:
    runner = scenario("interpolation", "what cannot be written is tried again and then ends the run")
    assert runner.state.stages[0].accepted is not None


@pytest.mark.parametrize("header", [POINTS, f"{POINTS} mitigate=0"])
def test_a_broken_result_has_no_line_and_neither_has_a_run_that_only_measures(header: str) -> None:
    broken = "target=nan" if "mitigate" not in header else "target=2.0"
    expected = "ROLL_BACK to 90 general=0.1 lr=0.5; prune 100" if "mitigate" not in header else "ACCEPT"
    came = at_the_end(header).apply(f"score 100 general=0.05 report=0.05 {broken}")
    assert came.startswith(expected)


def point(at: float, target: float, forgetting: float | None) -> LinePoint:
    return LinePoint(point=at, forgetting=forgetting, worst_set="general", target_loss_nats=target)


NAN = float("nan")
PARENT = point(0.0, 3.0, None)


@pytest.mark.parametrize(
    ("points", "chosen"),
    [
        ([PARENT, point(0.5, 2.2, 0.04), point(0.8, 2.1, 0.08), point(1.0, 2.0, 0.15)], 0.8),
        ([PARENT, point(0.5, 2.2, 0.0999), point(1.0, 2.0, 0.10)], 0.5),  # exactly the budget is over it
        ([PARENT, point(0.5, 2.2, 0.01), point(1.0, 2.2, 0.02)], 1.0),  # of equal ones the one that was trained
        ([PARENT], None),  # the parent is no success
        ([PARENT, point(0.5, 2.96, 0.01)], None),  # gains 0.04 nats of the 0.05 asked for
        ([PARENT, point(0.5, NAN, 0.01), point(0.7, 2.0, NAN)], None),
        ([point(0.0, NAN, None), point(0.7, 2.0, 0.01)], None),
        ([point(0.7, 2.0, 0.01)], None),  # nobody knows what was gained
    ],
)
def test_the_choice_fails_closed(points: list[LinePoint], chosen: float | None) -> None:
    found = choose(points, limit=0.10, least_gain_nats=0.05)
    assert (found.point if found else None) == chosen
