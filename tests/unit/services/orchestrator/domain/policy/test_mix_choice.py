"""The choice of a share by a trial of mixes, computed by hand."""

import math

import pytest

from retain.values import ForgettingSpec, MixPoint
from services.orchestrator.domain.policy.mix_choice import MixChoice, choose_share, told
from services.orchestrator.domain.spec.bounds import anticipation_of

LAW = anticipation_of(ForgettingSpec())


def mix(share: float, target: float, **forgotten: float) -> MixPoint:
    return MixPoint(share=share, target_loss_nats=target, forgetting_nats=forgotten)


def choice(points: list[MixPoint], *, budget: float = 0.1, largest: float = 0.9, **start: float) -> MixChoice:
    found = choose_share(points, start=start, law=LAW, budget=budget, largest=largest)
    assert found is not None
    return found


def test_the_limit_is_nine_tenths_of_the_budget_in_nats_on_the_line_between_the_points() -> None:
    """.9 ln 1.1 = .085779; from 0.2 at 0 % to 0 at 50 % the line is there at 28.56 %: 29 % is the first below it."""
    found = choice([mix(0.0, 2.0, general=0.2), mix(0.5, 2.5, general=0.0)])
    assert (found.share, found.keeps) == (0.29, True)
    assert found.forgetting_nats == pytest.approx(0.2 * (0.5 - 0.29) / 0.5)
    assert found.target_nats == pytest.approx(2.29)


def test_the_worst_set_decides_and_what_was_forgotten_before_counts() -> None:
    points = [mix(0.0, 2.0, general=0.02, code=0.2), mix(0.5, 2.5, general=0.0, code=0.0)]
    assert (choice(points).share, choice(points).worst_set) == (0.29, "code")
    assert choice(points, code=0.04).share == 0.39, "(.2 - .045779) / .4 = .3856"


def test_a_target_that_replay_helps_gets_more_than_the_budget_needs() -> None:
    assert choice([mix(0.0, 2.5, general=0.01), mix(0.5, 2.0, general=0.0)]).share == 0.5


def test_where_no_share_keeps_the_budget_the_largest_allowed_is_taken_and_said() -> None:
    points = [mix(0.0, 2.0, general=0.4), mix(0.5, 2.5, general=0.3)]
    assert (choice(points).share, choice(points).keeps) == (0.5, False)
    assert choice(points, largest=0.3).share == 0.3
    assert "none keeps the budget" in told(points, choice(points))


def test_a_domain_that_forgets_nothing_gets_the_smallest_share() -> None:
    assert choice([mix(0.0, 2.0, general=-0.1), mix(0.5, 2.5, general=-0.2)]).share == 0.02


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_points_that_are_no_numbers_are_left_out(bad: float) -> None:
    points = [mix(0.0, bad, general=0.0), mix(0.1, 2.0, general=bad), mix(0.25, 2.2, general=0.1)]
    assert choose_share(points, start={}, law=LAW, budget=0.1, largest=0.9) is None
    assert choice([*points, mix(0.5, 2.4, general=0.0)]).share == 0.29, ".25 + .25 (.1 - .085779) / .1 = .2856"
