"""What the services say, as plain frozen data for the command and the panel. Enum values come without their prefix.

Field names are those of the protobuf messages (see protos/retain), so that `convert.to_view` needs no table. An absent
optional value is None, an UNSPECIFIED enum value the empty string.
"""

import math
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

TERMINAL_STATES = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})


@dataclass(frozen=True, kw_only=True)
class CheckpointRef:
    """Names one checkpoint and the bytes that it must have."""

    uri: str
    manifest_sha256: str
    weights_digest: str
    step: int
    tokens: int

    @property
    def short_name(self) -> str:
        """`attempt-1/step-000000120` of the URI: what tells the checkpoints of one stage apart."""
        return "/".join(self.uri.rstrip("/").split("/")[-2:])


@dataclass(frozen=True, kw_only=True)
class EvalSetRef:
    """Names one frozen evaluation set; `role` is TARGET or RETENTION, `use` CONTROL or REPORT."""

    name: str
    uri: str
    digest: str
    role: str
    use: str


@dataclass(frozen=True, kw_only=True)
class SetResult:
    """The measurement of one set by one model; nats are summed over tokens and divided once."""

    set: EvalSetRef
    nats: float
    tokens: int
    bytes: int
    loss_nats: float
    perplexity: float
    bits_per_byte: float
    units: int


@dataclass(frozen=True, kw_only=True)
class ForgettingScore:
    """How much of one retention set was forgotten: `ratio` = (ppl_now - ppl_baseline) / ppl_baseline; > 0 is worse.
    `floor_ratio`: the gauge's noise floor; no further from 0 a score is not resolved. None where it is not known.
    `shown_only`: nothing is decided by it, for the baseline did not know the text (`baseline_bits_per_byte`)."""

    retention_set: str
    ratio: float
    nats: float
    ratio_low: float | None
    ratio_high: float | None
    baseline_perplexity: float
    perplexity: float
    use: str
    floor_ratio: float | None = None
    baseline_bits_per_byte: float | None = None
    shown_only: bool = False

    @property
    def resolved(self) -> bool:
        """Whether the gauge can tell the score from 0; what is not a finite number always is."""
        return self.floor_ratio is None or not math.isfinite(self.ratio) or abs(self.ratio) > self.floor_ratio


@dataclass(frozen=True, kw_only=True)
class PreparedFolder:
    """One source or set that data was prepared into."""

    name: str
    uri: str
    digest: str
    tokens: int
    loss_tokens: int
    documents: int


