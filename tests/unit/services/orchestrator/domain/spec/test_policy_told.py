"""A plan says who decides about forgetting, by which score, with which help, and why."""

from dataclasses import replace

import pytest

from retain.values import (
    BatchSpec,
    Controller,
    DurationSpec,
    ForgettingSpec,
    GaugeSpec,
    OpMixSpec,
    PenaltySpec,
    ReplayFor,
    StopOn,
)
from services.orchestrator.domain.spec.defaults import fill
from services.orchestrator.domain.spec.policy_told import policy_told
from services.orchestrator.transport.present import present_plan
from tests.unit.services.orchestrator.specs import FINETUNE, MIDTRAIN, PRETRAIN, spec


def test_by_default_the_share_is_anticipated_and_stop_looks_at_the_end() -> None:
    told = list(present_plan(fill(spec()), ()).policy)
    assert told[0].startswith("controller ANTICIPATE: there is replay")
    assert told[1].startswith("stop on PROJECTED")
    assert [line.split(":")[0] for line in told[2:]] == [
        "midtrain/code does not distil",
        "finetune does not distil",
        "no probe in fine-tuning",
    ]


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (ForgettingSpec(controller=Controller.LADDER), "controller LADDER"),
        (ForgettingSpec(controller=Controller.OP_MIX), "controller OP_MIX: before a stage two short runs"),
        (ForgettingSpec(stop_on=StopOn.RAW), "stop on RAW"),
        (ForgettingSpec(mitigate=False), "mitigate is off"),
    ],
)
def test_what_is_given_is_told(rules: ForgettingSpec, said: str) -> None:
    assert any(line.startswith(said) for line in policy_told(fill(spec(forgetting=rules))))


def test_a_plan_says_whether_general_text_is_replayed_for_the_gauges_too() -> None:
    said = "that of general text for the gauges too"
    assert said in policy_told(fill(spec()))[0]
    for rules in (ForgettingSpec(replay_for=ReplayFor.REPLAYED), ForgettingSpec(gauges=GaugeSpec(off=True))):
        assert said not in policy_told(fill(spec(forgetting=rules)))[0]


def test_a_trial_of_mixes_is_told_with_what_it_costs_besides_the_stage() -> None:
    """Two runs of a tenth each: of 100 steps of 16 rows of 64 tokens 2 x 10 x 1,024."""
    rules = ForgettingSpec(controller=Controller.OP_MIX)
    stage = replace(MIDTRAIN, duration=DurationSpec(steps=100), batch=BatchSpec(sequences=16))
    asked = spec(stages=(PRETRAIN, stage), forgetting=rules)
    asked = replace(asked, model=replace(asked.model, context=64))
    assert "midtrain/code 20,480" in policy_told(fill(asked))[0]
    asked = replace(asked, forgetting=replace(rules, op_mix=OpMixSpec(tokens=3000)))
    assert "midtrain/code 6,144" in policy_told(fill(asked))[0], "two runs of three whole steps"
    bare = replace(stage, data=replace(stage.data, general_share=0.0))
    assert "no mix is tried" in policy_told(fill(replace(asked, stages=(PRETRAIN, bare))))[0]


def test_distillation_is_told_with_its_strength_and_no_replay_with_what_follows() -> None:
    distilled = replace(MIDTRAIN, penalty=PenaltySpec(distill=2.0))
    assert "midtrain/code distils with strength 2: there is replay" in " ".join(
        policy_told(fill(spec(stages=(PRETRAIN, distilled))))
    )
    bare = replace(MIDTRAIN, data=replace(MIDTRAIN.data, general_share=0.0))
    assert "nothing is replayed yet" in policy_told(fill(spec(stages=(PRETRAIN, bare))))[0]


@pytest.mark.parametrize(("epochs", "told"), [(3.9, False), (4.0, True), (16.0, True)])
def test_a_target_that_is_passed_over_often_keeps_its_replay(epochs: float, told: bool) -> None:
    often = replace(FINETUNE, duration=DurationSpec(epochs=epochs))
    said = " ".join(policy_told(fill(spec(stages=(PRETRAIN, MIDTRAIN, often)))))
    assert (f"finetune passes over its target {epochs:g} times" in said) == told
    ladder = ForgettingSpec(controller=Controller.LADDER)
    assert "passes over" not in " ".join(policy_told(fill(spec(stages=(PRETRAIN, often), forgetting=ladder))))


def test_a_run_that_keeps_nothing_is_told_nothing() -> None:
    assert policy_told(fill(spec(stages=(PRETRAIN,)))) == ()
    assert FINETUNE.penalty.distill is None
    assert fill(spec()).stages[1].penalty.distill == 0
