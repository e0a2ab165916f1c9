"""The share before a stage by a trial of mixes (OP_MIX): chosen once, durable, begun again by whoever was killed."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from retain.values import MixPoint, StageWork, Verdict
from services.common.errors import Stale
from services.orchestrator.domain.handlers.assignment import work_of
from services.orchestrator.domain.run import events as e
from services.orchestrator.domain.run.commands import RecordDecision
from services.orchestrator.domain.step import Step, step
from tests.scenarios.scenario_runner import ScenarioRunner, training

OP_MIX = "controller=OP_MIX"
# 0.1 costs 0.2 nats of general text, 0.5 none: straight between them the limit .9 ln 1.1 = 0.08578 is met from
# 0.1 + 0.4 * (0.2 - 0.08578) / 0.2 = 0.3284 on, which is 0.33 in whole percent.
POINTS = (
    MixPoint(share=0.1, target_loss_nats=2.0, forgetting_nats={"general": 0.2}),
    MixPoint(share=0.5, target_loss_nats=2.4, forgetting_nats={"general": 0.0}),
)


def assigned(runner: ScenarioRunner) -> StageWork:
    work = work_of(runner.state)
    assert isinstance(work, StageWork)
    return work


def tried(runner: ScenarioRunner, points: tuple[MixPoint, ...] = POINTS, **changes: Any) -> Step:
    at: Mapping[str, Any] = {"submission": 1, "attempt": 1, "stage_index": 0, "now_s": runner.now_s + 1} | changes
    made = step(runner.state, e.MixTried(points=points, tokens=5120, seconds=3.0, **at))
    runner.state = made.run
    return made


def test_the_assignment_asks_for_a_trial_and_the_smallest_share_within_the_budget_is_taken() -> None:
    runner = training(OP_MIX)
    asked = assigned(runner).mix_trial
    assert asked is not None
    assert (asked.steps, asked.rank, asked.shares) == (10, 8, (0.0, 0.1, 0.25, 0.5))
    assert asked.learning_rate == pytest.approx(5 * runner.state.spec.stages[0].learning_rate)
    assert {(one.name, str(one.use)) for one in asked.sets} == {("code", "CONTROL"), ("general", "CONTROL")}
    made = tried(runner)
    (decision,) = [record.decision for record in made.records if isinstance(record, RecordDecision)]
    assert (decision.verdict, decision.boundary, decision.mixes) == (Verdict.ADJUST, 0, POINTS)
    assert decision.message.startswith("OP_MIX: the share 0.33 keeps the budget")
    work = assigned(runner)
    assert (work.mix_trial, dict(work.shares)) == (None, {"general": 0.33})


def test_a_trial_measures_the_sets_that_nothing_replays_too_unless_shares_are_for_what_is_replayed() -> None:
    work = assigned(training(f"{OP_MIX} gauges=narrative")).mix_trial
    assert work is not None
    assert {one.name for one in work.sets} == {"code", "general", "gauge-narrative"}
    assert work.most_bits_per_byte == {"gauge-narrative": 2.0}
    work = assigned(training(f"{OP_MIX} gauges=narrative replay_for=REPLAYED")).mix_trial
    assert work is not None
    assert {one.name for one in work.sets} == {"code", "general"}


def test_the_set_that_needs_most_decides_a_trial_also_one_that_nothing_replays() -> None:
    """0.4 nats at 10 %, none at 50 %: .0858 are met from .1 + .4 * (.4 - .0858) / .4 = .4142 on, 42 %."""
    runner = training(f"{OP_MIX} gauges=narrative")
    points = tuple(
        replace(
            point, forgetting_nats={**point.forgetting_nats, "gauge-narrative": 2 * point.forgetting_nats["general"]}
        )
        for point in POINTS
    )
    tried(runner, points)
    assert dict(assigned(runner).shares) == {"general": 0.42}


def test_a_worker_that_is_killed_in_the_midst_begins_the_choice_again_and_its_late_report_changes_nothing() -> None:
    runner = training(OP_MIX)
    first = assigned(runner).mix_trial
    runner.apply("ask 1 b")
    assert assigned(runner).mix_trial == first, "nothing was half-chosen"
    with pytest.raises(Stale):
        tried(runner)
    tried(runner, attempt=2)
    runner.apply("ask 1 c")
    work = assigned(runner)
    assert (work.mix_trial, dict(work.shares)) == (None, {"general": 0.33}), "the next attempt trains with it"


def test_a_report_whose_reply_was_lost_is_answered_alike() -> None:
    runner = training(OP_MIX)
    tried(runner)
    chosen = runner.state
    other = (replace(POINTS[0], forgetting_nats={"general": 0.0}), POINTS[1])
    assert tried(runner, other).run == chosen


def test_the_loop_that_anticipates_takes_over_and_a_rollback_to_the_start_tries_nothing_again() -> None:
    runner = training(f"{OP_MIX} stop_on=RAW")
    tried(runner)
    for at in range(10, 40, 10):
        runner.apply(f"checkpoint {at}")
        said = runner.apply(f"score {at} general=0.7 target=2.5")
        if said.startswith("ROLL_BACK"):
            break
    assert said.startswith("ROLL_BACK to start")
    runner.apply("ask 1 d")
    assert assigned(runner).mix_trial is None


@pytest.mark.parametrize("points", [(), POINTS[:1], (replace(POINTS[0], target_loss_nats=float("nan")), POINTS[1])])
def test_a_trial_that_says_nothing_leaves_the_share_and_says_so(points: tuple[MixPoint, ...]) -> None:
    runner = training(OP_MIX)
    made = tried(runner, points)
    (decision,) = [record.decision for record in made.records if isinstance(record, RecordDecision)]
    assert decision.verdict is Verdict.CONTINUE
    assert "says nothing" in decision.message
    work = assigned(runner)
    assert (work.mix_trial, dict(work.shares)) == (None, {"general": 0.1})


@pytest.mark.parametrize("header", ["controller=ANTICIPATE", "controller=LADDER", f"{OP_MIX} share=0"])
def test_other_controllers_and_a_stage_that_replays_nothing_try_nothing(header: str) -> None:
    runner = training(header)
    assert assigned(runner).mix_trial is None
    before = runner.state
    assert tried(runner).run == before
