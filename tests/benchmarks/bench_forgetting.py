"""How soon forgetting is seen, and what seeing it costs.

Seconds from a checkpoint's manifest to the exported metric, and the evaluation's share of a stage's wall time, for a
decision lag of 0 (verdicts are waited for) and of 1 (training continues meanwhile).

    python -m tests.benchmarks.bench_forgetting [--boundaries 4]

A stack is started in a folder of its own, with one thread for the worker. Every 98,304 trained tokens about 15,000 are
measured, as the design asks. Whether the manifest is in the store, and what the evaluator exports, is looked at from
outside every 20 ms. The stage's end, with its larger report sets, has a row of its own; it is neither among the seconds
nor among the waiting.
"""

import argparse
import statistics
import tempfile
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retain.evaluator.v1 import service_pb2, service_pb2_grpc
from services.common.store.minio_store import MinioStore
from tests.e2e.stack import Stack, until_ended
from tests.identity import channel as channel_to
from ui.client.client import RetainClient
from ui.client.views import Run

ROWS, CONTEXT, EVERY = 16, 256, 24
TOKENS_PER_SET = 7_500  # two sets: 15,000 for each 98,304 trained
LOOK_S = 0.02
STAGE = "midtrain/code"


def spec(lag: int, boundaries: int) -> dict[str, Any]:
    """A short pre-training, then the stage that is looked at; nothing may act on it."""
    common = {"batch": {"sequences": ROWS}, "learning_rate": 1e-4}
    general, code = "sample://docs", "sample://code"
    middle = {"domain": code, "general": general, "general_share": 0.3, "max_tokens": 300_000}
    return {
        "name": f"bench-lag-{lag}",
        "seed": lag,  # equal weights would be measured once, and the second run would find every answer in the store
        "model": {"preset": "nano", "context": CONTEXT},
        "tokenizer": {"train": {"vocab_size": 2048}},
        "stages": [
            {
                "kind": "PRETRAIN",
                "data": {"general": general, "max_tokens": 300_000},
                "duration": {"steps": 8},
                **common,
            },
            {"kind": "MIDTRAIN", "domain": "CODE", "data": middle, "duration": {"steps": EVERY * boundaries}, **common},
        ],
        "forgetting": {"mitigate": False},
        "evaluation": {"every": {"steps": EVERY}, "tokens_per_set": TOKENS_PER_SET, "decision_lag": lag},
        "compute": {"workers": 1, "cpus_per_worker": 1},
        "checkpoints": {"keep_last": boundaries + 1},
    }


@dataclass
class Watcher:
    """Notes when each manifest is in the store, and when the exported loss of the stage changes."""

    store: MinioStore
    metrics_url: str
    run_id: str
    boundaries: int
    manifests_s: list[float] = field(default_factory=list)
    exports_s: list[float] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        """Until told that the run is over."""
        shown = ""
        while not self.done.is_set():
            now = self._exported()
            if now and now != shown:
                shown = now
                self.exports_s.append(time.monotonic())
            if len(self.manifests_s) < self.boundaries and self._written(len(self.manifests_s) + 1):
                self.manifests_s.append(time.monotonic())
            time.sleep(LOOK_S)

    def _written(self, boundary: int) -> bool:
        key = f"runs/{self.run_id}/{STAGE}/attempt-1/step-{boundary * EVERY:09d}/manifest.json"
        return self.store.stat(key) is not None

    def _exported(self) -> str:
        with urllib.request.urlopen(self.metrics_url, timeout=5) as reply:
            lines = reply.read().decode().splitlines()
        return next((row for row in lines if row.startswith("retain_loss_nats{") and self._mine(row)), "")

    def _mine(self, row: str) -> bool:
        return all(f'="{text}"' in row for text in (self.run_id, STAGE, "code"))


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one run's stage: seconds until each boundary's metric, and shares of the wall time."""

    lags_s: list[float]
    wall_s: float
    measured: float
    measured_with_end: float
    waited: float
    stalled: float


def measured_s(address: str, token: str, run_id: str) -> tuple[float, float]:
    """Seconds that the evaluator measured for the stage: without its end, and with it."""
    with channel_to(address, token=token) as channel:
        stub = service_pb2_grpc.EvaluatorServiceStub(channel)
        request = service_pb2.ListEvaluationsRequest(run_id=run_id, page_size=500)
        found = [e for e in stub.ListEvaluations(request, timeout=30).evaluations if e.request.stage == STAGE]
    last = max(e.request.step for e in found)
    return sum(e.measure_seconds for e in found if e.request.step < last), sum(e.measure_seconds for e in found)


def run_once(stack: Stack, client: RetainClient, lag: int, boundaries: int) -> Cost:
    """One run with its watcher."""
    run = client.create_run(spec(lag, boundaries))
    url = stack.endpoints["evaluator_metrics"]
    watcher = Watcher(store=stack.store(), metrics_url=url, run_id=run.id, boundaries=boundaries)
    thread = threading.Thread(target=watcher.watch)
    thread.start()
    try:
        run = until_ended(client, run.id)
    finally:
        watcher.done.set()
        thread.join()
    if run.state != "SUCCEEDED":
        raise SystemExit(f"{run.id} ended {run.state}: {run.status.message}")
    return cost(run, watcher, measured_s(stack.address.evaluator, stack.token, run.id))


def cost(run: Run, watcher: Watcher, seconds: tuple[float, float]) -> Cost:
    """The figures of a finished run."""
    stage = run.stages[1]
    pairs = list(zip(watcher.manifests_s, watcher.exports_s, strict=True))[:-1]
    return Cost(
        lags_s=[exported - written for written, exported in pairs],
        wall_s=stage.wall_seconds,
        measured=seconds[0] / stage.wall_seconds,
        measured_with_end=seconds[1] / stage.wall_seconds,
        waited=stage.wait_seconds / stage.wall_seconds,
        stalled=stage.stall_seconds / stage.wall_seconds,
    )


def measure(boundaries: int, folder: Path) -> None:
    """Start a stack, one run for each lag, print the table, stop the stack."""
    stack = Stack(folder=folder)
    stack.up()
    try:
        with RetainClient(stack.address) as client:
            costs = {lag: run_once(stack, client, lag, boundaries) for lag in (0, 1)}
    finally:
        stack.down()
    print(
        f"{boundaries} boundaries of {EVERY * ROWS * CONTEXT:,} tokens, {2 * TOKENS_PER_SET:,} tokens measured at each"
    )
    print(f"{'':44} {'lag 0':>10} {'lag 1':>10}   goal")
    rows = [
        ("manifest to exported metric, median", lambda c: f"{statistics.median(c.lags_s):.2f} s", ""),
        ("manifest to exported metric, longest", lambda c: f"{max(c.lags_s):.2f} s", ""),
        ("stage, wall time", lambda c: f"{c.wall_s:.1f} s", ""),
        ("evaluation, of the stage's wall time", lambda c: f"{c.measured:.1%}", "at most 5 %"),
        ("the same with the report sets at its end", lambda c: f"{c.measured_with_end:.1%}", ""),
        ("waited for uploads and verdicts, of it", lambda c: f"{c.waited:.1%}", ""),
        ("stalled by checkpoints, of it", lambda c: f"{c.stalled:.2%}", "under 1 %"),
    ]
    for what, figure, goal in rows:
        print(f"{what:44} {figure(costs[0]):>10} {figure(costs[1]):>10}   {goal}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boundaries", type=int, default=4)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="retain-bench-") as folder:
        measure(given.boundaries, Path(folder))


if __name__ == "__main__":
    main()
