"""The controller that anticipates: the law c / (share + 0.05) and what is chosen by it, with figures worked by hand."""

import math
from dataclasses import replace

import pytest

from retain.values import ForgettingSpec, Passes
from services.orchestrator.domain.policy.anticipation import estimate
from services.orchestrator.domain.spec.bounds import anticipation_of
from tests.scenarios.scenario_runner import ScenarioRunner, training
from tests.scenarios.tables import scenario

ANTICIPATE = "controller=ANTICIPATE"
end_over_present = anticipation_of(ForgettingSpec()).end_over_present


def test_the_reference_runs_from_its_first_point_to_its_end() -> None:
    """ln 1.122 / ln 1.236 = .1151 / .2119 = .543 at a tenth; 1 at the end; half-way (.55) .1151 / .1635 = .704."""
    assert end_over_present(0.1) == pytest.approx(0.5433, abs=1e-4)
    assert end_over_present(0.01) == end_over_present(0.1)
    assert end_over_present(0.55) == pytest.approx(0.7040, abs=1e-4)
    assert end_over_present(1.0) == pytest.approx(1.0, abs=1e-12)


def test_nothing_is_estimated_before_settling() -> None:
    runner = scenario("anticipate", "nothing is estimated before settling")
    assert estimate(runner.state.stages[0].gate.constants, "general") is None


def test_the_estimate_is_the_laws_constant() -> None:
    runner = scenario("anticipate", "the estimate is the laws constant")
    by_hand = math.log(1.09) * end_over_present(0.2) * (0.05 + 0.05)
    assert estimate(runner.state.stages[0].gate.constants, "general") == pytest.approx(by_hand, rel=1e-12)


def effective_share(shares: list[float]) -> float:
    """The effective share after a boundary every tenth, each interval with its share. The area under the rate,
    warmed up over a twentieth and then linear to 0, is (1 - p)^2 / 1.9 from p on, .5 in all; a tenth of that is the
    lag."""
    left = [0.5, *((1 - tenth / 10) ** 2 / 1.9 for tenth in range(1, 11))]
    effective = shares[0]
    for begin, end, share in zip(left, left[1:], shares, strict=False):
        effective += (share - effective) * (1 - math.exp(-(begin - end) / 0.05))
    return effective


def test_a_stage_that_obeys_the_law_is_steered_once_and_ends_within_its_budget() -> None:
    """c = .0348 from a share of 5 %: .0348 / (.9 x .0953) - .05 = .3557, so 36 %, at the first settled boundary. From
    there on a score that is still on its way down does not raise the estimate, and the share stays."""
    runner = training(f"{ANTICIPATE} share=0.05 stop=0.9")
    shares, said = [], []
    for tenth in range(1, 11):
        shares.append(runner.state.stages[0].branch.mix.shares["general"])
        nats = 0.0348 / (effective_share(shares) + 0.05) / end_over_present(tenth / 10)
        runner.apply(f"checkpoint {10 * tenth}")
        said.append(runner.apply(f"score {10 * tenth} general={math.expm1(nats)!r} report={math.expm1(nats)!r}"))
    assert shares == [0.05, 0.05] + [0.36] * 8
    assert [line.split(";")[0].split()[0] for line in said] == ["CONTINUE", "ADJUST", *["CONTINUE"] * 7, "ACCEPT"]
    assert estimate(runner.state.stages[0].gate.constants, "general") == pytest.approx(0.0348, rel=1e-3)
    assert 0.05 < math.expm1(nats) < 0.10


