"""The whole platform: how soon it trains, what it costs in speed beside the same loop alone, how fast stages change.

    python -m tests.benchmarks.bench_platform [--rounds 3]

A stack is started in a folder of its own. A round is a run of two stages through it, then the first stage's loop once
more in a process without Ray, orchestrator or store: same code, model, data and threads. Times of the platform are
those that its workers logged; time stalled by checkpoints and waited for verdicts is kept apart.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
from google.protobuf import json_format

from retain.orchestrator.v1 import stage_control_service_pb2 as control_pb2
from tests.e2e.stack import Stack, until_ended
from ui.client.client import RetainClient
from ui.client.views import Run

ROWS, CONTEXT, STEPS, EVERY = 16, 256, 96, 48
SPEC: dict[str, Any] = {
    "name": "bench",
    "model": {"preset": "nano", "context": CONTEXT},
    "tokenizer": {"train": {"vocab_size": 2048}},
    "stages": [
        {
            "kind": "PRETRAIN",
            "data": {"general": "sample://docs", "max_tokens": 300_000},
            "duration": {"steps": STEPS},
            "learning_rate": 1e-3,
            "batch": {"sequences": ROWS},
        },
        {
            "kind": "MIDTRAIN",
            "domain": "MATH",
            "data": {"domain": "sample://math", "general": "sample://docs", "max_tokens": 300_000},
            "duration": {"steps": EVERY},
            "learning_rate": 1e-5,
            "batch": {"sequences": ROWS},
        },
    ],
    "evaluation": {"every": {"steps": EVERY}, "tokens_per_set": 15_000},
    "compute": {"workers": 1, "cpus_per_worker": 1},
}


@dataclass(frozen=True, kw_only=True)
class Round:
    """One run: tokens a second between boundaries, shares of the stages' wall time, seconds between the stages."""

    rate: float
    stalled: float
    waited: float
    between_s: float


def round_of(client: RetainClient, run_id: str, since: datetime) -> Round:
    """The figures of a run that has ended; the last lines of its worker's log may come some seconds later."""
    for _ in range(60):
        figures = read_log("".join(piece.text for piece in client.logs(run_id)), since)
        if figures is not None:
            return figures
        time.sleep(0.5)
    raise SystemExit(f"the log of {run_id} does not tell of the end of both stages")


def read_log(text: str, since: datetime) -> Round | None:
    """The figures in a worker's log, from `since` on; None as long as the end of a stage is missing."""
    begins, ends = [], []
    for line in text.splitlines():
        if "{" not in line:
            continue
        try:
            event = json.loads(line[line.index("{") :])
        except json.JSONDecodeError:
            continue  # a line of Ray's own that holds a brace
        event["at"] = datetime.fromisoformat(event["timestamp"]) if "timestamp" in event else since
        if event.get("event") == "loaded":
            begins.append(event["at"])
        elif event.get("event") == "the attempt ended":
            ends.append(event)
    if len(ends) < len(SPEC["stages"]):
        return None
    walls = [(end["at"] - begin).total_seconds() for begin, end in zip(begins, ends, strict=True)]
    stall, wait = (sum(end[name] for end in ends) for name in ("stall_seconds", "wait_seconds"))
    trained = walls[0] - ends[0]["stall_seconds"] - ends[0]["wait_seconds"]
    return Round(
        rate=STEPS * ROWS * CONTEXT / trained,
        stalled=stall / sum(walls),
        waited=wait / sum(walls),
        between_s=(begins[1] - ends[0]["at"]).total_seconds(),
    )


def work_of(run: Run) -> control_pb2.StageWork:
    """The first stage's assignment, as the orchestrator gave it to the worker."""
    work = control_pb2.StageWork(name="pretrain", target="general", total_steps=STEPS, steps_per_boundary=STEPS)
    json_format.ParseDict(run.resource["spec"], work.spec)
    for folder in run.resource["status"]["prepared"]:
        place = {"tokenizer": work.tokenizer}.get(folder["name"])
        if place is None and folder["name"] == "general":
            place = work.shards.add()
        if place is not None:
            json_format.ParseDict(folder, place)
    return work


