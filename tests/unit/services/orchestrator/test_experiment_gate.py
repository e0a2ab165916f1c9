"""The platform's gate over one stage in one process: the directives that a worker would hear."""

import math
from dataclasses import asdict

import pytest

from model.errors import BadConfig
from model.experiments.arms import Arm, GateRules
from model.experiments.catalogue import HALF_AND_DOUBLE
from model.experiments.gate import Measured, Start, load_factory
from model.training.job import Verdict
from retain.values import AnticipateSpec, ForgettingSpec, LadderSpec
from services.orchestrator.domain.spec.bounds import DEFAULT_ANTICIPATE, DEFAULT_LADDER, anticipation_of, ladder_of
from services.orchestrator.domain.spec.validation.checks import Faults
from services.orchestrator.domain.spec.validation.policy import check_policy
from services.orchestrator.experiment_gate import ExperimentGate, experiment_gate


def gate(**rules: object) -> ExperimentGate:
    arm = Arm(domain="gsm8k", seed=0, general_share=0.1, steps=100, gate=GateRules(**{"controller": "LADDER", **rules}))
    return experiment_gate(arm)


def sets(ratio: float, *, last: bool = False) -> list[Measured]:
    sizes = {"tokens": 1000, "bytes": 3000, "units": 60}
    nats = 1.5 + math.log1p(ratio) if ratio > -1 else math.nan
    return [
        one
        for report in ((False, True) if last else (False,))
        for one in (
            Measured(name="gsm8k", target=True, report=report, loss_nats=2.0, baseline_nats=5.0, **sizes),
            Measured(name="general", target=False, report=report, loss_nats=nats, baseline_nats=1.5, **sizes),
        )
    ]


def test_a_quiet_stage_is_accepted_at_its_last_boundary() -> None:
    quiet = gate()
    assert quiet.begin() == Start(boundary=0, shares={"general": 0.1}, lr_scale=1.0)
    for boundary in range(1, 10):
        assert quiet.judge(boundary, 10 * boundary, 2.0, sets(0.02)).verdict is Verdict.CONTINUE
    assert quiet.judge(10, 100, 2.0, sets(0.02, last=True)).verdict is Verdict.ACCEPT
    assert (quiet.begin(), quiet.outcome) == (None, "ACCEPTED")
    assert [d["verdict"] for d in quiet.decisions] == ["CONTINUE"] * 9 + ["ACCEPT"]


def test_at_stop_it_goes_back_to_the_last_good_boundary_with_the_next_rung() -> None:
    loud = gate()
    loud.begin()
    for boundary, ratio in enumerate((0.02, 0.03), start=1):
        loud.judge(boundary, 10 * boundary, 2.0, sets(ratio))
    assert loud.judge(3, 30, 2.0, sets(0.25)).verdict is Verdict.ROLL_BACK
    assert loud.begin() == Start(boundary=2, shares={"general": 0.2}, lr_scale=1.0)


def test_when_the_retries_are_used_up_it_is_suspended() -> None:
    loud = gate(max_retries=1)
    for _ in range(2):
        loud.begin()
        for boundary in (1, 2):
            directive = loud.judge(boundary, 10 * boundary, 2.0, sets(0.5))
    assert directive.verdict is Verdict.STOP
    assert (loud.begin(), loud.outcome) == (None, "SUSPENDED")


def test_a_training_loss_that_is_no_number_halves_the_rate() -> None:
    broken = gate()
    broken.begin()
    broken.broke(4, "nan")
    assert broken.begin() == Start(boundary=0, shares={"general": 0.1}, lr_scale=0.5)


def test_a_set_that_is_no_number_is_a_stop() -> None:
    broken = gate()
    broken.begin()
    assert broken.judge(1, 10, 2.0, sets(-2.0)).verdict is Verdict.ROLL_BACK


def test_it_is_found_by_its_name() -> None:
    assert load_factory("services.orchestrator.experiment_gate:experiment_gate") is experiment_gate


def test_a_constant_of_the_arm_is_the_gates() -> None:
    loud = gate(constants=(("ladder.rungs", (0.15, 0.4)),))
    loud.begin()
    for boundary, ratio in enumerate((0.02, 0.03), start=1):
        loud.judge(boundary, 10 * boundary, 2.0, sets(ratio))
    loud.judge(3, 30, 2.0, sets(0.25))
    assert loud.begin() == Start(boundary=2, shares={"general": 0.15}, lr_scale=1.0)


def test_a_constant_that_the_message_does_not_have_is_refused() -> None:
    with pytest.raises(BadConfig, match="rate_factor"):
        gate(constants=(("ladder.speed", 1.0),))


def test_the_sensitivity_has_every_constant_below_and_above_its_default_and_within_what_a_spec_allows() -> None:
    defaults = {f"ladder.{k}": v for k, v in asdict(DEFAULT_LADDER).items()}
    defaults |= {f"anticipate.{k}": v for k, v in asdict(DEFAULT_ANTICIPATE).items()}
    of_scarce_targets = {"anticipate.scarce_passes"}  # experiment (j) is about it
    assert HALF_AND_DOUBLE.keys() == defaults.keys() - of_scarce_targets
    for name, values in HALF_AND_DOUBLE.items():
        message, _, field = name.partition(".")
        assert values[0] < defaults[name]
        assert all(value > defaults[name] for value in values[1:])
        for value in values:
            made = {message: {"ladder": LadderSpec, "anticipate": AnticipateSpec}[message](**{field: value})}
            faults, rules = Faults(), ForgettingSpec(**made)
            check_policy(faults, rules)
            assert not faults.found, name
            read = {"ladder": ladder_of, "anticipate": anticipation_of}[message](rules)
            assert getattr(read, field) == value
