"""Interpolation: its ends are exact and its middle is the mean. Pruning of the task vector: FAPM computed by hand."""

import copy

import pytest
import torch

from model.errors import BadConfig
from model.nn.interpolation import interpolate, prune_task_vector
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


def norm_of(model: torch.nn.Module) -> torch.nn.Parameter:
    return next(p for name, p in model.named_parameters() if p.dim() == 1)


def with_norm(values: list[float]) -> torch.nn.Module:
    """A model whose first vector begins with these values; the rest of the vector is 1."""
    model = fresh_model(0)
    with torch.no_grad():
        norm_of(model).fill_(1.0)
        norm_of(model)[: len(values)] = torch.tensor(values)
    return model


def test_what_is_kept_is_what_fapm_says_by_hand() -> None:
    """Parent 2, 0.5, 0 and thirteen times 1: the mean size is 15.5 / 16 = 0.96875. Changes 0.4, 0.6, 0.3, 0.1 score
    0.4 - 0.96875 * 0.2 = 0.20625, 0.6 - 0.96875 * 1.2 = -0.5625, -inf (was 0), 0.1 - 0.096875 = 0.003125; no change: 0.
    So the second largest change goes before all that did not change, and magnitude alone would have kept it first."""
    parent, result = with_norm([2.0, 0.5, 0.0]), with_norm([2.4, 1.1, 0.3, 1.1])
    assert norm_of(parent).numel() == 16
    for kept, expected in (
        (1 / 16, [2.4, 0.5, 0.0, 1.0]),
        (2 / 16, [2.4, 0.5, 0.0, 1.1]),
        (14 / 16, [2.4, 0.5, 0.0, 1.1]),
        (15 / 16, [2.4, 1.1, 0.0, 1.1]),
    ):
        made = prune_task_vector(parent, result, kept)
        torch.testing.assert_close(norm_of(made)[:4], torch.tensor(expected), msg=str(kept))


def test_the_ends_of_pruning_are_the_two_models_and_tied_weights_stay_tied() -> None:
    parent, result = fresh_model(0), fresh_model(1)
    for kept, other in ((0.0, parent), (1.0, result)):
        made = prune_task_vector(parent, result, kept)
        assert all(torch.equal(a, b) for a, b in zip(made.parameters(), other.parameters(), strict=True))
    half = prune_task_vector(parent, result, 0.5)
    assert half.lm_head.weight is half.model.embed_tokens.weight
    for h, p, r in zip(half.parameters(), parent.parameters(), result.parameters(), strict=True):
        assert bool(((h == p) | (h == r)).all()), "every element is one of the two"


def test_weights_that_were_all_zero_are_pruned_by_the_size_of_the_change() -> None:
    parent, result = fresh_model(0), fresh_model(0)
    with torch.no_grad():
        norm_of(parent).zero_()
        norm_of(result).copy_(torch.arange(16.0))
    made = norm_of(prune_task_vector(parent, result, 0.25))
    assert made.tolist() == [0.0] * 12 + [12.0, 13.0, 14.0, 15.0]


def test_the_middle_of_the_own_path_is_the_mean() -> None:
    earlier, result = fresh_model(0), fresh_model(1)
    made = interpolate(earlier, result, 0.5)
    for m, e, r in zip(made.parameters(), earlier.parameters(), result.parameters(), strict=True):
        torch.testing.assert_close(m, (e + r) / 2)


@pytest.mark.parametrize("kept", [-0.1, 1.1, float("nan")])
def test_shares_that_are_none_are_refused(kept: float) -> None:
    with pytest.raises(BadConfig, match=r"interpolation\.points"):
        prune_task_vector(fresh_model(0), fresh_model(1), kept)


def test_a_parent_of_another_shape_is_refused() -> None:
    parent = copy.deepcopy(fresh_model(0))
    parent.model.norm = torch.nn.Identity()
    with pytest.raises(BadConfig, match="a parent of the same shape"):
        prune_task_vector(parent, fresh_model(1), 0.5)