def bare(work_file: Path, cache: Path) -> None:
    """Train the assignment's stage with nothing around it and print its tokens a second."""
    import torch

    from model.training.job import Directive, Snapshot, StepProgress, Verdict
    from model.training.loop import train_stage
    from model.training.malloc import keep_freed_memory
    from services.worker.attempt.build_job import load
    from services.worker.local_cache import LocalCache
    from tests.fakes.object_store import FakeObjectStore

    class Ports:
        def beat(self) -> None: ...
        def progress(self, progress: StepProgress) -> None: ...
        def publish(self, snapshot: Snapshot) -> None: ...

        def interrupted(self) -> bool:
            return False

        def directive(self, boundary: int) -> Directive:
            return Directive(verdict=Verdict.ACCEPT)

    torch.set_num_threads(1)
    keep_freed_memory()
    work = control_pb2.StageWork.FromString(work_file.read_bytes())
    # Everything is in the worker's local cache already; an empty store shows that nothing is fetched.
    job, _ = load(work, LocalCache(FakeObjectStore(), cache))
    began = time.perf_counter()
    outcome = train_stage(job, Ports())
    print(STEPS * ROWS * CONTEXT / (time.perf_counter() - began - outcome.stall_seconds - outcome.wait_seconds))


def bare_rate(run: Run, folder: Path, cache: Path) -> float:
    """Tokens a second of the loop alone."""
    file = folder / "work.binpb"
    file.write_bytes(work_of(run).SerializeToString())
    command = [sys.executable, "-m", "tests.benchmarks.bench_platform", "--bare", str(file), "--cache", str(cache)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def first_step_s(client: RetainClient, run_id: str, began: float) -> float:
    """Seconds from `began` to the first trained step."""
    while not any(stage.step for stage in client.get_run(run_id).stages):
        time.sleep(0.2)
    return time.monotonic() - began


def resident_mb(process: psutil.Process) -> float:
    """Resident memory."""
    return process.memory_info().rss / 2**20


def measure(rounds: int, folder: Path) -> None:
    """Start a stack, run the rounds, print the table, stop the stack."""
    stack = Stack(folder=folder)
    began = time.monotonic()
    stack.up()
    try:
        up_s = time.monotonic() - began
        idle = {name: resident_mb(stack.program(name)) for name in ("orchestrator", "evaluator")}
        platform, alone, first_s = [], [], 0.0
        with RetainClient(stack.address) as client:
            for number in range(rounds):
                since = datetime.now().astimezone()
                run = client.create_run(SPEC)
                if number == 0:
                    first_s = first_step_s(client, run.id, began)
                run = until_ended(client, run.id)
                if run.state != "SUCCEEDED":
                    raise SystemExit(f"{run.id} ended {run.state}: {run.status.message}")
                platform.append(round_of(client, run.id, since))
                alone.append(bare_rate(run, folder, stack.cache))
    finally:
        stack.down()
    through, by_itself = statistics.median(r.rate for r in platform), statistics.median(alone)
    share = statistics.median(r.rate / rate for r, rate in zip(platform, alone, strict=True))
    rows = [
        ("stack up and healthy", f"{up_s:.1f} s", ""),
        ("stack started to first training step", f"{first_s:.1f} s", ""),
        ("orchestrator, idle, resident", f"{idle['orchestrator']:.0f} MB", "under 150 MB"),
        ("evaluator, idle, resident", f"{idle['evaluator']:.0f} MB", ""),
        ("training through the platform", f"{through:,.0f} tokens/s", ""),
        ("the same loop alone", f"{by_itself:,.0f} tokens/s", ""),
        ("platform / alone", f"{share:.3f}", "at least 0.98"),
        ("stalled by checkpoints", f"{statistics.median(r.stalled for r in platform):.2%}", "under 1 %"),
        ("waited for upload and verdict (lag 0)", f"{statistics.median(r.waited for r in platform):.1%}", ""),
        ("end of a stage to the next one loaded", f"{statistics.median(r.between_s for r in platform):.2f} s", "< 5 s"),
    ]
    print(f"medians of {rounds} rounds")
    for what, figure, goal in rows:
        print(f"{what:40} {figure:>18}   {goal}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--cache", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.bare:
        bare(given.bare, given.cache)
        return
    with tempfile.TemporaryDirectory(prefix="retain-bench-") as folder:
        measure(given.rounds, Path(folder))


if __name__ == "__main__":
    main()
