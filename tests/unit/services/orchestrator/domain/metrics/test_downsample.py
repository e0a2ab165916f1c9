"""Largest-triangle-three-buckets, on cases done by hand and on any series."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.orchestrator.domain.metrics.downsample import downsample


def test_five_points_to_three_by_hand() -> None:
    """One bucket between the ends, (1, 0), (2, 3), (3, -4); behind it (4, 0) alone. Twice the areas with (0, 0) and
    (4, 0) are 4 |y|: 0, 12, 16."""
    assert downsample([0, 1, 2, 3, 4], [0.0, 0.0, 3.0, -4.0, 0.0], 3) == [0, 3, 4]


def test_six_points_to_four_by_hand() -> None:
    """Buckets {1, 2} and {3, 4}. The mean of the second is (3.5, 1): with (0, 0) twice the areas of (1, 1) and (2, -1)
    are |1 * 1 - 3.5 * 1| = 2.5 and |2 * 1 + 3.5| = 5.5. Then, from (2, -1) and with (5, 0): (3, 2) spans
    |1 * 1 - 3 * 3| = 8 and (4, 0) |2 * 1 - 3 * 1| = 1."""
    assert downsample([0, 1, 2, 3, 4, 5], [0.0, 1.0, -1.0, 2.0, 0.0, 0.0], 4) == [0, 2, 3, 5]


def test_a_spike_in_a_hundred_thousand_points_stays() -> None:
    draw = random.Random(3)
    ys = [draw.gauss(0.0, 0.1) for _ in range(100_000)]
    ys[43_210] = 9.0
    chosen = downsample(range(100_000), ys, 500)
    assert (len(chosen), chosen[0], chosen[-1], 43_210 in chosen) == (500, 0, 99_999, True)


@pytest.mark.parametrize(("most", "expected"), [(1, [9]), (2, [0, 9]), (10, list(range(10))), (11, list(range(10)))])
def test_few_points_and_all_of_them(most: int, expected: list[int]) -> None:
    assert downsample(range(10), [float(y * y) for y in range(10)], most) == expected


def test_what_is_not_finite_is_not_lost_and_spoils_nothing() -> None:
    ys = [float(x % 5) for x in range(100)]
    ys[50], ys[70] = math.nan, math.inf
    chosen = downsample(range(100), ys, 12)
    assert {0, 50, 70, 99} <= set(chosen)
    assert len(chosen) == 12
    assert downsample(range(20), [math.nan] * 20, 4) == [0, 1, 2, 3]


@given(st.lists(st.floats(width=32), min_size=0, max_size=300), st.integers(min_value=1, max_value=80))
def test_any_series_gives_as_many_points_as_were_asked_for_each_once_in_order(ys: list[float], most: int) -> None:
    chosen = downsample(range(len(ys)), ys, most)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(most, len(ys))
    assert all(0 <= place < len(ys) for place in chosen)