@dataclass(frozen=True, kw_only=True)
class Stage:
    """How a stage stands. `forgetting` is the worst control score of the last verdict."""

    index: int
    name: str
    kind: str
    domain: str
    state: str
    attempt: int
    step: int
    total_steps: int
    tokens: int
    total_tokens: int
    train_loss_nats: float
    learning_rate: float
    tokens_per_second: float
    time_left_seconds: float | None
    shares: dict[str, float]
    lr_scale: float
    retries: int
    forgetting: float | None
    worst_set: str
    scores: tuple[ForgettingScore, ...]
    results: tuple[SetResult, ...]
    report_scores: tuple[ForgettingScore, ...]
    report_results: tuple[SetResult, ...]
    accepted: CheckpointRef | None
    latest: CheckpointRef | None
    checkpoints: int
    unlocked_by: str
    curriculum_level: int
    wall_seconds: float
    stall_seconds: float
    wait_seconds: float
    boundary_share: float | None = None


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """How a run stands, with its stages in order."""

    state: str
    reason: str
    message: str
    stages: tuple[Stage, ...]
    queue_position: int
    submission: int
    phase: str
    prepare_progress: float
    prepared: tuple[PreparedFolder, ...]
    overlap: dict[str, float]
    waiting_for: str = ""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A pipeline run. `resource` is the whole message in protobuf's JSON mapping, with the field names of the spec."""

    id: str
    status: RunStatus
    etag: str
    sequence: int
    create_time: datetime | None
    update_time: datetime | None
    end_time: datetime | None
    resource: dict[str, Any] = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        return str(self.resource.get("spec", {}).get("name", ""))

    @property
    def state(self) -> str:
        return self.status.state

    @property
    def stages(self) -> tuple[Stage, ...]:
        return self.status.stages

    @property
    def is_terminal(self) -> bool:
        """Whether nothing more happens unless someone retries it."""
        return self.state in TERMINAL_STATES

    @property
    def is_settled(self) -> bool:
        """Whether it waits for a person or has ended."""
        return self.is_terminal or self.state == "SUSPENDED"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One decision of the gate or of a person, with its evidence."""

    run_id: str
    number: int
    stage: str
    attempt: int
    boundary: int
    step: int
    verdict: str
    severity: str
    forgetting: float | None
    projected: float | None
    threshold: float
    worst_set: str
    scores: tuple[ForgettingScore, ...]
    shares: dict[str, float]
    lr_scale: float
    target: CheckpointRef | None
    message: str
    time: datetime | None
    actor: str
    recommendations: tuple[str, ...]
    suspicious: bool
    resource: dict[str, Any] = field(repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """One checkpoint in the lineage; `parent` is the manifest digest of the one that it grew from, `message` why it was
    set aside. `interim`: taken between two boundaries by workers that had to leave."""

    id: str
    ref: CheckpointRef
    run_id: str
    stage: str
    attempt: int
    parent: str
    state: str
    bytes: int
    train_loss_nats: float
    forgetting: float | None
    create_time: datetime | None
    kind: str
    domain: str
    message: str
    interim: bool
    resource: dict[str, Any] = field(repr=False, compare=False)

    @property
    def standing(self) -> str:
        """Its state in words, with what there is to say about it."""
        state = f"{self.state.lower()}, interim" if self.interim else self.state.lower()
        return f"{state}: {self.message}" if self.message else state


@dataclass(frozen=True, kw_only=True)
class GarbageItem:
    """Something in the store that nothing refers to, and why nothing does."""

    uri: str
    kind: str
    objects: int
    bytes: int
    update_time: datetime | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """What was, or with `dry_run` would be, deleted; `notes` say what was left alone and why. `items` are the first
    10,000 of `total_items`."""

    items: tuple[GarbageItem, ...]
    bytes: int
    dry_run: bool
    notes: tuple[str, ...]
    total_items: int


@dataclass(frozen=True, kw_only=True)
class ExportedFile:
    """One file of a checkpoint: where to get it and what it must be."""

    path: str
    url: str
    sha256: str
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Export:
    """A checkpoint with presigned URLs of its files."""

    checkpoint: Checkpoint
    files: tuple[ExportedFile, ...]


@dataclass(frozen=True, kw_only=True)
class Upload:
    """Where to PUT a file (empty: it is there already), and the URI to write into the spec."""

    url: str
    uri: str


@dataclass(frozen=True, kw_only=True)
class ForgettingRecord:
    """One row of the measured history of a run. `baseline`: the base before training, the first row of its stage."""

    run_id: str
    stage: str
    attempt: int
    step: int
    tokens: int
    results: tuple[SetResult, ...]
    scores: tuple[ForgettingScore, ...]
    time: datetime | None
    train_loss_nats: float
    baseline: bool
    resource: dict[str, Any] = field(repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class BoundaryCost:
    """What the boundaries of a stage are estimated to cost: seconds of one upload, one verdict and the training between
    two, of all boundaries and of all training; `basis` says what the figures rest on, `warning` is empty up to a
    tenth."""

    checkpoint_bytes: int
    upload_seconds: float
    evaluation_tokens: int
    evaluation_seconds: float
    interval_seconds: float
    boundary_seconds: float
    training_seconds: float
    share: float
    basis: tuple[str, ...]
    warning: str


@dataclass(frozen=True, kw_only=True)
class PlannedStage:
    """One stage as it would be done; 0 tokens or steps: known only once the data is prepared."""

    name: str
    kind: str
    domain: str
    tokens: int
    steps: int
    steps_per_boundary: int
    boundaries: int
    retention_sets: tuple[str, ...]
    never_replayed: tuple[str, ...]
    sources: dict[str, str]
    learning_rate: float
    base: str
    boundary_cost: BoundaryCost | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a spec would do, with every default filled in (`resource["spec"]`); `warnings` are worth a change before it
    begins; `policy` says who decides about forgetting, by which score, and why."""

    stages: tuple[PlannedStage, ...]
    parameters: int
    warnings: tuple[str, ...]
    policy: tuple[str, ...]
    resource: dict[str, Any] = field(repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class LogText:
    """Some log lines of one worker group."""

    submission: int
    text: str
