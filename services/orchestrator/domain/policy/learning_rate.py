"""The shape of a stage's learning rate as plain numbers: what is still to come of it is what a projection needs."""

import math
from dataclasses import dataclass

SLICES = 200  # of the sum that stands for the area


@dataclass(frozen=True, kw_only=True)
class RateShape:
    """The learning rate over a stage, both from 0 to 1: it rises until `warmup`, stays at its peak until `decay_start`
    (1: to the end) and falls to `floor`, in a straight line or along a cosine. The shapes of
    model/training/lr_schedule.py, which a domain does not see; a test holds the two together."""

    warmup: float
    decay_start: float
    floor: float
    cosine: bool

    def at(self, progress: float) -> float:
        """Share of the peak rate at a share of the stage."""
        if progress < self.warmup:
            return progress / self.warmup
        if progress < self.decay_start or self.decay_start >= 1.0:
            return 1.0
        done = (progress - self.decay_start) / (1.0 - self.decay_start)
        if self.cosine:
            return self.floor + (1.0 - self.floor) * 0.5 * (1.0 + math.cos(math.pi * done))
        return 1.0 - (1.0 - self.floor) * done

    def left(self, progress: float) -> float:
        """Area under the rate from `progress` to the stage's end; the peak and the stage's length are 1."""
        width = (1.0 - progress) / SLICES
        return width * math.fsum(self.at(progress + (i + 0.5) * width) for i in range(SLICES))
