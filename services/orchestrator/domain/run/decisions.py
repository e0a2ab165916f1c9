"""A decision of the gate or of a person, with the evidence it was made on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from services.orchestrator.domain.values import CheckpointRef, ForgettingScore, LinePoint


class Verdict(StrEnum):
    """What is to happen at a boundary; UNSPECIFIED is a stored decision that cannot be read any more."""

    UNSPECIFIED = "UNSPECIFIED"
    CONTINUE = "CONTINUE"
    ADJUST = "ADJUST"
    ROLL_BACK = "ROLL_BACK"
    STOP = "STOP"
    ACCEPT = "ACCEPT"
    INTERPOLATE = "INTERPOLATE"


class Severity(StrEnum):
    """How bad a score is: below minor, from minor (watch), from action (act), from stop or not finite (go back).
    UNRESOLVED: within the noise floor of the gauge, so that there is no verdict on what was forgotten."""

    UNSPECIFIED = "UNSPECIFIED"
    OK = "OK"
    MINOR = "MINOR"
    ACTION = "ACTION"
    STOP = "STOP"
    UNRESOLVED = "UNRESOLVED"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One decision. `forgetting` is the worst score, `projected` the one that was compared where it differs.
    `suspicious`: a score is too good to be true."""

    run_id: str
    number: int
    stage: str
    attempt: int
    boundary: int
    step: int
    verdict: Verdict
    severity: Severity
    forgetting: float | None = None
    projected: float | None = None
    threshold: float = 0.0
    worst_set: str = ""
    scores: tuple[ForgettingScore, ...] = ()
    shares: Mapping[str, float] = field(default_factory=dict)
    lr_scale: float = 1.0
    target: CheckpointRef | None = None
    message: str = ""
    time_s: float = 0.0
    actor: str = "gate"
    recommendations: tuple[str, ...] = ()
    points: tuple[LinePoint, ...] = ()
    suspicious: bool = False
