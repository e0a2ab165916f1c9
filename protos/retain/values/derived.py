"""What follows from the fields of a value, written by hand: `protos/generate.py` makes each class here a base of the
generated class of the same name, so that one reading of a value holds for all who have it.

Pure and of the standard library alone. The fields that a class reads are named for the type checker only.
"""

import math
from typing import TYPE_CHECKING

from retain.values.severity import within_floor

if TYPE_CHECKING:
    from retain.values import spec


class StageSpec:
    """Of a stage of a spec."""

    if TYPE_CHECKING:
        kind: spec.StageKind
        domain: spec.Domain

    @property
    def name(self) -> str:
        """Name of the stage in prefixes, metrics and tables: pretrain, midtrain/code, finetune."""
        if self.kind == "MIDTRAIN":
            return f"midtrain/{self.domain.lower()}"
        return self.kind.lower()


class CheckpointRef:
    """Of a reference to a checkpoint."""

    if TYPE_CHECKING:
        uri: str

    @property
    def short_name(self) -> str:
        """`attempt-1/step-000000120` of the URI: what tells the checkpoints of one stage apart."""
        return "/".join(self.uri.rstrip("/").split("/")[-2:])


class SetResult:
    """Of a set that was measured."""

    if TYPE_CHECKING:
        nats: float
        loss_nats: float
        perplexity: float

    @property
    def finite(self) -> bool:
        """False for NaN and inf, which are never a result."""
        return math.isfinite(self.nats) and math.isfinite(self.loss_nats) and math.isfinite(self.perplexity)


class ForgettingScore:
    """Of a score."""

    if TYPE_CHECKING:
        ratio: float
        floor_ratio: float | None

    @property
    def resolved(self) -> bool:
        """Whether the gauge can tell the score from 0; what is not finite, or has no floor, always is."""
        return not within_floor(self.ratio, self.floor_ratio)

    @property
    def resolved_ratio(self) -> float:
        """The ratio as far as the gauge resolves it: 0 within the floor."""
        return self.ratio if self.resolved else 0.0

    @property
    def finite(self) -> bool:
        """False for NaN and inf: the gate treats such a score as a stop."""
        return math.isfinite(self.ratio)

    @property
    def is_valid_ratio(self) -> bool:
        """Whether ln(1 + ratio), the score in nats, is a finite number."""
        return self.finite and self.ratio > -1


class RunState:
    """Of a run's state."""

    @property
    def ended(self) -> bool:
        """Nothing more happens unless a person asks for it."""
        return str(self) in ("SUCCEEDED", "FAILED", "CANCELLED")


class CheckpointState:
    """Of a checkpoint's state."""

    @property
    def usable(self) -> bool:
        """Whether its files are there and may be resumed from, exported or built on."""
        return str(self) in ("LIVE", "ACCEPTED")


class EvaluationState:
    """Of an evaluation's state."""

    @property
    def ended(self) -> bool:
        """Nothing more happens."""
        return str(self) in ("SUCCEEDED", "FAILED")
