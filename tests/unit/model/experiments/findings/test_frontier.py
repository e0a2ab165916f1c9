"""Matched target loss, worked by hand."""

import math

import pytest

from model.experiments.findings.frontier import Point, Reach, frontier_of, match, pareto

FIXED = [
    Point(target_nats=2.0, forgetting_nats=0.40),
    Point(target_nats=2.2, forgetting_nats=0.20),
    Point(target_nats=2.3, forgetting_nats=0.30),  # beaten in both by the one before
    Point(target_nats=2.6, forgetting_nats=0.10),
]


def at(target: float, forgotten: float) -> Point:
    return Point(target_nats=target, forgetting_nats=forgotten)


def test_the_frontier_is_what_no_other_point_beats() -> None:
    assert [p.target_nats for p in pareto(FIXED)] == [2.0, 2.2, 2.6]


def test_a_point_above_the_line_between_two_others_is_left_out() -> None:
    """Half-way from (2.0, .40) to (2.2, .20) lies .30: one at .35 is beaten by a mix of the two, one at .25 is not."""
    assert frontier_of(FIXED) == pareto(FIXED)
    assert frontier_of([*FIXED, at(2.1, 0.35)]) == frontier_of(FIXED)
    assert frontier_of([*FIXED, at(2.1, 0.25)])[1] == at(2.1, 0.25)


def test_one_more_fixed_mix_never_makes_the_frontier_worse() -> None:
    """At 2.3 the line is at .175; a mix at (2.4, .19) that loses to it must not raise it."""
    before = match(at(2.3, 0.1), FIXED).frontier_nats
    after = match(at(2.3, 0.1), [*FIXED, at(2.4, 0.19)]).frontier_nats
    assert before == pytest.approx(0.175)
    assert after == pytest.approx(0.175)


@pytest.mark.parametrize(
    ("target", "frontier"),
    [
        (2.0, 0.40),
        (2.1, 0.30),  # half-way between .40 and .20
        (2.3, 0.175),  # a quarter of the way from .20 to .10
        (2.6, 0.10),
    ],
)
def test_forgetting_is_interpolated_along_the_frontier(target: float, frontier: float) -> None:
    found = match(at(target, 0.14), FIXED)
    assert found.reach is Reach.WITHIN
    assert found.frontier_nats == pytest.approx(frontier)
    assert found.ratio == pytest.approx(0.14 / frontier)


@pytest.mark.parametrize(("target", "reach"), [(1.9, Reach.BETTER_TARGET), (2.7, Reach.WORSE_TARGET)])
def test_outside_the_frontier_nothing_is_extrapolated(target: float, reach: Reach) -> None:
    found = match(at(target, 0.1), FIXED)
    assert (found.reach, found.frontier_nats, found.ratio) == (reach, None, None)
    assert found.end == (FIXED[0] if target < 2.0 else FIXED[-1])


def test_a_frontier_that_forgets_nothing_has_no_ratio() -> None:
    found = match(at(2.0, 0.1), [at(2.0, -0.02)])
    assert found.reach is Reach.WITHIN
    assert found.ratio is None


def test_a_run_that_broke_is_no_point() -> None:
    broken = at(math.nan, 0.0)
    assert pareto([broken, *FIXED]) == pareto(FIXED)
    assert match(broken, FIXED).ratio is None
