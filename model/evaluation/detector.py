"""Catastrophic forgetting: what it is, how it is measured, and what to do about it.

What it is. A network that is trained on something new loses what it knew before, because the gradient of the new data
alone decides where the weights go (McCloskey & Cohen 1989; French 1999). A language model that is mid-trained on code
gets better at code and, unwatched, worse at plain English.

How it is measured. Dual perplexity: after each interval of training the model is evaluated on what it is to learn (the
target set, which should fall) and on what it must keep (a retention set, which should stay). Against the baseline, the
same model before the stage on the same frozen set:

    forgetting ratio = (ppl_now - ppl_baseline) / ppl_baseline        0.10: general perplexity is 10 % worse
    forgetting nats  = ln(ppl_now / ppl_baseline)                     adds up over stages: .05 + .05 = .10

Positive is worse, negative means that the general text got easier. Neither is clamped, and an untouched model scores
exactly 0. Three things go wrong in practice and are refused here: a baseline that nobody measured, a score that is not
a number (`nan > 0.1` is False, so a gate that asks that lets a broken model through), and a set that changes.

A score can also be too good. General text whose perplexity halves while a model learns code was rather measured
against a damaged baseline; below -50 % a score is therefore flagged, never praised, and below -100 % it is impossible.
Where the text is replayed a large fall says that the model is learning it, and nothing about what it kept.

What to do. Replay: put some of the old data back into the batches (Ibrahim et al. 2024: 5 % replay removes most of the
loss). A lower learning rate: slower, and costs more on the target. Going back to the last good checkpoint, when it is
too late for both.

    ratio            severity   what it asks for
    below 5 %        OK         continue
    5 % to 10 %      MINOR      watch; a little more general data
    10 % to 20 %     ACTION     general share up (10 % -> 20 %), learning rate x 0.5
    from 20 %        STOP       restore the last good checkpoint, then both of the above; also for NaN and infinity
    below -50 %      (in doubt) measure the baseline again; replayed text: it is being learned
    within the floor UNRESOLVED nothing: the gauge cannot tell it from 0 (model/evaluation/noise_floor.py)

    detector = ForgettingDetector(baseline_general_perplexity=25.0)
    detector.record(ForgettingMetrics(epoch=0, train_loss=2.1, domain_perplexity=22.0, general_perplexity=25.2))
    if detector.is_forgetting(threshold=0.10):
        print(*detector.get_recommendations(), sep="\\n")

`python -m model.cli.forgetting` shows it on a model that really forgets.
"""

import json
import math
import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TextIO

from model.errors import BadConfig, BadSource
from model.evaluation.forgetting_score import (
    MIN_UNITS,
    Interval,
    Thresholds,
    bootstrap_interval,
    forgetting_nats,
    forgetting_ratio,
    perplexity,
)
from retain.values import Severity
from retain.values.recommendations import recommendations
from retain.values.severity import Doubt, within_floor

__all__ = [
    "MIN_UNITS",
    "Doubt",
    "ForgettingDetector",
    "ForgettingMetrics",
    "Interval",
    "Severity",
    "Thresholds",
    "bootstrap_interval",
    "forgetting_nats",
    "forgetting_ratio",
    "perplexity",
    "within_floor",
]

HISTORY_VERSION = 1
_LABELS = {
    Severity.OK: "✓ OK",
    Severity.MINOR: "⚠ Minor",
    Severity.ACTION: "⚠ Action",
    Severity.STOP: "✗ Stop",
    Severity.UNRESOLVED: "≈ 0",
}
_DOUBTS = {Doubt.SUSPICIOUS: "? Suspect", Doubt.IMPOSSIBLE: "✗ Bad"}
_WIDTH = 60


@dataclass(frozen=True, kw_only=True)
class ForgettingMetrics:
    """One evaluation: both perplexities after `epoch` (or any counter of boundaries). NaN and infinity may come in."""

    epoch: int
    train_loss: float  # nats a token
    domain_perplexity: float  # target set, should fall
    general_perplexity: float  # retention set, should stay

    def __post_init__(self) -> None:
        if self.epoch < 0:
            raise BadConfig("epoch", self.epoch, "0 or more")


