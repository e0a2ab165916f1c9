"""What a stage has kept of each retention set: those held out from replayed sources, and those that nothing replays,
side by side, for the command and the panel."""

from collections.abc import Sequence
from dataclasses import dataclass

from ui.client.views import ForgettingScore, Stage
from ui.render import formatting
from ui.render.severity import MARKS, Mark, Thresholds

GAUGE = "gauge-"  # how the names of sets begin that come with Retain and are trained on by no stage


@dataclass(frozen=True, kw_only=True)
class KeptRow:
    """One retention set of a stage. `replayed`: its share now, or that it never is. `note`: why nothing is decided by
    it, where nothing is."""

    stage: str
    set_name: str
    replayed: str
    baseline_perplexity: float
    perplexity: float
    score: ForgettingScore
    severity: str
    note: str

    @property
    def mark(self) -> Mark:
        """Sign and colour of its severity."""
        return MARKS[self.severity]

    @property
    def interval(self) -> str:
        """The 95 % interval in per cent, where there is one."""
        low, high = self.score.ratio_low, self.score.ratio_high
        return "" if low is None or high is None else f"{100 * low:+.1f}…{100 * high:+.1f}"


def kept_rows(stages: Sequence[Stage], thresholds: Thresholds) -> list[KeptRow]:
    """The scores of the last verdict of every stage that has one: replayed sets first, then the gauges."""
    return [
        KeptRow(
            stage=stage.name,
            set_name=score.retention_set,
            replayed=_replayed(stage, score.retention_set),
            baseline_perplexity=score.baseline_perplexity,
            perplexity=score.perplexity,
            score=score,
            severity=thresholds.of_score(score),
            note=_note(score),
        )
        for stage in stages
        for score in sorted(stage.scores, key=lambda score: score.retention_set.startswith(GAUGE))
    ]


def _replayed(stage: Stage, name: str) -> str:
    share = stage.shares.get(name)
    return "never" if share is None else f"{100 * share:g} %"


def _note(score: ForgettingScore) -> str:
    if not score.shown_only:
        return ""
    bits = score.baseline_bits_per_byte
    needed = "" if bits is None else f" ({formatting.bits(bits)})"
    return f"shown only: the baseline did not know this kind of text{needed}"
