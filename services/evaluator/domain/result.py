"""What an evaluation measures: sums by set, scores by retention set, and the state of an evaluation."""

import math
import time
from dataclasses import dataclass, replace
from enum import StrEnum

from services.common.errors import Corrupt
from services.evaluator.domain.request import CheckpointRef, EvalSetRef, EvaluationRequest, SetUse

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


@dataclass(frozen=True, kw_only=True)
class SetResult:
    """The row of one set in a result: `Measurement` without its units."""

    set: EvalSetRef
    nats: float
    tokens: int
    bytes: int
    loss_nats: float
    perplexity: float
    bits_per_byte: float
    units: int

    @classmethod
    def of(cls, ref: EvalSetRef, measured: Measurement) -> "SetResult":
        return cls(
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
class ForgettingScore:
    """Forgetting of one retention set: positive is worse. Infinite when the model's perplexity is not finite, so that
    whoever compares it with a threshold stops. No interval with under 50 units.

    `floor_ratio`: the noise floor of this gauge; a ratio no further from 0 is not resolved. None where it is not known.
    `baseline_bits_per_byte`: how well the baseline knew the text; None for a set without bytes, and in records from
    before it was told. `shown_only`: too badly, so that nothing may be decided by the score.
    """

    retention_set: str
    use: SetUse
    ratio: float
    nats: float
    ratio_low: float | None = None
    ratio_high: float | None = None
    baseline_perplexity: float
    perplexity: float
    floor_ratio: float | None = None
    baseline_bits_per_byte: float | None = None
    shown_only: bool = False


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
        came = f"its baseline has perplexity {baseline.perplexity}; allowed is a finite one"
        raise Corrupt(f"set {ref.name}: {came}", reason="BASELINE_NOT_FINITE")
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


class EvaluationState(StrEnum):
    """PENDING -> RUNNING -> SUCCEEDED or FAILED; a restart, or a store that is away, takes RUNNING back to PENDING."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"

    @property
    def ended(self) -> bool:
        return self in (EvaluationState.SUCCEEDED, EvaluationState.FAILED)


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """What measuring gave. `measure_s` leaves out what was read from the store."""

    results: tuple[SetResult, ...]
    scores: tuple[ForgettingScore, ...]
    measure_s: float
    base: "Rows | None" = None


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What the base before training scores, where a stage's history begins."""

    results: tuple[SetResult, ...]
    scores: tuple[ForgettingScore, ...]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A request and how far it is. `sequence` grows with every change, across restarts too.

    `damaged`: the checkpoint whose files are not those of its manifest, with the reason CHECKPOINT_DAMAGED.
    `waiting_for`: what it waits for, for people; empty while nothing is waited for.
    """

    id: str
    request: EvaluationRequest
    state: EvaluationState = EvaluationState.PENDING
    results: tuple[SetResult, ...] = ()
    scores: tuple[ForgettingScore, ...] = ()
    error: str = ""
    error_reason: str = ""
    sequence: int = 0
    create_time_s: float = 0.0
    end_time_s: float | None = None
    measure_s: float = 0.0
    damaged: CheckpointRef | None = None
    waiting_for: str = ""

    def to(self, state: EvaluationState, *, now_s: float, **changes: object) -> "Evaluation":
        """The next version, which waits for nothing unless `changes` say so. Sequences count milliseconds: a restarted
        service goes on above what it ever sent."""
        sequence = max(self.sequence + 1, int(now_s * 1000))
        end = now_s if state.ended else None
        known = {"state": state, "sequence": sequence, "end_time_s": end, "waiting_for": ""}
        return replace(self, **(known | changes))  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class HistoryRecord:
    """One row of a run's history. `evaluation_id` is its identity: told twice, it is stored once.

    `baseline`: the base before training, the first row of its stage: step 0, compared with the baseline of each set.
    """

    evaluation_id: str
    run: str
    stage: str
    attempt: int
    step: int
    tokens: int
    train_loss_nats: float
    results: tuple[SetResult, ...]
    scores: tuple[ForgettingScore, ...]
    time_s: float
    exported: bool = False  # whether metrics show it
    baseline: bool = False

    @classmethod
    def of(cls, evaluation: Evaluation) -> "HistoryRecord":
        request = evaluation.request
        return cls(
            evaluation_id=evaluation.id,
            run=request.run,
            stage=request.stage,
            attempt=request.attempt,
            step=request.step,
            tokens=request.model.checkpoint.tokens,
            train_loss_nats=request.train_loss_nats,
            results=evaluation.results,
            scores=evaluation.scores,
            time_s=evaluation.end_time_s if evaluation.end_time_s is not None else time.time(),
            exported=request.export_metrics,
        )

    @classmethod
    def of_base(cls, evaluation: Evaluation, base: Rows) -> "HistoryRecord":
        """The first row of the stage that an evaluation belongs to."""
        request = evaluation.request
        return replace(
            cls.of(evaluation),
            evaluation_id=base_id(request.stage),
            step=0,
            tokens=0,
            train_loss_nats=0.0,
            results=base.results,
            scores=base.scores,
            exported=False,
            baseline=True,
        )


def base_id(stage: str) -> str:
    """Identity of a stage's first row in the history of its run. No evaluation can have it: their names have no slash
    and no blank."""
    return f"base of {stage}"
