"""What an evaluation answers, as the core keeps it."""

from dataclasses import dataclass

from retain.values import ForgettingScore, ProbeReport, SetResult, SetUse


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What an evaluation answered: a row per set, and a score per retention set that has a baseline. `measure_s`:
    seconds of measuring, 0 where all of it was known. `probe`: what the probe found, where it was asked."""

    results: tuple[SetResult, ...]
    scores: tuple[ForgettingScore, ...]
    measure_s: float = 0.0
    probe: ProbeReport | None = None

    def scores_of(self, use: SetUse) -> tuple[ForgettingScore, ...]:
        """The scores on control or on report sets."""
        return tuple(score for score in self.scores if score.use is use)

    def deciding(self, use: SetUse) -> tuple[ForgettingScore, ...]:
        """The scores on control or on report sets that something is decided by."""
        return tuple(score for score in self.scores_of(use) if not score.shown_only)

    def results_of(self, use: SetUse) -> tuple[SetResult, ...]:
        """The results on control or on report sets."""
        return tuple(result for result in self.results if result.set.use is use)
