"""The learning rate over a stage: warm-up, then one of four shapes.

What: the optimizer's step size as a share of its peak, a pure function of the step. Why it matters here: a stage that
resumes from trained weights first *raises* the rate (re-warming), which is when a model forgets most, and then lets
it decay, which is when it recovers. So a score at a tenth of a stage says little about its end, and the shape is part
of the forgetting budget.

    COSINE    warm-up, then half a cosine down to the floor (Loshchilov and Hutter 2017, arXiv:1608.03983). The default
              of pre-training, where the length is known.
    WSD       warm-up, stable, decay over the last steps (MiniCPM, Hu et al. 2024, arXiv:2404.06395). When the length
              may still change: any checkpoint of the stable part can be decayed.
    LINEAR    warm-up, then a straight line to the floor. To zero it beats the cosine at equal tokens (Bergsma et al.
              2025, arXiv:2502.15938), and it ends where forgetting is least: the default of mid-training and
              fine-tuning.
    CONSTANT  warm-up, then flat. For experiments; a stage that never decays shows more forgetting than it need have.

Re-warming in continued pre-training: Ibrahim et al. 2024, arXiv:2403.08763. `python -m model.training.lr_schedule`
draws all four.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from model.errors import BadConfig


class ScheduleKind(StrEnum):
    """The four shapes."""

    COSINE = "COSINE"
    WSD = "WSD"
    LINEAR = "LINEAR"
    CONSTANT = "CONSTANT"


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Shape of the learning rate over `total_steps` optimizer steps.

    warmup: share of the steps that warm up. floor: share of the peak at the end (COSINE, WSD, LINEAR).
    decay: share of the steps that decay (WSD).
    """

    kind: ScheduleKind
    total_steps: int
    warmup: float = 0.05
    floor: float = 0.0
    decay: float = 0.2

    def __post_init__(self) -> None:
        if self.total_steps < 1:
            raise BadConfig("total_steps", self.total_steps, "a positive number of steps")
        for name in ("warmup", "floor", "decay"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:  # NaN fails the comparison, so it is refused too
                raise BadConfig(f"schedule.{name}", value, "a share, 0 to 1")
        if self.kind == ScheduleKind.WSD and self.warmup + self.decay > 1.0:
            raise BadConfig("schedule", f"warmup {self.warmup} + decay {self.decay}", "warmup + decay of at most 1")

    def factor(self, step: int) -> float:
        """Share of the peak rate that optimizer step `step` (from 0) uses.

        Warm-up rises by equal amounts and its last step has the whole peak. The decay reaches the floor at
        `total_steps`, one step after the last, so that no step is spent at a rate of zero.
        Raises BadConfig.
        """
        if not 0 <= step < self.total_steps:
            raise BadConfig("step", step, f"0 to {self.total_steps - 1}")
        warmup_steps = round(self.warmup * self.total_steps)
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        if self.kind == ScheduleKind.CONSTANT:
            return 1.0
        decay_from = warmup_steps
        if self.kind == ScheduleKind.WSD:
            decay_from = max(warmup_steps, self.total_steps - round(self.decay * self.total_steps))
            if step < decay_from:
                return 1.0
        progress = (step - decay_from) / (self.total_steps - decay_from)
        if self.kind == ScheduleKind.COSINE:
            return self.floor + (1.0 - self.floor) * 0.5 * (1.0 + math.cos(math.pi * progress))
        return 1.0 - (1.0 - self.floor) * progress


def main() -> None:
    """Draw the four shapes, one row per twentieth of a stage."""
    total, width = 200, 24
    kinds = [Schedule(kind=kind, total_steps=total, floor=0.1) for kind in ScheduleKind]
    print("step  " + "  ".join(f"{schedule.kind:<{width}}" for schedule in kinds))
    for step in [0, *range(9, total, 10)]:
        bars = (f"{'#' * round(schedule.factor(step) * (width - 6)):<{width - 5}}" for schedule in kinds)
        print(f"{step:4}  " + "  ".join(f"{bar}{s.factor(step):5.3f}" for bar, s in zip(bars, kinds, strict=True)))
    for schedule in kinds:
        mean = sum(schedule.factor(step) for step in range(total)) / total
        print(f"{schedule.kind}: mean rate {mean:.3f} of the peak")


if __name__ == "__main__":
    main()
