"""What a plan says beside what training takes: memory of a worker at its peak, and time after a probe of ten steps.

    python -m tests.benchmarks.bench_plan [--steps 40] [--only NAME ...]

Each shape is trained in a process of its own by the training loop, with a checkpoint written halfway and at the end.
Counted is `memory_of` of the plan, with the process's own size as it was measured before it had a model and what the
libraries take with their first step; measured is the process's largest resident size (VmHWM). Time is predicted from
the mean of the steps two to eleven (the first one loads and allocates), times all steps, and measured from the second
step to the last, checkpoints left out on both sides. A machine that others use meanwhile measures them too.
Goals: memory within 15 %, time within 25 %.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from model.checkpointing import checkpoint
from model.nn.config import preset
from model.nn.llama import Llama
from model.nn.lora import add_lora
from model.training.acceleration import Acceleration
from model.training.distillation import Distillation
from model.training.job import Directive, Interruption, Snapshot, StageJob, StepProgress, Verdict
from model.training.loop import train_stage
from model.training.lr_schedule import Schedule, ScheduleKind
from model.training.malloc import keep_freed_memory
from model.training.optimizer import OptimizerSettings
from services.orchestrator.domain.spec.model_size import sizes_of_preset
from services.orchestrator.domain.spec.needs.memory import LORA_RUNTIME_BYTES, memory_of
from services.orchestrator.domain.spec.needs.shape import Shape

PROBE = 10
GOAL_MEMORY, GOAL_TIME = 0.15, 0.25
FIRST_STEP_BYTES = 60_000_000  # kernels, thread pools and arenas that a process has after its first step


@dataclass(frozen=True, kw_only=True)
class Case:
    """A stage to train: `rows` of a step, `micro` of them at once."""

    preset: str
    vocabulary: int
    context: int
    rows: int
    micro: int
    checkpointing: bool = False
    adapters: int = 0
    teacher: bool = False
    packed: bool = False

    @property
    def shape(self) -> Shape:
        """As the plan sees it."""
        sizes = sizes_of_preset(self.preset, self.vocabulary)
        assert sizes is not None
        return Shape(
            sizes=sizes,
            rows=self.micro,
            context=self.context,
            checkpointing=self.checkpointing,
            adapters=self.adapters,
            packed=self.packed,
            held=int(self.teacher),
            asked=self.teacher,
        )


CASES: Mapping[str, Case] = MappingProxyType(
    {
        "nano, 8 rows": Case(preset="nano", vocabulary=4_096, context=256, rows=8, micro=8),
        "nano, 16 rows by 4": Case(preset="nano", vocabulary=4_096, context=256, rows=16, micro=4),
        "micro, 4 rows": Case(preset="micro", vocabulary=8_192, context=256, rows=4, micro=4),
        "micro, packed rows": Case(preset="micro", vocabulary=4_096, context=256, rows=4, micro=4, packed=True),
        "micro, checkpointing": Case(
            preset="micro", vocabulary=8_192, context=256, rows=8, micro=8, checkpointing=True
        ),
        "micro, adapters": Case(preset="micro", vocabulary=8_192, context=256, rows=4, micro=4, adapters=8),
        "micro, teacher": Case(preset="micro", vocabulary=8_192, context=256, rows=4, micro=4, teacher=True),
        "small, 4 rows": Case(preset="small", vocabulary=4_096, context=256, rows=4, micro=4),
        "small, vocabulary 32k": Case(preset="small", vocabulary=32_768, context=128, rows=1, micro=1),
    }
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--only", nargs="*", choices=list(CASES), default=list(CASES))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(train(CASES[given.child], given.steps)))
        return 0
    print(f"{given.steps} steps, one thread; memory above the process before it had a model\n")
    heads = ("shape", "counted", "measured", "off by", "predicted", "took", "off by")
    print("{:22} {:>9} {:>9} {:>7}  {:>9} {:>8} {:>7}".format(*heads))
    memory, above, seconds = [], [], []
    for name in given.only:
        command = [sys.executable, "-m", "tests.benchmarks.bench_plan", "--child", name, "--steps", str(given.steps)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        first = FIRST_STEP_BYTES + (LORA_RUNTIME_BYTES if CASES[name].adapters else 0)
        counted = memory_of(CASES[name].shape, runtime_bytes=first).total_bytes
        took = found["peak_bytes"] - found["before_bytes"]
        above.append(counted / took - 1)
        memory.append((counted + found["before_bytes"]) / found["peak_bytes"] - 1)
        predicted, real = found["predicted_s"], found["took_s"]
        seconds.append(predicted / real - 1)
        print(
            f"{name:22} {counted / 1e6:6.0f} MB {took / 1e6:6.0f} MB {above[-1]:+7.1%}  "
            f"{predicted:7.1f} s {real:6.1f} s {seconds[-1]:+7.1%}",
            flush=True,
        )
    kinds = (
        ("memory of the process", memory, GOAL_MEMORY),
        ("memory above the process", above, GOAL_MEMORY),
        ("time", seconds, GOAL_TIME),
    )
    for what, off, goal in kinds:
        inside = sum(abs(one) <= goal for one in off)
        print(f"{what}: {inside} of {len(off)} within {goal:.0%}, the largest {max(off, key=abs):+.1%}")
    return 0


class Batch:
    """One batch of random tokens, all of them old text where there is a teacher."""

    def __init__(self, case: Case) -> None:
        generator = torch.Generator().manual_seed(0)
        tokens = torch.randint(0, case.vocabulary, (case.rows, case.context + 1), generator=generator)
        self.inputs_RT, self.targets_RT = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
        self.segments_RT = torch.zeros_like(self.inputs_RT, dtype=torch.int32) if case.packed else None
        self.source_R = ["general"] * case.rows


class Stream:
    """The same batch again and again."""

    curriculum_level = 0.0

    def __init__(self, case: Case) -> None:
        self.rows, self.batch = case.rows, Batch(case)

    def next_batch(self) -> Any:
        return self.batch

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: Any) -> None: ...
    def set_shares(self, shares: Any) -> None: ...
    def set_progress(self, fraction: float) -> None: ...
    def record_losses(self, batch: Any, nats_R: Any) -> None: ...


class Ports:
    """Writes every checkpoint; keeps the time of each step, from the one before it or its boundary."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.last_s = time.perf_counter()

    def beat(self) -> None: ...

    def progress(self, progress: StepProgress) -> None:
        self.seconds.append(time.perf_counter() - self.last_s)
        self.last_s = time.perf_counter()

    def interrupted(self) -> Interruption:
        return Interruption.NONE

    def publish(self, snapshot: Snapshot) -> None:
        model, moments, state = snapshot.model, snapshot.optimizer, snapshot.state
        with tempfile.TemporaryDirectory() as folder:
            checkpoint.write(Path(folder) / "c", model=model, tokenizer=None, optimizer=moments, state=state)

    def directive(self, boundary: int) -> Directive:
        self.last_s = time.perf_counter()
        return Directive(verdict=Verdict.CONTINUE)

    def leave(self, snapshot: Snapshot | None) -> None: ...


