"""The training loop beside the same steps written out bare, and what a checkpoint costs it.

    python -m tests.benchmarks.bench_training [--rounds 5] [--steps 12] [--threads 2]

The bare loop takes the same batches through the same model and AdamW with nothing around: no stream, no ports, no
accumulation, no clipping, no checks. Rounds alternate, so that a slow minute of the machine hits both; medians are
shown.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from model.checkpointing import checkpoint
from model.nn.config import preset
from model.nn.llama import Llama
from model.training.job import Directive, Snapshot, StageJob, StepProgress, Verdict
from model.training.loop import train_stage
from model.training.lr_schedule import Schedule, ScheduleKind
from model.training.malloc import keep_freed_memory
from model.training.optimizer import OptimizerSettings, build_optimizer

ROWS, CONTEXT = 8, 256
GOAL_SHARE, GOAL_STALL = 0.98, 0.01


class FixedBatch:
    """One batch again and again."""

    def __init__(self, vocab_size: int) -> None:
        tokens = torch.randint(0, vocab_size, (ROWS, CONTEXT + 1), generator=torch.Generator().manual_seed(0))
        self.inputs_RT, self.targets_RT = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
        self.segments_RT = None


class Stream:
    """A stream of one batch, so that both loops spend their time on the model."""

    rows, curriculum_level = ROWS, 0.0

    def __init__(self, batch: FixedBatch) -> None:
        self.batch = batch

    def next_batch(self) -> Any:
        return self.batch

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: Any) -> None: ...
    def set_shares(self, shares: Any) -> None: ...
    def set_progress(self, fraction: float) -> None: ...
    def record_losses(self, batch: Any, nats_R: Any) -> None: ...


class Ports:
    """Accepts everything; keeps the last snapshot."""

    snapshot: Snapshot | None = None

    def beat(self) -> None: ...
    def progress(self, progress: StepProgress) -> None: ...

    def interrupted(self) -> bool:
        return False

    def publish(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    def directive(self, boundary: int) -> Directive:
        return Directive(verdict=Verdict.CONTINUE)


def bare(name: str, steps: int) -> float:
    """Seconds of the bare loop."""
    model = Llama(preset(name), seed=0)
    batch = FixedBatch(model.config.vocab_size)
    optimizer = build_optimizer(model, OptimizerSettings(learning_rate=1e-3))
    started = time.perf_counter()
    for _ in range(steps):
        sum_nats, _ = model(batch.inputs_RT, targets_BT=batch.targets_RT)
        (sum_nats / batch.targets_RT.numel()).backward()
        optimizer.step()
        optimizer.zero_grad()
    return time.perf_counter() - started


def ours(name: str, steps: int) -> tuple[float, float, Ports]:
    """Seconds of the training loop up to its one boundary, of which so many stood still, and its ports."""
    model, ports = Llama(preset(name), seed=0), Ports()
    job = StageJob(
        model=model,
        stream=Stream(FixedBatch(model.config.vocab_size)),
        schedule=Schedule(kind=ScheduleKind.CONSTANT, total_steps=steps, warmup=0.0),
        optimizer=OptimizerSettings(learning_rate=1e-3),
        steps_per_boundary=steps,
        shares={},
    )
    started = time.perf_counter()
    outcome = train_stage(job, ports)
    return time.perf_counter() - started, outcome.stall_seconds, ports


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    keep_freed_memory()
    print(f"{given.threads} threads, {ROWS} x {CONTEXT} tokens a step, {given.steps} steps, {given.rounds} rounds\n")
    heads = ("preset", "bare tok/s", "ours tok/s", "share", "copies", "of 100k tokens", "write")
    print("{:8} {:>11} {:>11} {:>6}  {:>9} {:>15} {:>9}".format(*heads))
    for name in ("nano", "small"):
        bare(name, 2)
        ours(name, 2)
        plain, full, stalls = [], [], []
        for _ in range(given.rounds):
            plain.append(bare(name, given.steps))
            seconds, stall, ports = ours(name, given.steps)
            full.append(seconds - stall)
            stalls.append(stall)
        tokens = given.steps * ROWS * CONTEXT
        rate, stall = tokens / statistics.median(full), statistics.median(stalls)
        share = statistics.median(plain) / statistics.median(full)
        assert ports.snapshot is not None
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            s = ports.snapshot
            checkpoint.write(Path(folder) / "c", model=s.model, tokenizer=None, optimizer=s.optimizer, state=s.state)
            written = time.perf_counter() - started
        part = stall / (100_000 / rate)
        print(
            f"{name:8} {tokens / statistics.median(plain):11,.0f} {rate:11,.0f} {share:6.3f}  {1e3 * stall:6.1f} ms"
            f" {100 * part:14.3f}% {1e3 * written:6.0f} ms"
        )
    print(f"\ngoals: share at least {GOAL_SHARE}; copies under {GOAL_STALL:.0%} of the time of 100,000 tokens")


if __name__ == "__main__":
    main()
