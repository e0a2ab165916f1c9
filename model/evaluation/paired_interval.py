"""The interval of a difference between two shares that were measured on the same items.

Of n items, `lost` were right before and wrong now, `gained` the other way round; all others say nothing. Tango's score
interval (Tango 1998, "Equivalence test and confidence interval for the difference in proportions for the paired-sample
design", Statistics in Medicine 17: 891-908) asks for which true losses d the counts are not surprising:

    |lost - gained - n d| <= z sqrt(n (2 q + d (1 - d)))

with q the likeliest share of gained items if d is true. At d = 0 it is McNemar's test, so the interval leaves 0 out
exactly where that test says that something changed. Unlike a bootstrap it has a width where nothing changed.
"""

import math

from model.errors import BadConfig

Z_95 = 1.959963984540054  # of the normal distribution, two-sided 95 %


def paired_interval(lost: int, gained: int, items: int, z: float = Z_95) -> tuple[float, float]:
    """95 % interval of (lost - gained) / items, within -1 to 1. Raises BadConfig for counts that cannot be."""
    if items < 1 or lost < 0 or gained < 0 or lost + gained > items:
        raise BadConfig("paired counts", f"{lost} lost and {gained} gained of {items}", "counts within 1 item or more")
    return _end(lost, gained, items, z, -1.0), _end(lost, gained, items, z, 1.0)


def _end(lost: int, gained: int, items: int, z: float, furthest: float) -> float:
    """The last loss on the way to `furthest` that is not surprising: by halving, to the last bits."""
    near = (lost - gained) / items
    far = furthest
    if abs(_score(lost, gained, items, far)) <= z:
        return far
    for _ in range(60):
        middle = (near + far) / 2
        if abs(_score(lost, gained, items, middle)) <= z:
            near = middle
        else:
            far = middle
    return near


def _score(lost: int, gained: int, items: int, d: float) -> float:
    """How many standard errors the counts lie from a true loss d."""
    a = 2.0 * items
    b = -lost - gained + (2.0 * items - lost + gained) * d
    c = -gained * d * (1.0 - d)
    q = max(0.0, (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a))
    distance = lost - gained - items * d
    variance = items * (2 * q + d * (1.0 - d))
    if variance <= 0:
        return 0.0 if distance == 0 else math.copysign(math.inf, distance)
    return distance / math.sqrt(variance)
