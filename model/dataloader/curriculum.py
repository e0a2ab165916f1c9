"""Curriculum learning: from easy to hard.

What: the order in which a model sees its data rises in difficulty, as in school.

Why: early on, hard examples mostly add noise to the gradient; easy ones shape what the hard ones build on (Bengio et
al. 2009, Curriculum Learning, ICML). Gains of 10-15 % are reported on tasks with a natural hierarchy, mostly as the
same quality in fewer steps; with large budgets the gain often vanishes (Wu, Dyer and Neyshabur 2021, When Do
Curricula Work?), so every claim needs a control: the same number of tokens in random order (strategy RANDOM).

When: mathematics (levels 1-5), code (scripts to libraries), scientific text (introduction to research). When not:
general web text has no clear hierarchy; and a curriculum that shows only hard text at the end forgets the easy.

Strategies
  STAGED      stages of fixed length, each with its own range of difficulty: easy / medium / hard for 30 / 30 / 40 %
  COMPETENCE  at every moment, uniformly from the easiest c(t) of the data, where the competence
              c(t) = min(1, sqrt(t (1 - c0^2) / T + c0^2)) (Platanios et al. 2019, arXiv:1903.09848)
  SELF_PACED  the data whose loss is lowest now, ever more of it (Kumar, Packer and Koller 2010, NeurIPS)
  RANDOM      the control

RANDOM and STAGED show every document equally often, n times in n epochs; the other two show the easy ones more often
than the hard ones. How often is counted and shown with a run, and printed by

    python -m model.cli.curriculum      # schedules, pacing and real difficulties of problems and of the standard
    library
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from model.document import DIFFICULTY_HIGH, DIFFICULTY_LOW
from model.errors import BadConfig


class Strategy(StrEnum):
    """How a curriculum chooses; see the module."""

    STAGED = "STAGED"
    COMPETENCE = "COMPETENCE"
    SELF_PACED = "SELF_PACED"
    RANDOM = "RANDOM"


def stage_fractions(levels: int) -> tuple[float, ...]:
    """Lengths of the stages as parts of the training: 30 / 30 / 40 % for three.

    In general the last stage gets four shares and every other one three: what is hard needs the longest.
    Raises BadConfig.
    """
    if isinstance(levels, bool) or not isinstance(levels, int) or not 1 <= levels <= 20:
        raise BadConfig(field="curriculum.levels", got=levels, expected="a whole number from 1 to 20")
    total = 3 * (levels - 1) + 4
    return tuple([3 / total] * (levels - 1) + [4 / total])


def competence(progress: float, *, initial: float = 0.01, full_at: float = 0.7) -> float:
    """Competence c(t) in (0, 1] of Platanios et al. 2019, square-root pacing; 1 from `full_at` of the training on.

    The square root makes the share of new examples per step fall as 1 / c: each gets the same time to be learned.
    """
    t = min(1.0, max(0.0, progress / full_at)) if full_at > 0 else 1.0
    return min(1.0, math.sqrt(t * (1.0 - initial**2) + initial**2))


def linear_pacing(progress: float, *, initial: float = 0.2, full_at: float = 0.7) -> float:
    """Part of the data that is open, growing linearly from `initial` to 1 at `full_at` (used by SELF_PACED)."""
    t = min(1.0, max(0.0, progress / full_at)) if full_at > 0 else 1.0
    return min(1.0, initial + (1.0 - initial) * t)


@dataclass(frozen=True, kw_only=True)
class CurriculumSpec:
    """What a stage asks for.

    levels    stages of STAGED
    ranges    ranges of difficulty of the stages, or None: cut where the data itself divides into the stages' shares of
              tokens, and with a duration in epochs each stage lasts until its documents came so many times
    reverse   hard to easy (an experiment's control)
    initial, full_at   of the pacing functions
    """

    strategy: Strategy = Strategy.STAGED
    levels: int = 3
    ranges: tuple[tuple[float, float], ...] | None = None
    reverse: bool = False
    initial: float | None = None
    full_at: float = 0.7

    def __post_init__(self) -> None:
        if self.strategy not in list(Strategy):
            raise BadConfig(field="curriculum.strategy", got=self.strategy, expected=list(Strategy))
        stage_fractions(self.levels)
        if not 0.0 < self.full_at <= 1.0:
            raise BadConfig(field="curriculum.full_at", got=self.full_at, expected="above 0, at most 1")
        if self.initial is not None and not 0.0 < self.initial <= 1.0:
            raise BadConfig(field="curriculum.initial", got=self.initial, expected="above 0, at most 1")
        if self.ranges is not None:
            if len(self.ranges) != self.levels:
                raise BadConfig(field="curriculum.ranges", got=self.ranges, expected=f"{self.levels} ranges")
            for low, high in self.ranges:
                if not DIFFICULTY_LOW <= low <= high <= DIFFICULTY_HIGH:
                    raise BadConfig(field="curriculum.ranges", got=(low, high), expected="1 <= low <= high <= 5")

    @property
    def whole_passes(self) -> bool:
        """Whether every document comes equally often: RANDOM, and STAGED without ranges of its own. The others show the
        easy (or what is learned fastest) more often than the rest; `python -m model.cli.curriculum` prints how often.
        """
        return self.strategy is Strategy.RANDOM or (self.strategy is Strategy.STAGED and self.ranges is None)

    def open_part(self, progress: float) -> float:
        """Part of the data, the easiest first, that is open at this progress (1 for STAGED and RANDOM)."""
        if self.strategy is Strategy.COMPETENCE:
            return competence(progress, initial=self.initial or 0.01, full_at=self.full_at)
        if self.strategy is Strategy.SELF_PACED:
            return linear_pacing(progress, initial=self.initial or 0.2, full_at=self.full_at)
        return 1.0

    def stage_at(self, progress: float) -> int:
        """Index of the stage of STAGED at this progress in [0, 1]."""
        passed = 0.0
        for index, fraction in enumerate(stage_fractions(self.levels)):
            passed += fraction
            if progress < passed - 1e-12:
                return index
        return self.levels - 1


@dataclass(frozen=True)
class CurriculumStage:
    """One stage of a schedule in epochs: `start_epoch` up to, not including, `end_epoch`."""

    name: str
    difficulty_range: tuple[float, float]
    start_epoch: int
    end_epoch: int

    @property
    def duration(self) -> int:
        """Epochs."""
        return self.end_epoch - self.start_epoch

    def admits(self, difficulty: float) -> bool:
        """Whether a document of this difficulty belongs here (the lower bound belongs to the easier stage)."""
        low, high = self.difficulty_range
        return (low < difficulty or low == DIFFICULTY_LOW == difficulty) and difficulty <= high


class CurriculumScheduler:
    """A schedule of stages over epochs, for people and for loops that count in epochs."""

    def __init__(self, stages: Sequence[CurriculumStage], total_epochs: int) -> None:
        self.stages, self.total_epochs = tuple(stages), total_epochs

    def get_current_stage(self, epoch: int) -> CurriculumStage:
        """The stage of an epoch from 0. Raises BadConfig outside the schedule."""
        for stage in self.stages:
            if stage.start_epoch <= epoch < stage.end_epoch:
                return stage
        raise BadConfig(field="epoch", got=epoch, expected=f"0 to {self.total_epochs - 1}")

    def format_schedule(self) -> str:
        """The schedule as a text for people."""
        lines = ["Curriculum Learning Schedule", "═" * 60, f"Total epochs: {self.total_epochs}"]
        for number, stage in enumerate(self.stages, start=1):
            low, high = stage.difficulty_range
            last = stage.end_epoch - 1
            epochs = f"Epochs {stage.start_epoch}-{last}" if last > stage.start_epoch else f"Epoch {last}"
            unit = "epoch" if stage.duration == 1 else "epochs"
            lines += [
                "",
                f"Stage {number}: {stage.name} ({epochs})",
                f"  Difficulty: {low:.1f} - {high:.1f}",
                f"  Duration: {stage.duration} {unit} ({stage.duration / self.total_epochs:.0%} of training)",
            ]
        return "\n".join(lines)

    def print_schedule(self) -> None:
        """Prints `format_schedule`."""
        print(self.format_schedule())


_NAMES: dict[int, tuple[str, ...]] = {1: ("All",), 2: ("Easy", "Hard"), 3: ("Easy", "Medium", "Hard")}
_BOUNDS_3 = (1.0, 2.0, 3.5, 5.0)


def create_curriculum(total_epochs: int, difficulty_levels: int = 3) -> CurriculumScheduler:
    """Stages of rising difficulty over whole epochs, each at least one. Raises BadConfig for too few epochs."""
    fractions = stage_fractions(difficulty_levels)
    if isinstance(total_epochs, bool) or not isinstance(total_epochs, int) or total_epochs < difficulty_levels:
        raise BadConfig(field="total_epochs", got=total_epochs, expected=f"a whole number from {difficulty_levels}")
    width = (DIFFICULTY_HIGH - DIFFICULTY_LOW) / difficulty_levels
    bounds = [DIFFICULTY_LOW + width * index for index in range(difficulty_levels)] + [DIFFICULTY_HIGH]
    if difficulty_levels == 3:
        bounds = list(_BOUNDS_3)
    names = _NAMES.get(difficulty_levels, tuple(f"Level {index + 1}" for index in range(difficulty_levels)))
    stages: list[CurriculumStage] = []
    start, passed = 0, 0.0
    for index, fraction in enumerate(fractions):
        passed += fraction
        left = difficulty_levels - index - 1
        end = min(max(round(passed * total_epochs), start + 1), total_epochs - left)
        stages.append(CurriculumStage(names[index], (bounds[index], bounds[index + 1]), start, end))
        start = end
    return CurriculumScheduler(stages, total_epochs)


def create_math_curriculum(total_epochs: int, difficulty_levels: int = 3) -> CurriculumScheduler:
    """For mathematics: levels 1-2, then up to 3.5, then up to 5 (hendrycks/MATH and our generator have levels 1-5)."""
    return create_curriculum(total_epochs, difficulty_levels)


def create_code_curriculum(total_epochs: int, difficulty_levels: int = 3) -> CurriculumScheduler:
    """For code: short scripts, then functions with some nesting, then the thick of a library."""
    return create_curriculum(total_epochs, difficulty_levels)
