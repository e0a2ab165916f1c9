"""Fewer points that look the same: largest-triangle-three-buckets.

Steinarsson 2013, "Downsampling Time Series for Visual Representation" (Master's thesis, University of Iceland), chapter
4.2: the first and the last point stay; what is between is cut into buckets, and of each the point stays that spans the
largest triangle with the one that was chosen before it and the mean of the bucket behind it.
"""

import math
from collections.abc import Sequence


def downsample(xs: Sequence[float], ys: Sequence[float], most: int) -> list[int]:
    """Places of at most `most` (1 or more) points, in their order; all of them where they are no more. xs rise. A value
    that is no finite number has no triangle: as many of those as fit into half of the points stay as they are."""
    if len(xs) <= most:
        return list(range(len(xs)))
    finite = [place for place, y in enumerate(ys) if math.isfinite(y)]
    others = [place for place, y in enumerate(ys) if not math.isfinite(y)][: max(most // 2, most - len(finite))]
    chosen = _largest_triangles([xs[p] for p in finite], [ys[p] for p in finite], most - len(others))
    return sorted([*(finite[place] for place in chosen), *others])


def _largest_triangles(xs: Sequence[float], ys: Sequence[float], most: int) -> list[int]:
    last = len(xs) - 1
    if last < most:
        return list(range(last + 1))
    if most < 3:
        return [0, last][2 - most :]
    chosen, width = [0], (last - 1) / (most - 2)
    for number in range(most - 2):
        start, end = int(number * width) + 1, int((number + 1) * width) + 1
        behind = min(int((number + 2) * width) + 1, last + 1)
        following = slice(end, max(behind, end + 1))
        mean_x, mean_y = _mean(xs[following]), _mean(ys[following])
        x, y = xs[chosen[-1]], ys[chosen[-1]]
        to_mean_x, to_mean_y = mean_x - x, mean_y - y
        # Twice the area of the triangle: the cross product of two of its sides.
        areas = [
            abs(to_mean_x * (there_y - y) - to_mean_y * (there_x - x))
            for there_x, there_y in zip(xs[start:end], ys[start:end], strict=True)
        ]
        chosen.append(start + areas.index(max(areas)))
    return [*chosen, last]


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)
