"""What the core asks for. Records are made durable together with the new state; commands are carried out afterwards.

Every command may be carried out twice: the other side knows it by its name (submission number, evaluation id, key).
`after_s`: seconds to wait from the moment that the command is first seen to be due (domain/run/backoff.py).
"""

from dataclasses import dataclass

from retain.values import Baseline, CheckpointRef, Decision, EvalSetRef, PointKind, ProbeRequest
from services.orchestrator.domain.metrics.points import Point
from services.orchestrator.domain.run.state import Checkpoint


@dataclass(frozen=True, kw_only=True)
class RecordDecision:
    """Write a decision in the same transaction as the state."""

    decision: Decision


@dataclass(frozen=True, kw_only=True)
class RecordCheckpoint:
    """Write or overwrite a checkpoint's row in the same transaction as the state."""

    checkpoint: Checkpoint


@dataclass(frozen=True, kw_only=True)
class RecordPoint:
    """Keep figures of a stage, in the same transaction as the state: a report, or what was measured at a boundary."""

    stage_index: int
    bucket: int
    point: Point
    of_boundary: bool = False


@dataclass(frozen=True, kw_only=True)
class SubmitJob:
    """Start the worker group with this number."""

    submission: int
    after_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class StopJob:
    """Stop a worker group unless it has ended by itself within `after_s`."""

    submission: int
    after_s: float


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Have a checkpoint measured, and wait for the result. `point`: the one that a written checkpoint lies at, or with
    `parent` the one to be made of both, of which kind. `base`: what the stage begins at, the first row of its history;
    None is random weights. `probe`: ask the probe too, of `base` and the checkpoint."""

    evaluation_id: str
    stage_index: int
    stage: str
    attempt: int
    checkpoint: CheckpointRef
    sets: tuple[EvalSetRef, ...]
    baselines: tuple[Baseline, ...]
    train_loss_nats: float
    point: float | None = None
    kind: PointKind = PointKind.SEGMENT
    parent: CheckpointRef | None = None
    base: CheckpointRef | None = None
    probe: ProbeRequest | None = None
    after_s: float = 0.0

    @property
    def of_interpolation(self) -> bool:
        """Whether an interpolation from `parent` to `checkpoint` is asked about, not the checkpoint itself."""
        return self.parent is not None


@dataclass(frozen=True, kw_only=True)
class WritePoint:
    """Have an interpolation from `parent` to `result` written to `uri` as a checkpoint. `order_id` names this try,
    `checkpoint_id` what is written: the same bytes whenever it is tried."""

    order_id: str
    checkpoint_id: str
    stage_index: int
    attempt: int
    point: float
    result: CheckpointRef
    parent: CheckpointRef
    uri: str
    kind: PointKind = PointKind.SEGMENT
    after_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Annotate:
    """Show a decision to people where they look at graphs."""

    number: int


@dataclass(frozen=True, kw_only=True)
class Prune:
    """Delete a checkpoint's files, all but its manifest."""

    checkpoint_id: str
    uri: str


Record = RecordDecision | RecordCheckpoint | RecordPoint
Command = SubmitJob | StopJob | Evaluate | WritePoint | Annotate | Prune


def name_of(command: Command) -> tuple[str, str | int]:
    """What tells one command of a run from another: its kind, and the name that the other side knows it by."""
    match command:
        case SubmitJob() | StopJob():
            return type(command).__name__, command.submission
        case Evaluate():
            return type(command).__name__, command.evaluation_id
        case WritePoint():
            return type(command).__name__, command.order_id
        case Annotate():
            return type(command).__name__, command.number
        case Prune():
            return type(command).__name__, command.checkpoint_id


def wait_of(command: Command) -> float:
    """Seconds to wait from the moment that the command is first seen to be due."""
    return getattr(command, "after_s", 0.0)
