"""Latency of Get, List and Create with 10,000 runs stored, over gRPC against the real server; and its memory.

Goals: p99 under 20 ms each, idle memory under 150 MB. `python -m tests.benchmarks.bench_orchestrator [RUNS]`; the
database is SQLite in a temporary folder, or RETAIN_DATABASE_URL.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import grpc
import psutil

from retain.orchestrator.v1 import orchestrator_service_pb2 as pb
from retain.orchestrator.v1 import orchestrator_service_pb2_grpc as pb_grpc
from services.orchestrator.adapters.database import connect
from services.orchestrator.adapters.repository import SqlRepository
from services.orchestrator.application.ports import NewRun
from services.orchestrator.domain.run_state import RunState, RunStatus
from tests.fakes.platform import demo_spec
from tests.ports import free_port
from tests.scenarios.play import training

CALLS = 500


def finished() -> RunState:
    """A run that has trained for a while: the size of state that a real one has."""
    player = training()
    for step in range(10, 100, 10):
        player.play(f"checkpoint {step}")
        player.play(f"score {step} general=0.04 low=0.03")
    return replace(player.state, status=RunStatus.SUCCEEDED, jobs=(), annotated=player.state.decisions)


def fill(url: str, runs: int) -> list[str]:
    """Store `runs` runs; returns their ids."""
    engine = connect(url)
    repository = SqlRepository(engine)
    state = finished()
    for stage in state.stages:
        state = state.with_stage(replace(stage, checkpoints=stage.checkpoints[-3:], voided=()))
    names = [f"stored-{number}" for number in range(runs)]
    for name in names:
        repository.create(NewRun(state=replace(state, id=name), request_id=None, request_digest=""))
    engine.dispose()
    return names


def measure(call: Callable[[int], object]) -> tuple[float, float]:
    """p50 and p99 in milliseconds."""
    took_s = []
    for number in range(CALLS):
        start = time.perf_counter()
        call(number)
        took_s.append(time.perf_counter() - start)
    took_s.sort()
    return 1000 * took_s[CALLS // 2], 1000 * took_s[int(CALLS * 0.99)]


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        url = os.environ.get("RETAIN_DATABASE_URL") or f"sqlite:///{Path(folder) / 'bench.db'}"
        started_s = time.perf_counter()
        names = fill(url, runs)
        print(f"{runs} runs stored in {time.perf_counter() - started_s:.1f} s")
        port, metrics = free_port(), free_port()
        env = {
            **os.environ,
            "RETAIN_DATABASE_URL": url,
            "RETAIN_BIND": f"127.0.0.1:{port}",
            "RETAIN_METRICS_BIND": f"127.0.0.1:{metrics}",
            "RETAIN_RAY_ADDRESS": "http://127.0.0.1:1",
            "RETAIN_S3_ENDPOINT": "http://127.0.0.1:1",
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
        }
        server = subprocess.Popen(
            [sys.executable, "-m", "services.orchestrator.main"], env=env, stderr=subprocess.DEVNULL
        )
        try:
            table(f"127.0.0.1:{port}", names, server.pid)
        finally:
            server.terminate()
            server.wait(timeout=30)


def table(address: str, names: list[str], pid: int) -> None:
    """Measure and print."""
    with grpc.insecure_channel(address) as channel:
        grpc.channel_ready_future(channel).result(timeout=60)
        stub = pb_grpc.OrchestratorServiceStub(channel)
        idle = psutil.Process(pid).memory_info().rss
        spec = demo_spec("bench")
        calls: dict[str, Callable[[int], object]] = {
            "Get": lambda n: stub.GetPipelineRun(pb.GetPipelineRunRequest(run_id=names[n * 7919 % len(names)])),
            "List (50 newest)": lambda n: stub.ListPipelineRuns(pb.ListPipelineRunsRequest()),
            "Create": lambda n: stub.CreatePipelineRun(pb.CreatePipelineRunRequest(spec=spec, request_id=f"b{n}")),
            "List (50 PENDING)": lambda n: stub.ListPipelineRuns(pb.ListPipelineRunsRequest(states=[1])),
        }
        print(f"{'call':20} {'p50 ms':>8} {'p99 ms':>8}")
        for name, call in calls.items():
            p50, p99 = measure(call)
            print(f"{name:20} {p50:8.2f} {p99:8.2f}")
        after = psutil.Process(pid).memory_info().rss
        print(f"memory: idle {idle / 1e6:.0f} MB, after the calls {after / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
