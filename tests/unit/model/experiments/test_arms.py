"""An arm is its digest: what changes a run changes its name, and only that."""

import json
from dataclasses import replace

import pytest

from model.errors import BadConfig
from model.experiments.arms import Arm, GateRules
from model.experiments.catalogue import EXPERIMENTS, arms_of

ARM = Arm(domain="gsm8k", seed=0, general_share=0.1)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1}, {"general_share": 0.2}, {"steps": 100}, {"penalty": "ewc"}, {"order": "hard_to_easy"},
        {"parent": ARM}, {"gate": GateRules(controller="LADDER")}, {"late_share": 0.5},
        {"gate": GateRules(constants=(("anticipate.aim", 0.5),))},
    ],
)  # fmt: skip
def test_every_change_gives_another_digest(changes: dict) -> None:
    assert replace(ARM, **changes).digest != ARM.digest


def test_an_arm_survives_json() -> None:
    gate = GateRules(
        controller="ANTICIPATE", stop=0.6, constants=(("ladder.rungs", (0.1, 0.4)), ("anticipate.aim", 0.5))
    )
    arm = Arm(domain="chat", seed=2, domain_share=0.1, parent=ARM, gate=gate)
    read = Arm.from_dict(json.loads(json.dumps(arm.as_dict())))
    assert read == arm
    assert read.digest == arm.digest


def test_a_field_that_is_added_renames_no_arm_that_has_run() -> None:
    """The digest of an arm of (i) as it was before arms could change constants."""
    assert arms_of("i", "gsm8k", 1)[0].arm.digest == "d858252dd1739531"


def test_real_replay_of_l_is_that_of_i() -> None:
    """At the same share and rate it is the same arm, which is not run again."""
    fixed = {named.arm.digest for named in arms_of("i", "gsm8k", 1)}
    real = [named.arm for named in arms_of("l", "gsm8k", 1) if named.group == "real"]
    assert {arm.general_share for arm in real} == {0.10, 0.25}
    real += [named.arm for named in arms_of("l", "gsm8k", 1) if named.group == "real, for the frontier"]
    assert {arm.general_share for arm in real} == {0.10, 0.25, 0.50}
    assert {arm.digest for arm in real} <= fixed


def test_shares_and_sets_follow_the_parent() -> None:
    chat = Arm(domain="chat", seed=0, general_share=0.1, domain_share=0.2, parent=ARM)
    assert chat.shares == {"general": 0.1, "gsm8k": 0.2}
    assert ARM.shares == {"general": 0.1}


def test_all_arms_of_an_experiment_spend_the_same_tokens() -> None:
    for letter in EXPERIMENTS:
        tokens = {named.arm.tokens for named in arms_of(letter, "gsm8k", 2)}
        steps = {"i": 100, "k": 100, "l": 100, "m": 100, "n": 100}.get(letter, 200)
        assert tokens == {steps * 16 * 256} or letter in ("h", "j")


@pytest.mark.parametrize("domain", ["gsm8k", "scitldr", "code"])
def test_scarce_arms_see_the_target_as_often_with_replay_as_without(domain: str) -> None:
    """A step is 2,048 tokens: half of one more or less is what whole steps allow."""
    for group in {named.group for named in arms_of("j", domain, 1)}:
        arms = [named.arm for named in arms_of("j", domain, 1) if named.group == group]
        seen = [arm.tokens * (1 - arm.general_share) for arm in arms]
        assert max(seen) - min(seen) < 2_048
        assert {arm.documents for arm in arms} == {arms[0].documents}


@pytest.mark.parametrize(
    "wrong",
    [
        {"penalty": "l1"}, {"order": "sorted"}, {"domain_share": 0.1},
        {"lora_rank": 8, "gate": GateRules(controller="LADDER")},
        {"late_share": 0.5, "gate": GateRules(controller="LADDER")},
        {"replay": "other"}, {"count_teacher": True}, {"count_teacher": True, "penalty": "ewc", "strength": 0.1},
    ],
)  # fmt: skip
def test_what_cannot_be_run_is_refused(wrong: dict) -> None:
    with pytest.raises(BadConfig):
        Arm(domain="gsm8k", seed=0, **wrong)


@pytest.mark.parametrize(("wrong", "allowed"), [({"controller": "PID"}, "LADDER"), ({"stop_on": "MEAN"}, "PROJECTED")])
def test_an_unknown_controller_or_score_is_refused(wrong: dict, allowed: str) -> None:
    with pytest.raises(BadConfig, match=allowed):
        GateRules(**wrong)


def test_constants_are_of_a_message_that_has_them() -> None:
    with pytest.raises(BadConfig, match="ladder, anticipate"):
        GateRules(constants=(("evaluation.tokens_per_set", 1.0),))
