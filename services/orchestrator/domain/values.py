"""Values that travel between the services: names of checkpoints and evaluation sets, and what was measured on them."""

import math
from dataclasses import dataclass
from enum import StrEnum


class SetRole(StrEnum):
    """What a set is measured for: what a stage is to learn, or what the model must keep."""

    TARGET = "TARGET"
    RETENTION = "RETENTION"


class SetUse(StrEnum):
    """Who looks at a set: the gate (CONTROL), or people who quote figures (REPORT, disjoint from the other)."""

    CONTROL = "CONTROL"
    REPORT = "REPORT"


@dataclass(frozen=True, kw_only=True)
class CheckpointRef:
    """Names one checkpoint and the bytes that it must have. `step` and `tokens` count within its stage."""

    uri: str
    manifest_sha256: str
    weights_digest: str
    step: int = 0
    tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class EvalSetRef:
    """Names one frozen evaluation set by the digest of its text, tokenizer, context, windowing and masks."""

    name: str
    uri: str
    digest: str
    role: SetRole
    use: SetUse


@dataclass(frozen=True, kw_only=True)
class PreparedFolder:
    """A folder that data was prepared into."""

    name: str
    uri: str
    digest: str
    tokens: int = 0
    loss_tokens: int = 0
    documents: int = 0
    left_out: int = 0


@dataclass(frozen=True, kw_only=True)
class Passes:
    """How often the documents of a text are read whole: the least, the median and the most."""

    least: float
    median: float
    most: float


@dataclass(frozen=True, kw_only=True)
class SetResult:
    """One set measured by one model: sums first, the mean is their quotient."""

    set: EvalSetRef
    nats: float
    tokens: int
    bytes: int
    loss_nats: float
    perplexity: float
    bits_per_byte: float
    units: int

    @property
    def finite(self) -> bool:
        """False for NaN and inf, which are never a result."""
        return math.isfinite(self.nats) and math.isfinite(self.loss_nats) and math.isfinite(self.perplexity)


@dataclass(frozen=True, kw_only=True)
class ForgettingScore:
    """How much of one retention set was forgotten. `ratio` = (ppl_now - ppl_baseline) / ppl_baseline; > 0 is worse.
    `floor_ratio`: the noise floor of the gauge that measured it, None where it is not known. `shown_only`: nothing is
    decided by it, for the baseline did not know the text (`baseline_bits_per_byte`)."""

    retention_set: str
    ratio: float
    nats: float
    ratio_low: float | None = None
    ratio_high: float | None = None
    baseline_perplexity: float
    perplexity: float
    use: SetUse
    floor_ratio: float | None = None
    baseline_bits_per_byte: float | None = None
    shown_only: bool = False

    @property
    def resolved(self) -> bool:
        """Whether the gauge can tell the score from 0; what is not finite, or has no floor, always is."""
        return self.floor_ratio is None or not self.finite or abs(self.ratio) > self.floor_ratio

    @property
    def resolved_ratio(self) -> float:
        """The ratio as far as the gauge resolves it: 0 within the floor."""
        return self.ratio if self.resolved else 0.0

    @property
    def finite(self) -> bool:
        """False for NaN and inf: the gate treats such a score as a stop."""
        return math.isfinite(self.ratio)

    @property
    def sane(self) -> bool:
        """Whether ln(1 + ratio), the score in nats, is a finite number."""
        return self.finite and self.ratio > -1


@dataclass(frozen=True, kw_only=True)
class LinePoint:
    """A point of the line between a stage's parent (0) and its result (1), measured on control sets. `forgetting` is
    the worst score of the retention sets, None for the parent, of which only the target's loss is asked."""

    point: float
    forgetting: float | None
    worst_set: str
    target_loss_nats: float


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What an evaluation answered: a row per set, and a score per retention set that has a baseline. `measure_s`:
    seconds of measuring, 0 where all of it was known."""

    results: tuple[SetResult, ...]
    scores: tuple[ForgettingScore, ...]
    measure_s: float = 0.0

    def scores_of(self, use: SetUse) -> tuple[ForgettingScore, ...]:
        """The scores on control or on report sets."""
        return tuple(score for score in self.scores if score.use is use)

    def deciding(self, use: SetUse) -> tuple[ForgettingScore, ...]:
        """The scores on control or on report sets that something is decided by."""
        return tuple(score for score in self.scores_of(use) if not score.shown_only)

    def results_of(self, use: SetUse) -> tuple[SetResult, ...]:
        """The results on control or on report sets."""
        return tuple(result for result in self.results if result.set.use is use)
