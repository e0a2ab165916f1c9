"""The controller that anticipates: the law c / (share + 0.05) and what is chosen by it, with figures worked by hand."""

import math

import pytest

from services.orchestrator.domain.controller import end_over_present, estimate
from tests.scenarios.play import play

ANTICIPATE = "controller=ANTICIPATE"


def test_the_reference_runs_from_its_first_point_to_its_end() -> None:
    """ln 1.122 / ln 1.236 = .1151 / .2119 = .543 at a tenth; 1 at the end; half-way (.55) .1151 / .1635 = .704."""
    assert end_over_present(0.1) == pytest.approx(0.5433, abs=1e-4)
    assert end_over_present(0.01) == end_over_present(0.1)
    assert end_over_present(0.55) == pytest.approx(0.7040, abs=1e-4)
    assert end_over_present(1.0) == pytest.approx(1.0, abs=1e-12)


def test_nothing_is_estimated_before_settling() -> None:
    player = play(
        """
        checkpoint 10           => evaluate 10
        score 10 general=0.50   => CONTINUE
    """,
        header=ANTICIPATE,
    )
    assert estimate(player.state.stages[0], "general") is None


def test_a_share_that_will_not_keep_the_budget_is_raised_before_a_threshold_is_crossed() -> None:
    """At 20 % of the stage: 9 % are .0862 nats, x .5727 for the end = .0494; share .03 makes c = .0494 x .08 = .00395.
    The budget of 4 % is .0392 nats: .00395 / .0392 - .05 = .0507, so 6 %."""
    play(
        """
        checkpoint 10           => evaluate 10
        score 10 general=0.0    => CONTINUE
        checkpoint 20           => evaluate 20
        score 20 general=0.09   => ADJUST general=0.06 lr=1
    """,
        header=f"{ANTICIPATE} budget=0.04 share=0.03",
    )


def test_the_estimate_is_the_laws_constant() -> None:
    player = play(
        """
        checkpoint 10           => evaluate 10
        score 10 general=0.0    => CONTINUE
        checkpoint 20           => evaluate 20
        score 20 general=0.09   => CONTINUE
    """,
        header=f"{ANTICIPATE} share=0.05",
    )
    by_hand = math.log(1.09) * end_over_present(0.2) * (0.05 + 0.05)
    assert estimate(player.state.stages[0], "general") == pytest.approx(by_hand, rel=1e-12)


def test_a_peak_that_will_pass_does_not_act() -> None:
    """12 % at a fifth of the stage end near 6.7 %: the ladder would act, the projection does not; the budget holds."""
    play(
        """
        checkpoint 10           => evaluate 10
        score 10 general=0.0    => CONTINUE
        checkpoint 20           => evaluate 20
        score 20 general=0.12   => CONTINUE
    """,
        header=f"{ANTICIPATE} share=0.05",
    )


def test_a_share_that_is_not_needed_is_given_back() -> None:
    play(
        """
        checkpoint 10           => evaluate 10
        score 10 general=0.0    => CONTINUE
        checkpoint 20           => evaluate 20
        score 20 general=0.0    => ADJUST general=0.02 lr=1
    """,
        header=f"{ANTICIPATE} share=0.3",
    )


def test_stop_is_compared_with_the_raw_score_whatever_is_projected() -> None:
    play(
        """
        checkpoint 10           => evaluate 10
        score 10 general=0.0    => CONTINUE
        checkpoint 20           => evaluate 20
        score 20 general=0.20   => ROLL_BACK to 10 general=0.2 lr=1; prune 20
    """,
        header=f"{ANTICIPATE} share=0.1",
    )


def test_where_the_largest_share_is_not_enough_the_ladder_halves_the_learning_rate() -> None:
    """19.9 % at a fifth with half of all tokens replayed: .1815 x .5727 = .1040 nats at the end, 11 %; the law asks for
    .1040 x .55 / .0953 - .05 = 55 %, and no more than 50 % are given."""
    play(
        """
        checkpoint 10           => evaluate 10
        score 10 general=0.0    => CONTINUE
        checkpoint 20           => evaluate 20
        score 20 general=0.199  => ADJUST general=0.5 lr=0.5
    """,
        header=f"{ANTICIPATE} share=0.5",
    )
