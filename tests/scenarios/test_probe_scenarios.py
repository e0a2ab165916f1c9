"""The probe of a fine-tuning: a loss that is surely over its budget goes back, one that may be noise never does.

Of 80 items that the start had right, against a budget of 10 %: Tango's statistic at a true loss of 10 % is
(lost - 8) / sqrt(80 * 0.1 * 0.9) = (lost - 8) / 2.683 (with nothing gained, q is 0 there). For 13 lost it is 1.86, less
than 1.96: the interval reaches below the budget. For 14 it is 2.24: the interval lies over it.
"""

import pytest

from retain.values import ProbeRequest, ProbeSpec, RunState
from services.orchestrator.domain.due import due
from services.orchestrator.domain.run.commands import Evaluate
from services.orchestrator.domain.spec.defaults import fill
from services.orchestrator.domain.spec.probe import probe_at
from tests.scenarios.builders import run
from tests.scenarios.scenario_runner import ScenarioRunner, training
from tests.unit.services.orchestrator.specs import spec


def near_the_end(header: str = "", probes: tuple[int, ...] = ()) -> ScenarioRunner:
    """Boundaries at every tenth step, the last one not measured yet; `probes` are answered at the first ones."""
    runner = training(f"finetune=1 {header}")
    for number, at in enumerate(range(10, 100, 10)):
        runner.apply(f"checkpoint {at}")
        lost = f" lost={probes[number]}" if number < len(probes) else ""
        assert runner.apply(f"score {at} general=0.01{lost}").startswith(("CONTINUE", "ADJUST"))
    runner.apply("checkpoint 100")
    return runner


@pytest.mark.parametrize(("lost", "verdict"), [(0, "ACCEPT"), (8, "ACCEPT"), (13, "ACCEPT"), (14, "ROLL_BACK")])
def test_only_a_loss_that_is_surely_over_the_budget_goes_back(lost: int, verdict: str) -> None:
    runner = near_the_end()
    assert runner.apply(f"score 100 general=0.01 report=0.01 lost={lost}").startswith(verdict)


def test_the_rollback_lowers_the_rate_and_says_why() -> None:
    runner = near_the_end()
    runner.apply("score 100 general=0.01 report=0.01 lost=40")
    stage = runner.state.stages[0]
    assert stage.branch.mix.lr_scale == 0.5
    said = stage.branch.verdicts[-1].message
    assert "probe format 40 of 80 right, 80 before (+50.0% lost" in said
    assert "surely at or over its budget (10%)" in said


def test_when_all_retries_are_used_a_person_is_asked() -> None:
    runner = near_the_end("max_retries=0")
    assert runner.apply("score 100 general=0.01 report=0.01 lost=40").startswith("STOP")
    assert runner.state.status is RunState.SUSPENDED


def test_before_the_end_a_probe_is_told_and_decides_nothing() -> None:
    runner = near_the_end("probe_every=1", probes=(60, 60))
    said = [directive.message for directive in runner.state.stages[0].branch.verdicts]
    assert all("probe format 20 of 80 right" in message for message in said[:2])
    assert runner.apply("score 100 general=0.01 report=0.01 lost=0").startswith("ACCEPT")


def test_without_mitigation_nothing_is_promised() -> None:
    runner = near_the_end("mitigate=0")
    assert runner.apply("score 100 general=0.01 report=0.01 lost=70").startswith("ACCEPT")


def test_what_forgetting_calls_for_is_not_softened_by_a_good_probe() -> None:
    assert near_the_end().apply("score 100 general=0.5 report=0.5 lost=0").startswith("ROLL_BACK")


def test_it_is_asked_at_the_end_and_at_every_so_many_boundaries() -> None:
    every = run("finetune=1 probe_every=3").spec
    asked = [at for at in range(1, 11) if probe_at(every, 0, boundary=at, boundaries=10)]
    assert asked == [3, 6, 9, 10]
    once = run("finetune=1").spec
    assert [at for at in range(1, 11) if probe_at(once, 0, boundary=at, boundaries=10)] == [10]
    assert all(probe_at(run("").spec, 0, boundary=at, boundaries=10) is None for at in range(1, 11))  # a mid-training


def test_the_evaluation_of_the_last_boundary_asks_it_with_the_defaults() -> None:
    runner = near_the_end()
    (last,) = [command for command in due(runner.state) if isinstance(command, Evaluate)]
    assert last.base is not None
    assert last.probe == ProbeRequest(answer_tokens=40, most_seconds=900.0)


def test_a_preset_that_knows_nothing_has_no_probe_unless_it_is_asked_for() -> None:
    assert fill(spec()).forgetting.probe == ProbeSpec(off=True)
    rules = spec().forgetting
    wanted = fill(spec(forgetting=type(rules)(probe=ProbeSpec(off=False)))).forgetting.probe
    assert wanted is not None
    assert (wanted.off, wanted.budget) == (False, 0.1)
    assert fill(fill(spec())) == fill(spec())