def test_late_in_a_stage_more_is_asked_for_since_little_rate_is_left_to_work_with() -> None:
    """At 70 % (1 - .7)^2 / 1.9 = .0474 of the area is left: 61 % of a change still takes effect. 11 % there are .1044
    nats, x .7810 = .0815 at the end; share .10 makes c = .01223. A budget of 8 % (.0770 x .9 = .0693 nats) needs .1265
    at the end: .10 + .0265 / .61 = .1434, so 15 %."""
    runner = training(f"{ANTICIPATE} share=0.10 budget=0.08 settle=0.65")
    for tenth in range(1, 7):
        runner.apply(f"checkpoint {10 * tenth}")
        runner.apply(f"score {10 * tenth} general=0.11")
    runner.apply("checkpoint 70")
    assert runner.apply("score 70 general=0.11") == "ADJUST general=0.15 lr=1"


def test_what_was_learnt_of_c_outlives_a_rollback() -> None:
    runner = training(f"{ANTICIPATE} share=0.10")
    for line in ("checkpoint 10", "score 10 general=0.3", "checkpoint 20", "score 20 general=0.3", "ask 1 b"):
        runner.apply(line)
    assert estimate(runner.state.stages[0].gate.constants, "general") == pytest.approx(
        math.log(1.3) * 0.5727 * 0.15, rel=1e-3
    )
    runner.apply("checkpoint 10")
    assert runner.apply("score 10 general=0.2") == "CONTINUE", "nothing acts before settling, whatever is known"


def test_the_net_under_the_law_does_not_act_on_a_score_that_falls_by_itself() -> None:
    """19 % at a fifth end at .1740 x .5727 = .0996 nats by the law, 10.5 %, with half of all tokens replayed. On
    its way down it is left alone; on its way up only a lower rate can help."""
    for before, expected in ((0.20, "CONTINUE"), (0.18, "ADJUST general=0.5 lr=0.5")):
        runner = training(f"{ANTICIPATE} share=0.5")
        for line in ("checkpoint 10", f"score 10 general={before}", "checkpoint 20"):
            runner.apply(line)
        assert runner.apply("score 20 general=0.19") == expected


@pytest.mark.parametrize(("passes", "said"), [(3.9, "ADJUST general=0.02 lr=1"), (4.0, "CONTINUE"), (16.0, "CONTINUE")])
def test_a_share_is_not_given_back_where_the_target_is_scarce(passes: float, said: str) -> None:
    """The document in the middle counts: a few that come more often make no target scarce."""
    runner = scarce(passes, "share=0.3")
    for line in ("checkpoint 10", "score 10 general=0.0", "checkpoint 20"):
        runner.apply(line)
    assert runner.apply("score 20 general=0.0") == said


def test_a_share_rises_where_the_target_is_scarce_as_elsewhere() -> None:
    runner = scarce(16.0, "budget=0.04 share=0.03")
    for line in ("checkpoint 10", "score 10 general=0.0", "checkpoint 20"):
        runner.apply(line)
    assert runner.apply("score 20 general=0.09") == "ADJUST general=0.07 lr=1"


def scarce(passes: float, header: str) -> ScenarioRunner:
    """A stage whose documents of the target come so often, some of them once and some twice as often."""
    runner = training(f"{ANTICIPATE} {header}")
    stage = runner.state.stages[0]
    often = Passes(least=1.0, median=passes, most=2 * passes)
    runner.state = runner.state.with_stage(replace(stage, plan=replace(stage.plan, passes=often)))
    return runner


def test_a_share_is_not_given_back_late() -> None:
    """At 50 % .1316 of the area is left, 93 % of a change would take effect: too late to find out that it was a
    mistake."""
    runner = training(f"{ANTICIPATE} share=0.3 settle=0.45")
    for at in (10, 20, 30, 40, 50):
        runner.apply(f"checkpoint {at}")
        said = runner.apply(f"score {at} general=0.0")
    assert said == "CONTINUE"


def test_a_score_beyond_all_bounds_is_projected_without_breaking_the_core() -> None:
    runner = training(f"{ANTICIPATE} share=0.5 stop=1e308")
    for line in ("checkpoint 10", "score 10 general=1e290", "checkpoint 20", "score 20 general=1e300", "checkpoint 30"):
        runner.apply(line)
    assert runner.apply("score 30 general=1e300").startswith("ADJUST")
