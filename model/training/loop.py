"""One stage of training, read top to bottom: plain torch, without Ray and without any service.

A step draws one global batch, computes this rank's rows of it in micro-batches, sums the gradients over the ranks and
takes one step of AdamW. The loss is summed nats over the loss-bearing tokens of the *global* batch, so that neither
the number of micro-batches nor that of workers changes what is minimised.

At a boundary (every `steps_per_boundary` steps and at the end) a snapshot is handed over to be stored, and a directive
returns: continue, continue with another mix or learning rate, go back, stop, accept. With a lag of 0 the directive is
the verdict on this very snapshot; with a lag of 1 it is the verdict on the one before, so that evaluation and training
overlap, and this snapshot is handed over only once that verdict is known. The last boundary always has a lag of 0.

Told to leave (a machine is drained), every rank finishes the same step, an interim snapshot is stored, and the stage
returns. It is no boundary: nothing is asked about it, and a resumed stage trains on to the next one.

The next batch is a pure function of the stream's state, the state is part of every snapshot, and a resumed stage asks
for the directive of its snapshot again: a stage killed at any moment ends with the same bits as one left alone (same
number of workers, on a CPU).
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from model.checkpointing import checkpoint
from model.checkpointing.checkpoint import TrainerState
from model.errors import EmptyBatch, NonFinite
from model.nn.lora import lora_state, merged_copy
from model.nn.losses import count_targets
from model.training.data_parallel import Gradients, Replicas, Sharded, whole_copy
from model.training.job import Directive, Interruption, Snapshot, StageJob, StageOutcome, StagePorts, StepProgress
from model.training.optimizer import build_optimizer, load_state_tensors, set_learning_rate, state_tensors
from model.training.process_group import ProcessGroup

if TYPE_CHECKING:
    from model.dataloader.batch_stream import Batch

# Prefix of the adapters' own tensors (LoRA), which a checkpoint keeps beside their moments: its weights are merged.
ADAPTER = "adapter."
# Rows whose whole logits would take this much are computed at once. The loss never holds them all, but what else a row
# needs grows with the same sizes, and rows that fit into this stay near the cores' caches.
LOGITS_BYTES = 64 * 1024 * 1024

# Shapes: R rows of the global batch, B rows of a micro-batch, T tokens of a row.


def train_stage(job: StageJob, ports: StagePorts, group: ProcessGroup | None = None) -> StageOutcome:
    """Train until a directive ends it or the last boundary is decided. The same call on every rank; `ports` are used
    on the first only. Raises EmptyBatch, NonFinite, and whatever a port raises."""
    group = group or ProcessGroup()
    model = job.acceleration.apply(job.model).train()
    sharded = job.acceleration.sharded and group.size > 1
    gradients: Gradients = Sharded(model, group) if sharded else Replicas(model, group, rows=job.stream.rows)
    optimizer = build_optimizer(model, job.optimizer)
    at = _start(job, optimizer)
    while True:
        if at.step > 0 and (at.step == job.total_steps or at.step % job.steps_per_boundary == 0):
            directive = _boundary(at, job, ports, optimizer, group)
            if directive is None or not directive.continues or at.step == job.total_steps:
                return at.outcome(directive, Interruption.NONE if directive else Interruption.LEAVE)

        job.stream.set_progress(at.step / job.total_steps)
        batch = job.stream.next_batch()
        targets = count_targets(batch.targets_RT)
        if targets == 0:
            raise EmptyBatch(f"step {at.step}", "a batch without target tokens", "at least one target token")
        gradients.zero()
        interrupt = ports.interrupted() if group.is_rank_zero else Interruption.NONE
        nats_R, interrupted = gradients.sum_over_group(_backward(job, batch, targets, ports, group), interrupt)
        if interrupted == Interruption.FENCED:
            return at.outcome(None, Interruption.FENCED)
        if job.penalty is not None:
            job.penalty.add_gradient()
        nats, norm = math.fsum(nats_R), gradients.clip(job.optimizer.clip)
        if not (math.isfinite(nats) and math.isfinite(norm)):
            raise NonFinite(f"training loss at step {at.step}", f"{nats} nats, gradient norm {norm}", "finite numbers")
        at.learning_rate = job.optimizer.learning_rate * job.schedule.factor(at.step) * at.lr_scale
        set_learning_rate(optimizer, at.learning_rate)
        optimizer.step()
        job.stream.record_losses(batch, nats_R)

        at.count(batch, nats, targets)
        if group.is_rank_zero:
            ports.progress(at.progress(nats, targets, job.stream.curriculum_level))
        if interrupted == Interruption.LEAVE:
            _leave(at, job, ports, optimizer, group)
            return at.outcome(None, Interruption.LEAVE)


@dataclass(kw_only=True)
class _Position:
    """Where a stage stands. `stored_step`: the last step whose boundary needs no checkpoint: it is there already."""

    step: int
    tokens: int
    stored_step: int
    shares: dict[str, float]
    lr_scale: float
    learning_rate: float = 0.0
    interval_nats: float = 0.0
    interval_targets: int = 0
    stall_seconds: float = 0.0
    wait_seconds: float = 0.0

    def count(self, batch: Batch, nats: float, targets: int) -> None:
        self.step += 1
        self.tokens += batch.inputs_RT.numel()
        self.interval_nats += nats
        self.interval_targets += targets

    def progress(self, nats: float, targets: int, curriculum_level: float) -> StepProgress:
        return StepProgress(
            step=self.step,
            tokens=self.tokens,
            nats=nats,
            targets=targets,
            learning_rate=self.learning_rate,
            shares=self.shares,
            curriculum_level=curriculum_level,
            stall_seconds=self.stall_seconds,
            wait_seconds=self.wait_seconds,
        )

    def outcome(self, directive: Directive | None, interruption: Interruption) -> StageOutcome:
        return StageOutcome(
            directive=directive,
            interruption=interruption,
            step=self.step,
            stall_seconds=self.stall_seconds,
            wait_seconds=self.wait_seconds,
        )


def _start(job: StageJob, optimizer: torch.optim.Optimizer) -> _Position:
    """Put everything where the job says that it stood. The job's shares and LR scale are those of *now*; an interim
    state resumes in the midst of an interval, with what the interval began with."""
    if job.optimizer_state:
        load_state_tensors(optimizer, job.model, job.optimizer_state)
    shares, resume = dict(job.shares), job.resume
    if resume is None:
        job.stream.set_shares(shares)
        return _Position(step=0, tokens=0, stored_step=0, shares=shares, lr_scale=job.lr_scale)
    job.stream.restore(resume.stream)
    checkpoint.set_rng(resume.rng)
    if resume.interim:
        return _Position(
            step=resume.step,
            tokens=resume.tokens,
            stored_step=resume.step - 1,  # taken at a boundary, it is not that boundary's checkpoint
            shares=dict(resume.shares),
            lr_scale=resume.lr_scale,
            interval_nats=resume.interval_nats,
            interval_targets=resume.interval_targets,
        )
    if shares != resume.shares:
        job.stream.set_shares(shares)
    return _Position(
        step=resume.step, tokens=resume.tokens, stored_step=resume.step, shares=shares, lr_scale=job.lr_scale
    )


def _backward(job: StageJob, batch: Batch, targets: int, ports: StagePorts, group: ProcessGroup) -> Tensor:
    """Add this rank's part of the gradient of (summed nats / targets of the global batch); returns nats_R, its rows'
    losses and zero for the rows of other ranks."""
    device = next(job.model.parameters()).device
    count = batch.inputs_RT.shape[0]
    nats_R = torch.zeros(count, device=device)
    rows = range(count)[group.rows(count)]
    for begin in range(rows.start, rows.stop, _micro_rows(job, batch)):
        part = slice(begin, min(begin + _micro_rows(job, batch), rows.stop))
        targets_BT = batch.targets_RT[part].to(device, non_blocking=True)
        segments_BT = None if batch.segments_RT is None else batch.segments_RT[part].to(device, non_blocking=True)
        with job.acceleration.autocast(device):
            inputs_BT = batch.inputs_RT[part].to(device, non_blocking=True)
            soft = None
            if job.teacher is not None:  # old text has a share; what is learned has none
                replayed_B = [name if name in job.shares else "" for name in batch.source_R[part]]
                soft = job.teacher.soft_targets(inputs_BT, segments_BT, replayed_B)
            total, nats_BT = job.model(inputs_BT, segments_BT=segments_BT, targets_BT=targets_BT, soft=soft)
        (total / targets).backward()
        nats_R[part] = nats_BT.sum(dim=1)
        if group.is_rank_zero:
            ports.beat()
    return nats_R


def _micro_rows(job: StageJob, batch: Batch) -> int:
    """Rows computed at once. By arithmetic only, never by what this machine has: it decides how sums round."""
    if job.micro_rows:
        return job.micro_rows
    logits_bytes_of_row: int = 4 * batch.inputs_RT.shape[1] * job.model.config.vocab_size
    return max(1, LOGITS_BYTES // logits_bytes_of_row)


def _boundary(
    at: _Position, job: StageJob, ports: StagePorts, optimizer: torch.optim.Optimizer, group: ProcessGroup
) -> Directive | None:
    """Hand over a snapshot, get the directive, and make it hold. A checkpoint that exists is only asked about. None:
    told to leave before the directive was known; what was not handed over yet is stored as an interim checkpoint."""
    boundary = -(-at.step // job.steps_per_boundary)
    lag = 0 if at.step == job.total_steps else job.decision_lag
    new = at.step > at.stored_step
    snapshot = _snapshot(at, job, optimizer, group, boundary=boundary) if new and _hands_over(job, group) else None
    asked = time.perf_counter()

    def decide() -> Directive | None:
        if snapshot is not None and lag == 0:
            ports.publish(snapshot)
        directive = ports.directive(boundary)
        if directive is None:
            ports.leave(_interim(snapshot, at, job) if snapshot is not None and lag == 1 else None)
        elif snapshot is not None and lag == 1 and directive.continues:
            ports.publish(snapshot)
        return directive

    directive = group.run_on_rank_zero(decide)
    at.stall_seconds += snapshot.stall_seconds if snapshot is not None else 0.0
    at.wait_seconds += time.perf_counter() - asked
    if directive is None:
        return None
    if directive.shares is not None and dict(directive.shares) != at.shares:
        at.shares = dict(directive.shares)
        job.stream.set_shares(at.shares)
    if directive.lr_scale is not None:
        at.lr_scale = directive.lr_scale
    at.interval_nats, at.interval_targets = 0.0, 0
    return directive


def _leave(
    at: _Position, job: StageJob, ports: StagePorts, optimizer: torch.optim.Optimizer, group: ProcessGroup
) -> None:
    """Store what there is between two boundaries."""
    snapshot = _snapshot(at, job, optimizer, group, boundary=0) if _hands_over(job, group) else None
    group.run_on_rank_zero(lambda: ports.leave(_interim(snapshot, at, job) if snapshot is not None else None))


def _hands_over(job: StageJob, group: ProcessGroup) -> bool:
    """Whether this rank makes a snapshot: the first does, and all do when each holds a piece of the model."""
    return group.is_rank_zero or (job.acceleration.sharded and group.size > 1)


def _interim(snapshot: Snapshot, at: _Position, job: StageJob) -> Snapshot:
    """The snapshot as one that belongs to no boundary."""
    state = replace(
        snapshot.state,
        interim=True,
        interval_nats=at.interval_nats,
        interval_targets=at.interval_targets,
    )
    return replace(snapshot, state=state, boundary=(at.step - 1) // job.steps_per_boundary, interim=True)


def _snapshot(
    at: _Position, job: StageJob, optimizer: torch.optim.Optimizer, group: ProcessGroup, *, boundary: int
) -> Snapshot:
    """Copies of all that a resume needs, so that training may continue while they are written."""
    started = time.perf_counter()
    state = TrainerState(
        step=at.step,
        tokens=at.tokens,
        stream=copy.deepcopy(job.stream.state()),
        shares=at.shares,
        lr_scale=at.lr_scale,
        rng=checkpoint.rng_now(),
        world_size=group.size,
    )
    adapters = {f"{ADAPTER}{name}": tensor for name, tensor in lora_state(job.model).items()}
    sharded = job.acceleration.sharded and group.size > 1
    weights = whole_copy(job.model) if sharded else merged_copy(job.model)
    moments = state_tensors(optimizer, job.model) | adapters
    return Snapshot(
        boundary=boundary,
        model=weights,
        optimizer=moments,
        state=state,
        loss_nats=at.interval_nats / at.interval_targets,
        stall_seconds=time.perf_counter() - started,
    )
