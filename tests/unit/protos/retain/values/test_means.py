"""Means over seeds, worked by hand."""

import pytest

from retain.values.means import mean_of


def test_the_interval_of_three_seeds_is_students() -> None:
    """Mean of 1, 2, 3 is 2, deviation 1: 4.303 / sqrt(3) = 2.4843 on both sides."""
    mean = mean_of([1.0, 2.0, 3.0])
    assert mean is not None
    assert mean.value == pytest.approx(2.0)
    assert (mean.low, mean.high) == (pytest.approx(2.0 - 2.4843, abs=1e-4), pytest.approx(2.0 + 2.4843, abs=1e-4))


def test_one_seed_has_no_interval() -> None:
    mean = mean_of([1.5])
    assert mean is not None
    assert (mean.low, mean.high) == (None, None)
    assert mean_of([]) is None


def test_an_interval_of_more_seeds_than_the_table_is_no_narrower_than_students() -> None:
    """20 values with deviation 1 and mean 0: t of 19 degrees is 2.093, the table's last one 2.262."""
    scale = (19 / 20) ** 0.5
    mean = mean_of([scale, -scale] * 10)
    assert mean is not None
    assert mean.high == pytest.approx(2.262 / 20**0.5)
    assert mean.high > 2.093 / 20**0.5