def train(case: Case, steps: int) -> dict[str, float]:
    """Trains one shape in this process; its sizes in bytes and its times in seconds."""
    torch.set_num_threads(1)
    keep_freed_memory()
    before = _status("VmRSS")
    config = preset(case.preset, vocab_size=case.vocabulary, context=case.context)
    model = Llama(config, seed=0)
    teacher = Distillation(Llama(config, seed=1), strength=1.0) if case.teacher else None
    if case.adapters:
        add_lora(model, rank=case.adapters)
    ports = Ports()
    job = StageJob(
        model=model,
        stream=Stream(case),
        schedule=Schedule(kind=ScheduleKind.CONSTANT, total_steps=steps, warmup=0.0),
        optimizer=OptimizerSettings(learning_rate=1e-4),
        steps_per_boundary=-(-steps // 2),
        micro_rows=case.micro,
        shares={"general": 1.0} if teacher else {},
        teacher=teacher,
        acceleration=Acceleration(activation_checkpointing=case.checkpointing),
    )
    train_stage(job, ports)
    probe = ports.seconds[1 : 1 + PROBE]
    return {
        "before_bytes": before,
        "peak_bytes": _status("VmHWM"),
        "predicted_s": sum(probe) / len(probe) * (steps - 1),
        "took_s": sum(ports.seconds[1:]),
    }


def _status(name: str) -> int:
    """A size of this process in bytes, as /proc has it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024


if __name__ == "__main__":
    sys.exit(main())
