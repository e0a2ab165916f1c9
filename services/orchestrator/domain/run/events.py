"""What can happen to a run. Each event carries `now_s`, Unix time: the core has no clock of its own."""

from dataclasses import dataclass

from retain.values import ApproveAction, CheckpointRef, MixPoint, PipelineSpec, PreparedData
from services.orchestrator.domain.run.state import StagePhase
from services.orchestrator.domain.run.tries import MAX_EVALUATION_TRIES, MAX_RESTARTS
from services.orchestrator.domain.values import Measurement


@dataclass(frozen=True, kw_only=True)
class Event:
    """Root of all events."""

    now_s: float


@dataclass(frozen=True, kw_only=True)
class Admitted(Event):
    """The run's turn has come: its workers fit."""


@dataclass(frozen=True, kw_only=True)
class QueueMoved(Event):
    """The place in the queue changed; who watches wants to know."""


@dataclass(frozen=True, kw_only=True)
class Cancelled(Event):
    """A person ended the run."""

    actor: str = "user"


@dataclass(frozen=True, kw_only=True)
class Approved(Event):
    """A person lets a SUSPENDED run continue. `queue_number` is its new place in the queue."""

    action: ApproveAction
    queue_number: int
    actor: str = "user"
    comment: str = ""


@dataclass(frozen=True, kw_only=True)
class Retried(Event):
    """A person lets a FAILED or CANCELLED run resume at its last checkpoint."""

    queue_number: int


@dataclass(frozen=True, kw_only=True)
class SpecUpdated(Event):
    """A person changes what may change of a spec: to the values that `spec` has at `paths`."""

    spec: PipelineSpec
    paths: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class WorkerEvent(Event):
    """Root of what workers say. `submission`, `attempt` and `stage_index` are the fence; -1 is preparing."""

    submission: int
    attempt: int
    stage_index: int


@dataclass(frozen=True, kw_only=True)
class AttemptAsked(Event):
    """A worker group asks for work. The same `request_id` gets the same attempt."""

    submission: int
    request_id: str


@dataclass(frozen=True, kw_only=True)
class ProgressReported(WorkerEvent):
    """How far the work is."""

    phase: StagePhase
    step: int = 0
    tokens: int = 0
    train_loss_nats: float = 0.0
    learning_rate: float = 0.0
    tokens_per_second: float = 0.0
    curriculum_level: int = 0
    prepare_progress: float = 0.0
    wait_s: float = 0.0
    stall_s: float = 0.0
    train_s: float = 0.0
    upload_failures: int = 0
    waiting_for: str = ""


@dataclass(frozen=True, kw_only=True)
class CheckpointReported(WorkerEvent):
    """A checkpoint whose manifest is in the store. `interim`: taken between two boundaries, `boundary` is the last one
    that was reached."""

    boundary: int
    checkpoint: CheckpointRef
    parent: str
    bytes: int = 0
    train_loss_nats: float = 0.0
    upload_s: float = 0.0
    stall_s: float = 0.0
    interim: bool = False


@dataclass(frozen=True, kw_only=True)
class MixTried(WorkerEvent):
    """What a trial of mixes measured before the stage began, and what it cost."""

    points: tuple[MixPoint, ...]
    tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class StageEnded(WorkerEvent):
    """An attempt ended. `failed` carries reason and message; preparing carries what it made. `interrupted`: the workers
    were told to leave. `damaged`: a checkpoint that could not be read, which is what ended the attempt."""

    failed: bool
    interrupted: bool = False
    damaged: CheckpointRef | None = None
    reason: str = ""
    message: str = ""
    prepared: PreparedData | None = None


@dataclass(frozen=True, kw_only=True)
class EvaluationFinished(Event):
    """A checkpoint was measured; with `point` the one that lies there, with `of_interpolation` the point alone."""

    stage_index: int
    attempt: int
    step: int
    measurement: Measurement
    point: float | None = None
    of_interpolation: bool = False


@dataclass(frozen=True, kw_only=True)
class EvaluationFailed(Event):
    """A checkpoint or point could not be measured, or a point not written. It is asked `max_tries` times before a
    person is needed. `evaluation_id` is the name under which it was asked (of a point to be written the order's), so
    that a failure is counted once.

    `damaged`, with the reason CHECKPOINT_DAMAGED: the checkpoint (asked about, a baseline or a parent) whose files are
    not those of its manifest.
    """

    stage_index: int
    attempt: int
    step: int
    reason: str
    message: str
    evaluation_id: str = ""
    max_tries: int = MAX_EVALUATION_TRIES
    point: float | None = None
    of_interpolation: bool = False
    damaged: CheckpointRef | None = None


@dataclass(frozen=True, kw_only=True)
class EvaluationWaits(Event):
    """What an evaluation that is under way waits for, for people; empty: nothing any more."""

    evaluation_id: str
    waiting_for: str


@dataclass(frozen=True, kw_only=True)
class CheckpointVoided(Event):
    """A person sets a checkpoint aside."""

    checkpoint: CheckpointRef
    reason: str = ""
    actor: str = "person"


@dataclass(frozen=True, kw_only=True)
class PointWritten(Event):
    """An interpolation is in the store as a checkpoint."""

    stage_index: int
    attempt: int
    point: float
    checkpoint: CheckpointRef
    bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class JobSubmitted(Event):
    """The job server knows the job (also when it knew it before)."""

    submission: int


@dataclass(frozen=True, kw_only=True)
class JobEnded(Event):
    """A job has ended, whatever its end is called, or the job server does not know it."""

    submission: int
    max_restarts: int = MAX_RESTARTS
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class WorkersHung(Event):
    """A worker group shows no progress for too long."""

    submission: int
    message: str
    max_restarts: int = MAX_RESTARTS


@dataclass(frozen=True, kw_only=True)
class DecisionAnnotated(Event):
    """A decision was shown to people."""

    number: int


@dataclass(frozen=True, kw_only=True)
class CheckpointPruned(Event):
    """A checkpoint's files were deleted."""

    checkpoint_id: str
