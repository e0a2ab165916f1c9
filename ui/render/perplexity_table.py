"""The dual-perplexity table: at each boundary how well the model does on what it learns and on what it must keep."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from retain.values.severity import badness_of
from ui.client.views import Decision, ForgettingRecord, SetResult
from ui.render.severity import Thresholds

BASE = "BASE"  # in place of a verdict: nothing was decided about the base before training


@dataclass(frozen=True, kw_only=True)
class DualRow:
    """One boundary. `forgetting` is the worst control score; None where nothing has to be kept yet. `floor`: the noise
    floor of its gauge, None where it is not known; `general_baseline`: what the general perplexity is compared with.
    The first row of a stage is its base before training: step 0, and `verdict` is BASE. `time_s`: Unix seconds."""

    stage: str
    attempt: int
    step: int
    tokens: int
    target_set: str
    target_perplexity: float | None
    general_perplexity: float | None
    general_baseline: float | None
    time_s: float | None
    forgetting: float | None
    forgetting_low: float | None
    forgetting_high: float | None
    floor: float | None
    worst_set: str
    severity: str
    verdict: str


def dual_rows(
    history: Sequence[ForgettingRecord], decisions: Sequence[Decision], thresholds: Thresholds
) -> list[DualRow]:
    """Rows in the order of the measurements; the verdict is that of the decision on the same checkpoint."""
    verdicts = {(d.stage, d.attempt, d.step): d.verdict or "" for d in decisions if d.actor in {"", "gate"}}
    rows = []
    for record in history:
        control = [result for result in record.results if result.set.use != "REPORT"]
        target = _first(control, lambda result: result.set.role == "TARGET")
        general = _first(control, lambda result: result.set.name == "general")
        scores = [score for score in record.scores if score.use != "REPORT" and not score.shown_only]
        # A score that is not finite is the worst of all: max() alone would let it hide behind a number.
        worst = max(scores, key=lambda score: badness_of(score.ratio, score.floor_ratio), default=None)
        ratio = worst.ratio if worst else None
        rows.append(
            DualRow(
                stage=record.stage,
                attempt=record.attempt,
                step=record.step,
                tokens=record.tokens,
                target_set=target.set.name if target else "",
                target_perplexity=target.perplexity if target else None,
                general_perplexity=general.perplexity if general else None,
                general_baseline=next((s.baseline_perplexity for s in scores if s.retention_set == "general"), None),
                time_s=record.time_s,
                forgetting=ratio,
                forgetting_low=worst.ratio_low if worst else None,
                forgetting_high=worst.ratio_high if worst else None,
                floor=worst.floor_ratio if worst else None,
                worst_set=worst.retention_set if worst else "",
                severity=thresholds.of_score(worst) if worst else "",
                verdict=BASE if record.baseline else verdicts.get((record.stage, record.attempt, record.step), ""),
            )
        )
    return rows


def _first(results: Sequence[SetResult], wanted: Callable[[SetResult], bool]) -> SetResult | None:
    return next((result for result in results if wanted(result)), None)
