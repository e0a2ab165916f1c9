"""What an evaluation measures: sums by set, scores by retention set, and the state of an evaluation."""

import math
import time
from dataclasses import dataclass, replace
from typing import Any

from retain.values import (
    EvalSetRef,
    Evaluation,
    EvaluationState,
    ForgettingRecord,
    ForgettingScore,
    ProbeReport,
    SetResult,
)
from retain.values.faults import mismatch
from services.common.errors import Corrupt

_LN2 = math.log(2.0)


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One set under one model: sums, and the same for each unit (kept for the bootstrap). Means are divided once, here.

    `nats` may be NaN or infinite: a broken model is measured as what it is.
    """

    nats: float
    tokens: int
    bytes: int
    unit_nats: tuple[float, ...]
    unit_tokens: tuple[int, ...]
    unit_bytes: tuple[int, ...]

    @property
    def loss_nats(self) -> float:
        """Mean loss in nats a token."""
        return self.nats / self.tokens

    @property
    def perplexity(self) -> float:
        """exp(loss_nats); infinite where that overflows."""
        return math.inf if self.loss_nats > 700 else math.exp(self.loss_nats)

    @property
    def bits_per_byte(self) -> float:
        """Comparable between tokenizers; NaN for a set without bytes."""
        return self.nats / _LN2 / self.bytes if self.bytes else math.nan


def set_result(ref: EvalSetRef, measured: Measurement) -> SetResult:
    """The row of one set in a result: its measurement without the units."""
    return SetResult(
        set=ref,
        nats=measured.nats,
        tokens=measured.tokens,
        bytes=measured.bytes,
        loss_nats=measured.loss_nats,
        perplexity=measured.perplexity,
        bits_per_byte=measured.bits_per_byte,
        units=len(measured.unit_nats),
    )


@dataclass(frozen=True, kw_only=True)
class NoiseFloor:
    """How far from 0 a score of an untouched model may lie where only the way of measuring changes: in nats a token,
    with the number of repeats and the tokens in each of them that it was found from."""

    nats: float
    repeats: int
    tokens: int

    @property
    def ratio(self) -> float:
        """The floor in the unit of `ForgettingScore.ratio`."""
        return math.expm1(self.nats)

    def at_loss(self, loss_nats: float) -> "NoiseFloor":
        """The floor for a baseline of this mean loss, in nats a token, where another model of the same shape was
        repeated: no finer than float32 numbers are there."""
        spacing = 2.0 ** (math.frexp(loss_nats)[1] - 24)
        return self if self.nats >= spacing else replace(self, nats=spacing)


def score(
    ref: EvalSetRef,
    now: Measurement,
    baseline: Measurement,
    interval: tuple[float, float] | None,
    floor: NoiseFloor | None = None,
) -> ForgettingScore:
    """The score of a set against its baseline. Raises Corrupt when the two are not measurements of one set, or when the
    baseline is not a finite number (nothing can be compared with it)."""
    if now.unit_tokens != baseline.unit_tokens:
        raise Corrupt(f"set {ref.name}: now and baseline were measured on different units", reason="UNITS_DIFFER")
    if not math.isfinite(baseline.perplexity):
        said = mismatch(f"a baseline of perplexity {baseline.perplexity}", "a finite one")
        raise Corrupt(f"set {ref.name}: {said}", reason="BASELINE_NOT_FINITE")
    ratio = (now.perplexity - baseline.perplexity) / baseline.perplexity
    nats = now.loss_nats - baseline.loss_nats
    low, high = interval if interval and math.isfinite(ratio) else (None, None)
    return ForgettingScore(
        retention_set=ref.name,
        use=ref.use,
        ratio=ratio if math.isfinite(ratio) else math.inf,
        nats=nats if math.isfinite(nats) else math.inf,
        ratio_low=low,
        ratio_high=high,
        baseline_perplexity=baseline.perplexity,
        perplexity=now.perplexity,
        floor_ratio=floor.ratio if floor is not None else None,
        baseline_bits_per_byte=baseline.bits_per_byte if baseline.bytes else None,
    )


def judged_by(found: ForgettingScore, most_bits_per_byte: float | None) -> ForgettingScore:
    """The score, shown only where the baseline needs more bits a byte than that: what was never known cannot be
    forgotten. A score that is no number counts whatever was known, and so does one without bytes to tell by."""
    bits = found.baseline_bits_per_byte
    if most_bits_per_byte is None or bits is None or not math.isfinite(found.ratio):
        return found
    return replace(found, shown_only=bits > most_bits_per_byte)


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """What measuring gave. `measure_s` leaves out what was read from the store."""

    results: tuple[SetResult, ...]
    scores: tuple[ForgettingScore, ...]
    measure_s: float
    base: "Rows | None" = None
    probe: ProbeReport | None = None


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What the base before training scores, where a stage's history begins."""

    results: tuple[SetResult, ...]
    scores: tuple[ForgettingScore, ...]


def next_version(evaluation: Evaluation, state: EvaluationState, *, now_s: float, **changes: Any) -> Evaluation:
    """The evaluation in another state; it waits for nothing unless `changes` say so. A restart, or a store that is
    away, takes RUNNING back to PENDING. Sequences count milliseconds: a restarted service continues above what it ever
    sent."""
    sequence = max(evaluation.sequence + 1, int(now_s * 1000))
    known: dict[str, Any] = {"end_time_s": now_s if state.ended else None, "waiting_for": ""}
    return replace(evaluation, state=state, sequence=sequence, **(known | changes))


@dataclass(frozen=True, kw_only=True)
class HistoryRow:
    """A record of a run's history as it is stored. `evaluation_id` is its identity: told twice, it is stored once.
    `exported`: whether metrics show it."""

    evaluation_id: str
    exported: bool
    record: ForgettingRecord

    @classmethod
    def of(cls, evaluation: Evaluation) -> "HistoryRow":
        """The row of an evaluation that succeeded."""
        request = evaluation.request
        record = ForgettingRecord(
            run_id=request.run_id,
            stage=request.stage,
            attempt=request.attempt,
            step=request.step,
            tokens=request.checkpoint.tokens,
            train_loss_nats=request.train_loss_nats,
            results=evaluation.results,
            scores=evaluation.scores,
            probe=evaluation.probe,
            time_s=evaluation.end_time_s if evaluation.end_time_s is not None else time.time(),
        )
        return cls(evaluation_id=evaluation.id, exported=request.export_metrics, record=record)

    @classmethod
    def of_base(cls, evaluation: Evaluation, base: Rows) -> "HistoryRow":
        """The first row of the stage that an evaluation belongs to: the base before training, step 0."""
        record = replace(
            cls.of(evaluation).record,
            step=0,
            tokens=0,
            train_loss_nats=0.0,
            results=base.results,
            scores=base.scores,
            probe=None,
            baseline=True,
        )
        return cls(evaluation_id=base_id(record.stage), exported=False, record=record)


def base_id(stage: str) -> str:
    """Identity of a stage's first row in the history of its run. No evaluation can have it: their names have no slash
    and no blank."""
    return f"base of {stage}"