class ForgettingDetector:
    """Keeps the history of dual evaluations and says how much was forgotten.

    baseline_general_perplexity: measured before the stage on the very set that is measured afterwards. There is no
    default: a guessed baseline makes every score wrong. Raises BadConfig unless it is a positive finite number.
    replayed: the general text is part of the training data (its training part; the set itself never is), so that a
    large fall means that it is being learned.
    floor_ratio: the noise floor of the gauge (`NoiseFloor.ratio`), if it was measured; within it there is no verdict.
    """

    def __init__(
        self,
        *,
        baseline_general_perplexity: float | None,
        thresholds: Thresholds | None = None,
        replayed: bool = False,
        floor_ratio: float | None = None,
    ) -> None:
        if floor_ratio is not None and not 0.0 <= floor_ratio < math.inf:
            raise BadConfig("floor_ratio", floor_ratio, "0 or more, finite")
        forgetting_ratio(1.0, baseline_general_perplexity)  # type: ignore[arg-type]  # refuses what was not measured
        assert baseline_general_perplexity is not None
        self.baseline_general_perplexity = float(baseline_general_perplexity)
        self.thresholds = thresholds or Thresholds()
        self.replayed, self.floor_ratio = replayed, floor_ratio
        self.history: list[ForgettingMetrics] = []

    def record(self, metrics: ForgettingMetrics) -> float:
        """Adds an evaluation and returns its forgetting ratio."""
        self.history.append(metrics)
        return self.score(metrics)

    def score(self, metrics: ForgettingMetrics) -> float:
        """Forgetting ratio of one evaluation: signed, unclamped."""
        return forgetting_ratio(metrics.general_perplexity, self.baseline_general_perplexity)

    @property
    def latest_score(self) -> float:
        """Forgetting ratio of the last evaluation. Raises BadConfig without one: no news is not good news."""
        if not self.history:
            raise BadConfig("history", "no evaluation", "record one before asking what was forgotten")
        return self.score(self.history[-1])

    def severity(self) -> Severity:
        """Severity of the last evaluation."""
        return self.thresholds.severity(self.latest_score, self.floor_ratio)

    def doubt(self) -> Doubt:
        """Whether the last score is too good to be true."""
        return self.thresholds.doubt(self.latest_score)

    def is_forgetting(self, threshold: float | None = None) -> bool:
        """Whether the last score is at or over the threshold (default: `action`); one that is not finite always is, one
        within the noise floor never."""
        limit = self.thresholds.action if threshold is None else threshold
        if not math.isfinite(limit):
            raise BadConfig("threshold", threshold, "a finite number, e.g. 0.10 for ten per cent")
        score = self.latest_score
        return not math.isfinite(score) or (score >= limit and not within_floor(score, self.floor_ratio))

    def get_recommendations(self) -> list[str]:
        """What to do about the last evaluation, worst first, in words for people."""
        severity = self.severity()
        doubted = self.latest_score if severity is not Severity.UNRESOLVED and self.doubt() is not Doubt.NONE else None
        return list(recommendations(severity, self.thresholds, doubted=doubted, replayed=self.replayed))

    def print_summary(self, file: TextIO | None = None) -> None:
        """Prints the history as a table, and the recommendations under it."""
        lines = [
            "Catastrophic Forgetting Detection Summary",
            "═" * _WIDTH,
            f"Baseline General Perplexity: {self.baseline_general_perplexity:.1f}",
            f"Total Epochs: {len(self.history)}",
            "",
            "Epoch  Domain PPL  General PPL  Forgetting    Status",
            "─" * _WIDTH,
        ]
        for row in self.history:
            score = self.score(row)
            severity = self.thresholds.severity(score, self.floor_ratio)
            label = _DOUBTS.get(self.thresholds.doubt(score), _LABELS[severity])
            row_text = f"{row.epoch:>5}{row.domain_perplexity:>12.1f}{row.general_perplexity:>13.1f}"
            lines.append(f"{row_text}{round(score, 2) + 0.0:>12.2f}{label:>10}")  # + 0.0: no "-0.00"
        if self.history:
            lines += ["", "Recommendations:", *(f"  {text}" for text in self.get_recommendations())]
        print("\n".join(lines), file=file or sys.stdout)

    def save(self, path: Path) -> None:
        """Writes baseline, thresholds and history as JSON. What is not finite becomes a string: JSON has no NaN."""
        document = {
            "version": HISTORY_VERSION,
            "baseline_general_perplexity": self.baseline_general_perplexity,
            "thresholds": asdict(self.thresholds),
            "replayed": self.replayed,
            "floor_ratio": self.floor_ratio,
            "history": [
                {name: _to_json(value) for name, value in asdict(row).items()}
                | {
                    "forgetting_ratio": _to_json(self.score(row)),
                    "severity": self.thresholds.severity(self.score(row), self.floor_ratio).lower(),
                    "doubt": self.thresholds.doubt(self.score(row)).lower(),
                }
                for row in self.history
            ],
        }
        partial = path.with_name(path.name + ".part")
        partial.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        partial.replace(path)  # a reader sees the old history or the new one, whole

    @classmethod
    def load(cls, path: Path) -> "ForgettingDetector":
        """Reads what `save` wrote. Scores are computed again, so an edited score in the file changes nothing."""
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            detector = cls(
                baseline_general_perplexity=document["baseline_general_perplexity"],
                thresholds=Thresholds(**document["thresholds"]),
                replayed=bool(document.get("replayed", False)),  # histories before this was kept have none
                floor_ratio=document.get("floor_ratio"),
            )
            names = [field.name for field in fields(ForgettingMetrics)]
            for row in document["history"]:
                detector.history.append(ForgettingMetrics(**{name: _from_json(row[name]) for name in names}))
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise BadSource(str(path), repr(error), "a history that ForgettingDetector.save wrote") from error
        return detector


def _to_json(value: float) -> Any:
    return value if math.isfinite(value) else str(value)


def _from_json(value: Any) -> Any:
    return float(value) if isinstance(value, str) else value
