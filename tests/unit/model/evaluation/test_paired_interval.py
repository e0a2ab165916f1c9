"""The interval of a paired difference: published figures, closed forms, McNemar's test."""

import math

import pytest

from model.errors import BadConfig
from model.evaluation.paired_interval import Z_95, paired_interval


def test_the_published_interval_of_airway_reactivity() -> None:
    """Fagerland, Lydersen and Laake 2014 (Statistics in Medicine 33: 2850-2875), 21 pairs, 1 and 7 of them discordant:
    Tango's interval is -0.517 to -0.026."""
    low, high = paired_interval(1, 7, 21)
    assert (round(low, 3), round(high, 3)) == (-0.517, -0.026)


@pytest.mark.parametrize("items", [10, 44, 200])
def test_with_nothing_changed_it_is_as_wide_as_the_closed_form(items: int) -> None:
    """With no discordant pair q is 0 at a d above 0, so that n d = z sqrt(n d (1 - d)): d = z2 / (n + z2)."""
    end = Z_95**2 / (items + Z_95**2)
    assert paired_interval(0, 0, items) == pytest.approx((-end, end))


@pytest.mark.parametrize(("lost", "gained"), [(5, 0), (3, 0), (10, 2), (12, 4), (9, 4), (25, 12), (30, 20)])
def test_it_leaves_0_out_where_mcnemars_test_says_so(lost: int, gained: int) -> None:
    significant = (lost - gained) / math.sqrt(lost + gained) > Z_95
    low, high = paired_interval(lost, gained, 80)
    assert (low > 0) == significant
    assert low <= (lost - gained) / 80 <= high
    back = paired_interval(gained, lost, 80)
    assert back == pytest.approx((-high, -low))


def test_all_lost_and_counts_that_cannot_be() -> None:
    low, high = paired_interval(40, 0, 40)
    assert 0.8 < low < high == 1.0
    for counts in [(1, 0, 0), (-1, 0, 5), (3, 3, 5)]:
        with pytest.raises(BadConfig):
            paired_interval(*counts)
