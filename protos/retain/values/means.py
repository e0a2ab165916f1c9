"""Means over few repetitions of a measurement (seeds) with their interval, of the standard library alone: what the
experiments print, and what compares the runs of a sweep."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Student's t, two-sided 95 %, by degrees of freedom (any table of the distribution). Beyond the table its last entry is
# taken, which is a little too large there: an interval is then wider than it has to be, never narrower.
T_95 = (math.nan, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


@dataclass(frozen=True, kw_only=True)
class Mean:
    """A mean over seeds with its 95 % interval (Student's t); one seed has none."""

    value: float
    low: float | None
    high: float | None
    count: int

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.4f}"
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


def mean_of(values: Sequence[float]) -> Mean | None:
    """The mean and its interval; None without values. NaN stays NaN."""
    if not values:
        return None
    count = len(values)
    mean = math.fsum(values) / count
    if count == 1:
        return Mean(value=mean, low=None, high=None, count=1)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    half = T_95[min(count - 1, len(T_95) - 1)] * deviation / math.sqrt(count)
    return Mean(value=mean, low=mean - half, high=mean + half, count=count)
