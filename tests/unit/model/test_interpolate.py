"""Interpolation: its ends are exact, its middle is the mean, and the choice fails closed."""

import pytest
import torch

from model.errors import BadConfig
from model.interpolate import MeasuredPoint, choose_point, interpolate
from tests.unit.model.training_helpers import fresh_model


def test_the_ends_are_the_two_models_and_the_middle_is_their_mean() -> None:
    parent, result = fresh_model(0), fresh_model(1)
    for point, other in ((0.0, parent), (1.0, result)):
        made = interpolate(parent, result, point)
        assert all(torch.equal(a, b) for a, b in zip(made.parameters(), other.parameters(), strict=True))
    middle = interpolate(parent, result, 0.25)
    for m, p, r in zip(middle.parameters(), parent.parameters(), result.parameters(), strict=True):
        torch.testing.assert_close(m, 0.75 * p + 0.25 * r)
    assert middle.lm_head.weight is middle.model.embed_tokens.weight


@pytest.mark.parametrize("point", [-0.1, 1.1, float("nan")])
def test_points_outside_of_the_line_are_refused(point: float) -> None:
    with pytest.raises(BadConfig, match=r"interpolation\.points"):
        interpolate(fresh_model(0), fresh_model(1), point)


def measured(point: float, target_nats: float, forgetting: float) -> MeasuredPoint:
    return MeasuredPoint(point=point, target_nats=target_nats, forgetting=forgetting)


NAN = float("nan")


@pytest.mark.parametrize(
    ("points", "chosen"),
    [
        ([measured(0.5, 2.2, 0.04), measured(0.8, 2.1, 0.08), measured(1.0, 2.0, 0.15)], 0.8),
        ([measured(0.5, 2.2, 0.10), measured(1.0, 2.0, 0.101)], 0.5),  # the budget is inclusive
        ([measured(0.0, 2.0, 0.0)], None),  # the parent is no success
        ([measured(0.5, 2.96, 0.01)], None),  # gains 0.04 nats of the 0.05 asked for
        ([measured(0.5, NAN, 0.01), measured(0.7, 2.0, NAN)], None),
        ([], None),
    ],
)
def test_the_best_target_within_the_budget_that_gains_enough(points: list[MeasuredPoint], chosen: float | None) -> None:
    found = choose_point(points, budget=0.10, parent_target_nats=3.0, least_gain_nats=0.05)
    assert (found.point if found else None) == chosen
