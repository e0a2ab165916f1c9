"""A tiny model, a stream of synthetic batches and ports on lists: what the tests of the training loop share."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.checkpointing import checkpoint
from model.checkpointing.checkpoint import TrainerState
from model.checkpointing.hf import load_pretrained
from model.nn.config import ModelConfig
from model.nn.llama import Llama
from model.training.job import Directive, Interruption, Snapshot, StageJob, StepProgress, Verdict
from model.training.lr_schedule import Schedule, ScheduleKind
from model.training.optimizer import OptimizerSettings

CONFIG = ModelConfig(vocab_size=61, context=16, width=16, layers=2, heads=2, kv_heads=1, ffn_width=32)
ROWS = 4


@dataclass(frozen=True, kw_only=True)
class SyntheticBatch:
    inputs_RT: Tensor  # noqa: N815
    targets_RT: Tensor  # noqa: N815
    segments_RT: Tensor | None = None  # noqa: N815
    source_R: tuple[str, ...] = ()  # noqa: N815


class SyntheticStream:
    """Batches that follow from (seed, cursor, shares): a target source that counts up and a replay source that counts
    down, mixed by error diffusion over rows."""

    curriculum_level = 0

    def __init__(self, *, seed: int = 0, rows: int = ROWS, context: int = CONFIG.context) -> None:
        self.seed, self.rows, self.context = seed, rows, context
        self.cursor, self.debt = 0, 0.0
        self.shares: dict[str, float] = {}
        self.drawn: list[int] = []
        self.observed: list[list[float]] = []

    def next_batch(self) -> SyntheticBatch:
        rows, sources = [], []
        for _ in range(self.rows):
            generator = torch.Generator().manual_seed(self.seed * 100_003 + self.cursor)
            begin = int(torch.randint(0, CONFIG.vocab_size, (), generator=generator))
            self.debt += self.shares.get("general", 0.0)
            direction = -1 if self.debt >= 1.0 else 1
            sources.append("target" if direction == 1 else "general")
            self.debt -= float(self.debt >= 1.0)
            rows.append((begin + direction * torch.arange(self.context + 1)) % CONFIG.vocab_size)
            self.drawn.append(self.cursor)
            self.cursor += 1
        tokens = torch.stack(rows)
        return SyntheticBatch(
            inputs_RT=tokens[:, :-1].clone(), targets_RT=tokens[:, 1:].clone(), source_R=tuple(sources)
        )

    def state(self) -> dict[str, Any]:
        return {"cursor": self.cursor, "debt": self.debt, "shares": self.shares}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.cursor, self.debt, self.shares = state["cursor"], state["debt"], dict(state["shares"])

    def set_shares(self, shares: Mapping[str, float]) -> None:
        self.shares = dict(shares)

    def record_losses(self, batch: SyntheticBatch, nats_R: Sequence[float]) -> None:
        self.observed.append(list(nats_R))

    def set_progress(self, fraction: float) -> None:
        assert 0.0 <= fraction < 1.0


@dataclass
class ListPorts:
    """Ports that remember. `directives` by boundary; CONTINUE for the others, ACCEPT at `last`."""

    last: int
    directives: dict[int, Directive] = field(default_factory=dict)
    kill_at_step: int | None = None
    interrupt_at_step: int | None = None
    leave_at_step: int | None = None
    leave_at_boundary: int | None = None
    interim: Snapshot | None = None
    beats: int = 0
    losses: list[float] = field(default_factory=list)
    steps: list[StepProgress] = field(default_factory=list)
    snapshots: dict[int, Snapshot] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    def beat(self) -> None:
        self.beats += 1

    def progress(self, progress: StepProgress) -> None:
        if self.kill_at_step == progress.step:
            raise KeyboardInterrupt(f"killed at step {progress.step}")
        self.steps.append(progress)
        self.losses.append(progress.loss_nats)

    def interrupted(self) -> Interruption:
        if self.interrupt_at_step is not None and len(self.steps) >= self.interrupt_at_step:
            return Interruption.FENCED
        told = self.leave_at_step is not None and len(self.steps) >= self.leave_at_step
        return Interruption.LEAVE if told else Interruption.NONE

    def leave(self, snapshot: Snapshot | None) -> None:
        self.log.append("leave")
        self.interim = snapshot

    def publish(self, snapshot: Snapshot) -> None:
        self.log.append(f"publish {snapshot.boundary}")
        self.snapshots[snapshot.boundary] = snapshot

    def directive(self, boundary: int) -> Directive | None:
        self.log.append(f"directive {boundary}")
        if boundary == self.leave_at_boundary:
            return None
        default = Verdict.ACCEPT if boundary == self.last else Verdict.CONTINUE
        return self.directives.get(boundary, Directive(verdict=default))


def fresh_model(seed: int = 0) -> Llama:
    return Llama(CONFIG, seed=seed)


def make_job(total_steps: int = 12, **changes: Any) -> StageJob:
    """A job over the synthetic stream; boundaries every 4 steps unless told otherwise."""
    settings: dict[str, Any] = {
        "model": fresh_model(),
        "stream": SyntheticStream(),
        "schedule": Schedule(kind=ScheduleKind.COSINE, total_steps=total_steps, warmup=0.1, floor=0.1),
        "optimizer": OptimizerSettings(learning_rate=0.01),
        "steps_per_boundary": 4,
        "shares": {"general": 0.3},
    }
    return StageJob(**{**settings, **changes})


def resumed(folder: Path, job: Callable[..., StageJob] = make_job, **changes: Any) -> StageJob:
    """The job that resumes from a checkpoint folder, with everything read from its files."""
    state = checkpoint.load_state(folder)
    given: dict[str, Any] = {"shares": state.shares, "lr_scale": state.lr_scale}
    return job(
        **{
            **given,
            **changes,
            "model": load_pretrained(folder / "model"),
            "resume": state,
            "optimizer_state": checkpoint.load_optimizer(folder),
        }
    )


def write_snapshot(snapshot: Snapshot, folder: Path) -> Path:
    """The checkpoint folder of a snapshot."""
    checkpoint.write(folder, model=snapshot.model, tokenizer=None, optimizer=snapshot.optimizer, state=snapshot.state)
    return folder


def weights_sha256(model: Llama, folder: Path) -> str:
    """SHA-256 of the model.safetensors that the model is written to."""
    from model.checkpointing.hf import save_pretrained

    save_pretrained(copy.deepcopy(model), folder)
    return checkpoint.file_sha256(folder / "model.safetensors")


def a_state(**changes: Any) -> TrainerState:
    given: dict[str, Any] = {
        "step": 4,
        "tokens": 256,
        "stream": {"cursor": 16},
        "shares": {"general": 0.1},
        "lr_scale": 1.0,
        "rng": checkpoint.rng_now(),
    }
    return TrainerState(**{**given, **changes})
