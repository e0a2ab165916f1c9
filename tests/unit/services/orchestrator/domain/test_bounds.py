"""Bounds of the controllers: named fields of the spec, the measured values as their defaults, each with limits."""

import math
from dataclasses import replace

import pytest

from retain.values import AnticipateSpec, ForgettingSpec, LadderSpec, StopOn
from services.orchestrator.domain.policy.ladder import Mix, climb
from services.orchestrator.domain.spec.bounds import anticipation_of, ladder_of, limits_of
from services.orchestrator.domain.spec.defaults import fill
from services.orchestrator.domain.spec.validation.validate import validate
from tests.unit.services.orchestrator.specs import spec


def test_a_filled_spec_writes_down_what_nobody_gave() -> None:
    rules = fill(spec()).forgetting
    assert (rules.unsettled_stop_factor, rules.projected_ceiling_factor) == (3.0, 5.0)
    assert rules.ladder == LadderSpec(rungs=(0.2, 0.3, 0.5), rate_factor=0.5, largest_replay=0.9)
    given = rules.anticipate
    assert (given.aim, given.share_offset, given.smallest_share, given.largest_share) == (0.9, 0.05, 0.02, 0.5)
    assert (given.share_step, given.least_raise, given.least_relief, given.relief_felt) == (0.01, 0.02, 0.05, 0.95)
    assert (given.boundaries_used, given.lag) == (3, 0.1)
    assert (given.early_forgetting, given.end_forgetting, given.scarce_passes) == (0.236, 0.122, 4.0)


def test_a_spec_that_was_stored_before_there_were_bounds_means_the_defaults_and_the_raw_score() -> None:
    stored = replace(
        fill(spec()).forgetting,
        ladder=LadderSpec(),
        anticipate=AnticipateSpec(),
        unsettled_stop_factor=None,
        projected_ceiling_factor=None,
        stop_on=StopOn.UNSPECIFIED,
    )
    assert ladder_of(stored) == ladder_of(fill(spec()).forgetting)
    assert anticipation_of(stored) == anticipation_of(fill(spec()).forgetting)
    assert limits_of(stored).unsettled_stop == 0.6
    assert limits_of(stored).projected_ceiling == 1.0
    assert not limits_of(stored).stop_projected


def test_what_is_given_is_used() -> None:
    """ln 1.2 / ln 1.5 = .1823 / .4055 = .4497 at a tenth; .1823 / (.4055 / 2 + .1823 / 2) = .6203 half-way."""
    ladder = ladder_of(ForgettingSpec(ladder=LadderSpec(rungs=(0.15, 0.4), rate_factor=0.25)))
    assert climb(Mix(shares={"general": 0.2}), "general", ladder)[0].shares == {"general": 0.4}
    assert climb(Mix(shares={"general": 0.4}), "general", ladder)[0].lr_scale == 0.25
    law = anticipation_of(ForgettingSpec(anticipate=AnticipateSpec(early_forgetting=0.5, end_forgetting=0.2)))
    assert law.end_over_present(0.1) == pytest.approx(0.4497, abs=1e-4)
    assert law.end_over_present(0.55) == pytest.approx(0.6203, abs=1e-4)
    steps = anticipation_of(ForgettingSpec(anticipate=AnticipateSpec(share_step=0.05, largest_share=0.35)))
    assert [steps.percent(share) for share in (0.001, 0.11, 0.15, 0.9)] == [0.05, 0.15, 0.15, 0.35]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"unsettled_stop_factor": 0.5}, "unsettled_stop_factor"),
        ({"projected_ceiling_factor": 0.9}, "projected_ceiling_factor"),
        ({"ladder": LadderSpec(rungs=(0.3, 0.2))}, "ladder.rungs"),
        ({"ladder": LadderSpec(rungs=(0.2, 0.95))}, "ladder.rungs[1]"),
        ({"ladder": LadderSpec(rate_factor=1.0)}, "ladder.rate_factor"),
        ({"ladder": LadderSpec(largest_replay=0.95)}, "ladder.largest_replay"),
        ({"anticipate": AnticipateSpec(aim=0.0)}, "anticipate.aim"),
        ({"anticipate": AnticipateSpec(share_offset=0.0)}, "anticipate.share_offset"),
        ({"anticipate": AnticipateSpec(smallest_share=0.6)}, "anticipate.largest_share"),
        ({"anticipate": AnticipateSpec(largest_share=0.95)}, "anticipate.largest_share"),
        ({"anticipate": AnticipateSpec(share_step=math.inf)}, "anticipate.share_step"),
        ({"anticipate": AnticipateSpec(least_raise=-0.1)}, "anticipate.least_raise"),
        ({"anticipate": AnticipateSpec(least_relief=math.nan)}, "anticipate.least_relief"),
        ({"anticipate": AnticipateSpec(relief_felt=-1.0)}, "anticipate.relief_felt"),
        ({"anticipate": AnticipateSpec(boundaries_used=0)}, "anticipate.boundaries_used"),
        ({"anticipate": AnticipateSpec(lag=0.0)}, "anticipate.lag"),
        ({"anticipate": AnticipateSpec(early_forgetting=-0.2)}, "anticipate.early_forgetting"),
        ({"anticipate": AnticipateSpec(end_forgetting=0.0)}, "anticipate.end_forgetting"),
    ],
)
def test_a_bound_out_of_its_limits_is_a_fault_with_its_path(changes: dict, field: str) -> None:
    rules = ForgettingSpec(**changes)
    assert f"forgetting.{field}" in {fault.field for fault in validate(spec(forgetting=rules))}


def test_the_defaults_are_no_fault() -> None:
    assert validate(spec(forgetting=fill(spec()).forgetting)) == ()
