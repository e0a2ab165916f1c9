"""Shares that are chosen for sets which nothing replays too (`replay_for: ALL`); the table is tables/guarded.txt."""

import math
from dataclasses import replace

import pytest

from retain.values import ReplayFor
from services.orchestrator.adapters import codec
from services.orchestrator.domain.policy.anticipation import estimate
from services.orchestrator.domain.run.commands import RecordDecision
from services.orchestrator.domain.run.state import GateMemory, PipelineRun
from services.orchestrator.domain.spec.defaults import fill
from services.orchestrator.domain.step import step
from tests.scenarios.scenario_runner import ScenarioRunner, training
from tests.scenarios.tables import scenario, sections

NARRATIVE = "controller=ANTICIPATE gauges=narrative"
WITH_ONE_SET = [
    (table, title)
    for table in ("anticipate", "gate", "projection", "budget")
    for title, section in sections(table).items()
    if "gauges" not in section.settings and not (section.continues or section.new)
]


def with_rule(runner: ScenarioRunner, rule: ReplayFor) -> PipelineRun:
    """A run as it stands, its spec told which rule it has."""
    rules = replace(runner.state.spec.forgetting, replay_for=rule)
    return replace(runner.state, spec=replace(runner.state.spec, forgetting=rules))


@pytest.mark.parametrize(("table", "title"), WITH_ONE_SET, ids=[title for _, title in WITH_ONE_SET])
def test_a_stage_with_one_general_set_is_decided_bit_for_bit_as_before(table: str, title: str) -> None:
    section = sections(table)[title]
    before, after = (training(f"{section.settings} replay_for={rule}") for rule in ("REPLAYED", "ALL"))
    for _, event, _ in section.rows:
        assert before.apply(event) == after.apply(event), event
        assert codec.dumps(with_rule(before, ReplayFor.ALL)) == codec.dumps(after.state), event


def test_the_rule_is_the_default_of_new_runs_and_not_of_stored_ones() -> None:
    assert fill(training().state.spec).forgetting.replay_for is ReplayFor.ALL
    stored = training(f"{NARRATIVE} share=0.3")
    stored.state = with_rule(stored, ReplayFor.UNSPECIFIED)
    for line in ("checkpoint 10", "score 10 general=0.0 gauge-narrative=0.0", "checkpoint 20"):
        stored.apply(line)
    assert stored.apply("score 20 general=0.0 gauge-narrative=0.12") == "ADJUST general=0.02 lr=1"
    assert stored.state.stages[0].gate.guarded == {}


def test_a_state_from_before_there_was_a_choice_can_be_read() -> None:
    text = codec.dumps(GateMemory(constants={"general": (0.01,)}))
    assert '"guarded"' in text
    old = text.replace('"guarded": {}, ', "").replace('"guarded":{},', "")
    assert '"guarded"' not in old
    assert codec.loads(GateMemory, old) == GateMemory(constants={"general": (0.01,)})


def test_its_constant_is_that_of_the_law_by_the_share_of_general_text() -> None:
    runner = scenario(
        "guarded", "general text is replayed for a set that nothing replays, before a threshold is crossed"
    )
    by_hand = math.log(1.09) * (0.10 + 0.05)
    assert estimate(runner.state.stages[0].gate.guarded, "gauge-narrative") == pytest.approx(by_hand, rel=1e-12)


def test_the_decision_says_for_which_set_a_share_is_raised_and_for_which_it_stays() -> None:
    """General text itself would need 2 %."""
    raised = told(training(NARRATIVE), 0.19)
    assert raised.endswith("anticipated: general share 0.1 -> 0.26 (c = 0.0261 nats of gauge-narrative)")
    stays = told(training(f"{NARRATIVE} share=0.3"), 0.085)
    assert stays.endswith("general share stays at 0.3 for gauge-narrative")
    assert "stays" not in told(training(f"{NARRATIVE} share=0.02"), 0.0), "general text needs that much itself"


def told(runner: ScenarioRunner, ratio: float) -> str:
    """The message of the decision on step 20, where the gauge stands at this ratio and general text at 0."""
    for line in ("checkpoint 10", "score 10 general=0.0 gauge-narrative=0.0", "checkpoint 20"):
        runner.apply(line)
    event = runner._score(["score", "20", "general=0.0", f"gauge-narrative={ratio!r}"])
    (record,) = [one for one in step(runner.state, event).records if isinstance(one, RecordDecision)]
    return record.decision.message


def test_a_killed_orchestrator_goes_on_with_what_it_knew() -> None:
    """The state is written and read between all events: the same decisions."""
    lines = ["checkpoint 10", "score 10 general=0.0 gauge-narrative=0.0"]
    for at in range(20, 70, 10):
        lines += [f"checkpoint {at}", f"score {at} general=-0.1 gauge-narrative=0.{at + 5}"]
    undisturbed, killed = training(f"{NARRATIVE} stop=0.9"), training(f"{NARRATIVE} stop=0.9")
    for line in lines:
        killed.state = codec.loads(PipelineRun, codec.dumps(killed.state))
        assert killed.apply(line) == undisturbed.apply(line)
    assert killed.state == undisturbed.state
    assert estimate(killed.state.stages[0].gate.guarded, "gauge-narrative") is not None
