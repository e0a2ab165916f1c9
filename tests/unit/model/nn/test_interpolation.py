"""Interpolation: its ends are exact and its middle is the mean."""

import pytest
import torch

from model.errors import BadConfig
from model.nn.interpolation import interpolate
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


@pytest.mark.parametrize("point", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_equal_ends_give_their_own_bits_at_every_point(point: float) -> None:
    """What did not change in training stays as it is, wherever on the line."""
    parent = fresh_model(0)
    made = interpolate(parent, parent, point)
    assert all(torch.equal(a, b) for a, b in zip(made.parameters(), parent.parameters(), strict=True))


def test_points_are_what_double_precision_says_to_a_rounding_of_single() -> None:
    parent, result = fresh_model(0), fresh_model(1)
    for point in (0.1, 0.49, 0.9):
        made = interpolate(parent, result, point)
        for m, p, r in zip(made.parameters(), parent.parameters(), result.parameters(), strict=True):
            exact = p.double() + point * (r.double() - p.double())
            size = torch.maximum(p.abs(), r.abs()).double()
            assert ((m.double() - exact).abs() <= 2 * torch.finfo(torch.float32).eps * size + 1e-30).all()
