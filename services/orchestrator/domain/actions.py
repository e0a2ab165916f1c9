"""What the core asks for. Records are written together with the new state; effects are carried out afterwards.

Every effect may be carried out twice: the other side knows it by its name (submission number, evaluation id, key).
"""

from dataclasses import dataclass

from services.orchestrator.domain.decision import Decision
from services.orchestrator.domain.run_state import Checkpoint
from services.orchestrator.domain.values import CheckpointRef, EvalSetRef


@dataclass(frozen=True, kw_only=True)
class RecordDecision:
    """Write a decision in the same transaction as the state."""

    decision: Decision


@dataclass(frozen=True, kw_only=True)
class RecordCheckpoint:
    """Write or overwrite a checkpoint's row in the same transaction as the state."""

    checkpoint: Checkpoint


@dataclass(frozen=True, kw_only=True)
class SubmitJob:
    """Start the worker group with this number."""

    submission: int


@dataclass(frozen=True, kw_only=True)
class StopJob:
    """Stop a worker group from `at_s` (Unix seconds) on, unless it has ended by itself by then."""

    submission: int
    at_s: float


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """What a retention set is compared with."""

    set_name: str
    checkpoint: CheckpointRef


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Have a checkpoint measured, and wait for the answer. `point`: the one that a written checkpoint lies at, or with
    `parent` the one to be measured of the line."""

    evaluation_id: str
    stage_index: int
    stage: str
    attempt: int
    checkpoint: CheckpointRef
    sets: tuple[EvalSetRef, ...]
    baselines: tuple[Baseline, ...]
    train_loss_nats: float
    point: float | None = None
    parent: CheckpointRef | None = None

    @property
    def of_the_line(self) -> bool:
        """Whether a point of the line from `parent` to `checkpoint` is asked about, not the checkpoint itself."""
        return self.parent is not None


@dataclass(frozen=True, kw_only=True)
class WritePoint:
    """Have a point of the line from `parent` to `result` written to `uri` as a checkpoint."""

    checkpoint_id: str
    stage_index: int
    attempt: int
    point: float
    result: CheckpointRef
    parent: CheckpointRef
    uri: str


@dataclass(frozen=True, kw_only=True)
class Annotate:
    """Show a decision to people where they look at graphs."""

    number: int


@dataclass(frozen=True, kw_only=True)
class Prune:
    """Delete a checkpoint's files, all but its manifest."""

    checkpoint_id: str
    uri: str


Effect = SubmitJob | StopJob | Evaluate | WritePoint | Annotate | Prune
Action = RecordDecision | RecordCheckpoint | Effect
