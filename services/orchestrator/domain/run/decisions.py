"""A decision of the gate or of a person, with the evidence it was made on."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.orchestrator.domain.policy.verdict import Severity, Verdict
from services.orchestrator.domain.values import CheckpointRef, ForgettingScore, LinePoint


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
