"""`forgetting.budget` is a promise about the report set at a stage's end; noise does not act, but not for ever."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from retain.values import Verdict
from services.orchestrator.domain.run.state import RunState
from tests.scenarios.scenario_runner import ScenarioRunner, training
from tests.scenarios.tables import scenario


def near_the_end(header: str) -> ScenarioRunner:
    runner = training(header)
    for at in range(10, 100, 10):
        runner.apply(f"checkpoint {at}")
        runner.apply(f"score {at} general=0.04")
    runner.apply("checkpoint 100")
    return runner


def test_exactly_the_budget_is_over_it_and_a_hair_below_is_not() -> None:
    over = near_the_end("budget=0.08").apply("score 100 general=0.05 report=0.08")
    assert over.startswith("ROLL_BACK to 90")
    assert near_the_end("budget=0.08").apply("score 100 general=0.05 report=0.0799").startswith("ACCEPT")


def test_a_report_set_that_was_not_measured_keeps_no_promise() -> None:
    for missing in ("score 100 general=0.05", "score 100 general=0.05 report=nan"):
        assert near_the_end("budget=0.08 max_retries=0").apply(missing).startswith("STOP"), missing


def test_a_run_that_only_measures_is_held_at_the_end_when_it_was_given_a_budget() -> None:
    scenario("budget", "a run that only measures is held at the end when it was given a budget")
    assert near_the_end("mitigate=0 budget=0.08").apply("score 100 general=0.09 report=0.07").startswith("ACCEPT")
    assert near_the_end("mitigate=0").apply("score 100 general=0.90 report=0.90").startswith("ACCEPT")


USUAL = st.floats(-0.02, 0.09)
SCORES = st.one_of(
    USUAL, USUAL, USUAL, st.floats(-0.2, 0.5), st.sampled_from([0.05, 0.1, 0.2, 0.6, math.nan, math.inf])
)
HEADERS = ["", "lag=1", "budget=0.05", "confirm=1", "controller=ANTICIPATE", "points=0.3,0.6", "points=0.5 gain=0.1"]


@settings(max_examples=60, deadline=None)
@given(data=st.data(), header=st.sampled_from(HEADERS))
def test_whatever_is_measured_no_run_succeeds_over_its_budget_by_itself(data: st.DataObject, header: str) -> None:
    """Any scores at all, rollbacks and retries included: the end is SUSPENDED, or accepted below the budget."""
    runner = training(f"max_retries=1 {header}")
    budget, calm = runner.state.spec.forgetting.budget, data.draw(st.booleans())
    for _ in range(100):
        stage = runner.state.stages[0]
        if runner.state.status is not RunState.RUNNING:
            break
        if stage.branch.pending_rollback is not None:
            runner.apply(f"ask 1 n{runner.now_s}")
            continue
        newest = stage.branch.newest
        at_the_end = newest is not None and newest.boundary >= stage.plan.boundaries
        general, report = data.draw(SCORES if at_the_end or not calm else USUAL), data.draw(SCORES)
        figures = f"general={general} report={report} target={data.draw(st.floats(1.0, 3.0))}"
        if newest is not None and newest.severity is None and newest.measurement is None:
            at = f"at={newest.point} " if newest.point is not None else ""
            runner.apply(f"score {newest.ref.step} {at}{figures}")
        elif at_the_end and stage.known_interpolation.chosen is not None:
            runner.apply(f"written {stage.known_interpolation.chosen}")
        elif at_the_end:
            known = {point.point for point in stage.known_interpolation.points}
            asked = [p for p in (0.0, *runner.state.spec.forgetting.interpolation.points) if p not in known]
            runner.apply(f"point {asked[0]} {figures}")
        else:
            runner.apply(f"checkpoint {(newest.ref.step if newest else 0) + 10}")
    stage = runner.state.stages[0]
    assert runner.state.status in (RunState.SUSPENDED, RunState.SUCCEEDED)
    if runner.state.status is RunState.SUCCEEDED:
        assert budget is not None
        assert len(stage.last.report_scores) == 1
        assert all(score.ratio < budget for score in stage.last.report_scores)
        assert stage.branch.verdicts[-1].verdict is Verdict.ACCEPT


def test_an_interval_wholly_above_and_a_score_without_one_act_at_once() -> None:
    for score in ("general=0.13 low=0.101", "general=0.13"):
        runner = training("confirm=1")
        for line in ("checkpoint 10", "score 10 general=0.0", "checkpoint 20"):
            runner.apply(line)
        assert runner.apply(f"score 20 {score}") == "ADJUST general=0.2 lr=1"
