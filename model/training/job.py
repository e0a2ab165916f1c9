"""What goes into a stage of training, and what it tells and asks while it runs: plain data and one protocol.

`train_stage` (model/training/loop.py) is called with a StageJob and StagePorts. The ports are the only way out of the
torch
core: the Ray worker puts the object store and the orchestrator behind them, a test or a notebook a few lines of
Python.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from model.checkpointing.checkpoint import TrainerState
from model.errors import BadConfig
from model.nn.causal_lm import CausalLM
from model.nn.losses import SoftTargets
from model.training.acceleration import Acceleration
from model.training.lr_schedule import Schedule
from model.training.optimizer import OptimizerSettings

if TYPE_CHECKING:
    from model.dataloader.batch_stream import Batch


class Verdict(StrEnum):
    """What to do at a boundary. The last three end the work on this attempt."""

    CONTINUE = "CONTINUE"
    ADJUST = "ADJUST"
    ROLL_BACK = "ROLL_BACK"
    STOP = "STOP"
    ACCEPT = "ACCEPT"


@dataclass(frozen=True, kw_only=True)
class Directive:
    """A verdict, with the shares and the factor on the learning rate that hold from here on (None: as before)."""

    verdict: Verdict
    shares: Mapping[str, float] | None = None
    lr_scale: float | None = None

    @property
    def continues(self) -> bool:
        """Whether this attempt trains on."""
        return self.verdict in (Verdict.CONTINUE, Verdict.ADJUST)


class Interruption(IntEnum):
    """Why a stage ends between two boundaries. The numbers travel with the gradients, so that every rank learns of it
    in the same step; the greatest one counts."""

    NONE = 0
    LEAVE = 1  # the workers were told to leave: store what there is, and go
    FENCED = 2  # the attempt is somebody else's: write nothing more


class Stream(Protocol):
    """Where batches come from (model/dataloader/batch_stream.py)."""

    rows: int

    def next_batch(self) -> Batch: ...
    def state(self) -> dict[str, Any]: ...
    def restore(self, state: Mapping[str, Any]) -> None: ...
    def set_shares(self, shares: Mapping[str, float]) -> None: ...
    def set_progress(self, fraction: float) -> None: ...
    def record_losses(self, batch: Batch, nats_R: Sequence[float]) -> None: ...

    @property
    def curriculum_level(self) -> float:
        """Level of the curriculum, from 1; 0 without one."""
        ...


class Teacher(Protocol):
    """Who is asked about replayed rows (model/training/distillation.py)."""

    def check(self, model: CausalLM) -> None: ...
    def soft_targets(
        self, inputs_BT: Tensor, segments_BT: Tensor | None, replayed_B: Sequence[str]
    ) -> SoftTargets | None: ...


class Penalty(Protocol):
    """A pull towards other weights (model/training/regularizers.py)."""

    def add_gradient(self) -> None:
        """Add the penalty's gradient to every weight's, after the gradients were summed over the ranks."""
        ...


@dataclass(frozen=True, kw_only=True)
class StageJob:
    """What to train. `model` is trained in place; `resume` is the state to resume from, `optimizer_state` its moments
    (or those of the parent, when the stage keeps them). `micro_rows` 0 chooses by the size of the logits."""

    model: CausalLM
    stream: Stream
    schedule: Schedule
    optimizer: OptimizerSettings
    steps_per_boundary: int
    decision_lag: int = 0
    micro_rows: int = 0
    shares: Mapping[str, float]
    lr_scale: float = 1.0
    resume: TrainerState | None = None
    optimizer_state: Mapping[str, Tensor] | None = None
    penalty: Penalty | None = None
    teacher: Teacher | None = None
    acceleration: Acceleration = field(default_factory=Acceleration)

    @property
    def total_steps(self) -> int:
        """Steps of the whole stage."""
        return self.schedule.total_steps

    def __post_init__(self) -> None:
        if self.steps_per_boundary < 1:
            raise BadConfig("steps_per_boundary", self.steps_per_boundary, "a positive number of steps")
        if self.decision_lag not in (0, 1):
            raise BadConfig("decision_lag", self.decision_lag, "0 or 1")
        if self.micro_rows < 0:
            raise BadConfig("batch.micro_sequences", self.micro_rows, "a number of rows, or 0 to let Retain choose")
        if self.acceleration.sharded and self.penalty is not None:
            raise BadConfig("penalty", "a penalty on weights in pieces", "a stage that is not sharded")
        if self.acceleration.sharded and self.teacher is not None:
            raise BadConfig("penalty.distill", "a teacher beside weights in pieces", "a stage that is not sharded")
        if self.teacher is not None:
            self.teacher.check(self.model)
        if not (math.isfinite(self.lr_scale) and self.lr_scale > 0):
            raise BadConfig("lr_scale", self.lr_scale, "a finite number above 0")


@dataclass(frozen=True, kw_only=True)
class StepProgress:
    """One step, as it is reported: tokens are positions of the stage so far, nats and targets are the sums of this step
    over the loss-bearing tokens of the global batch (so that a mean over several steps is a mean over tokens), seconds
    are those of this attempt."""

    step: int
    tokens: int
    nats: float
    targets: int
    learning_rate: float
    shares: Mapping[str, float]
    curriculum_level: float
    stall_seconds: float
    wait_seconds: float

    @property
    def loss_nats(self) -> float:
        """Nats a target of this step."""
        return self.nats / self.targets


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A boundary's state, copied: training may continue while it is written. loss_nats: mean since the last boundary;
    stall_seconds: how long the copies took. interim: taken between two boundaries, because the workers were told to
    leave; `boundary` is then the last one that was reached (0 before the first)."""

    boundary: int
    model: CausalLM
    optimizer: Mapping[str, Tensor]
    state: TrainerState
    loss_nats: float
    stall_seconds: float
    interim: bool = False


class StagePorts(Protocol):
    """What the first rank tells and asks. Every method may raise; the stage then ends with that error on every rank."""

    def beat(self) -> None:
        """A bit of work was done (a micro-batch)."""
        ...

    def progress(self, progress: StepProgress) -> None:
        """A step was done."""
        ...

    def interrupted(self) -> Interruption:
        """Whether the group is to leave, or the attempt is no longer its own: every rank then leaves the loop in the
        same step."""
        ...

    def publish(self, snapshot: Snapshot) -> None:
        """Store the snapshot as a checkpoint. Returns at once; a snapshot still on its way is waited for."""
        ...

    def directive(self, boundary: int) -> Directive | None:
        """The directive of a boundary. Waits until everything handed over is stored and the verdict is known; None
        when the group was told to leave before that."""
        ...

    def leave(self, snapshot: Snapshot | None) -> None:
        """Told to leave: wait until everything handed over is stored, and this snapshot too. Does not raise when that
        cannot be done: the work since the last checkpoint is lost then, and nothing else."""
        ...


@dataclass(frozen=True, kw_only=True)
class StageOutcome:
    """Where and with which directive the stage ended (None: `interruption` says why), and the seconds spent on copies
    and waiting."""

    directive: Directive | None
    interruption: Interruption = Interruption.NONE
    step: int
    stall_seconds: float
    wait_seconds: float
