"""Get, List and Create with 10,000 runs stored, over gRPC against the real server: one client alone, then 20 at once in
a process of their own; the check of a spec with a million stages; memory; and Get over TLS beside Get in plain text.

Goals: p99 under 10 ms alone, 500 List a second with 20 clients, a million stages refused within 50 ms of the server,
idle memory under 150 MB. `python -m tests.benchmarks.bench_orchestrator [RUNS]`; the
database is SQLite in a temporary folder, or RETAIN_DATABASE_URL.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import grpc
import psutil

from deploy.certificates import Authority
from retain.orchestrator.v1 import orchestrator_service_pb2 as pb
from retain.orchestrator.v1 import orchestrator_service_pb2_grpc as pb_grpc
from retain.types.v1 import spec_pb2
from services.orchestrator.adapters.database import connect
from services.orchestrator.adapters.repository import SqlRepository
from services.orchestrator.application.ports import NewRun
from services.orchestrator.domain.run.state import PipelineRun, RunState
from services.orchestrator.transport.bounds import oversized
from tests.fakes.platform import demo_spec
from tests.identity import ADMIN, SERVICE
from tests.identity import channel as channel_to
from tests.ports import free_port
from tests.scenarios.scenario_runner import training
from tests.tls import Folder

CALLS = 500
CLIENTS = 20


def finished() -> PipelineRun:
    """A run that has trained for a while: the size of state that a real one has."""
    runner = training()
    for step in range(10, 100, 10):
        runner.apply(f"checkpoint {step}")
        runner.apply(f"score {step} general=0.04 low=0.03")
    return replace(runner.state, status=RunState.SUCCEEDED, jobs=(), annotated=runner.state.decisions)


def fill(url: str, runs: int) -> list[str]:
    """Store `runs` runs; returns their ids."""
    engine = connect(url)
    repository = SqlRepository(engine)
    state = finished()
    for stage in state.stages:
        branch = replace(stage.branch, checkpoints=stage.branch.checkpoints[-3:], voided=())
        state = state.with_stage(replace(stage, branch=branch))
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
        with server(url) as (address, pid):
            table(address, names, pid)
        over_tls(url, names, Folder(Path(folder) / "tls", Authority.new("bench")))


@contextlib.contextmanager
def server(url: str, settings: Mapping[str, str] | None = None) -> Iterator[tuple[str, int]]:
    """An orchestrator in a process of its own: its address and pid."""
    port, metrics = free_port(), free_port()
    env = {
        **os.environ,
        "RETAIN_DATABASE_URL": url,
        # The crowd of clients is many people with one token.
        "RETAIN_CALLS_PER_S": "100000",
        "RETAIN_CALLS_BURST": "100000",
        "RETAIN_ADMIN_TOKEN": ADMIN,
        "RETAIN_SERVICE_TOKEN": SERVICE,
        "RETAIN_BIND": f"127.0.0.1:{port}",
        "RETAIN_METRICS_BIND": f"127.0.0.1:{metrics}",
        "RETAIN_RAY_ADDRESS": "http://127.0.0.1:1",
        "RETAIN_S3_ENDPOINT": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        **(settings or {}),
    }
    child = subprocess.Popen([sys.executable, "-m", "services.orchestrator.main"], env=env, stderr=subprocess.DEVNULL)
    try:
        yield f"127.0.0.1:{port}", child.pid
    finally:
        child.terminate()
        child.wait(timeout=30)


def over_tls(url: str, names: list[str], folder: Folder) -> None:
    """Get alone, in plain text and over TLS, by turns: a busy machine changes while one waits. Connections are made
    before; a new one costs a handshake, which the last column has."""
    print(f"{'Get':20} {'p50 ms':>8} {'p99 ms':>8} {'CPU ms':>8} {'new connection ms':>18}")
    for what in ("plain text", "TLS") * 2:
        settings = folder.environment() if what == "TLS" else {}
        credentials = folder.credentials(own=False) if settings else None
        with server(url, settings) as (address, pid):
            with channel_to(address, credentials=credentials) as channel:
                grpc.channel_ready_future(channel).result(timeout=120)
                get = pb_grpc.OrchestratorServiceStub(channel).GetPipelineRun
                wait_until_serving(lambda get=get: get(pb.GetPipelineRunRequest(run_id=names[0])))
                before_s = cpu_s(pid)
                p50, p99 = measure(
                    lambda n, get=get: get(pb.GetPipelineRunRequest(run_id=names[n * 7919 % len(names)]))
                )
                cpu_ms = 1000 * (cpu_s(pid) - before_s) / CALLS
            connected_s = []
            for number in range(20):
                start = time.perf_counter()
                options = [("retain.client", number)]  # connections with equal settings would be one connection
                with channel_to(address, credentials=credentials, options=options) as channel:
                    grpc.channel_ready_future(channel).result(timeout=30)
                    connected_s.append(time.perf_counter() - start)
            median_ms = 1000 * sorted(connected_s)[len(connected_s) // 2]
            print(f"{what:20} {p50:8.2f} {p99:8.2f} {cpu_ms:8.2f} {median_ms:18.1f}", flush=True)


def wait_until_serving(call: Callable[[], object]) -> None:
    """It listens before it has read its runs."""
    until_s = time.monotonic() + 120
    while True:
        try:
            call()
            return
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE or time.monotonic() > until_s:
                raise
            time.sleep(0.2)


def table(address: str, names: list[str], pid: int) -> None:
    """Measure and print."""
    with channel_to(address) as channel:
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
        # Processor time of the server is what a busy machine does not blur.
        print(f"{'call':20} {'p50 ms':>8} {'p99 ms':>8} {'CPU ms':>8}")
        for name, call in calls.items():
            before_s = cpu_s(pid)
            p50, p99 = measure(call)
            print(f"{name:20} {p50:8.2f} {p99:8.2f} {1000 * (cpu_s(pid) - before_s) / CALLS:8.2f}")
        many = spec_pb2.PipelineSpec(name="many", stages=[spec_pb2.StageSpec()] * 1_000_000)
        request = pb.ValidatePipelineSpecRequest(spec=many)
        start = time.perf_counter()
        try:
            said = stub.ValidatePipelineSpec(request).violations[0].description
        except grpc.RpcError as error:  # larger than a message may be: refused before it is read
            said = f"{error.code().name}: {error.details()}"
        took_ms, check_ms = 1000 * (time.perf_counter() - start), checked_ms(many)
        print(
            f"a million stages ({request.ByteSize() / 1e6:.0f} MB): {took_ms:.0f} ms, the check {check_ms:.2f}: {said}"
        )
        crowd(address, pid)
        after = psutil.Process(pid).memory_info().rss
        print(f"memory: idle {idle / 1e6:.0f} MB, after the calls {after / 1e6:.0f} MB")


def cpu_s(pid: int) -> float:
    """Processor time that a process has taken, in seconds."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def checked_ms(spec: spec_pb2.PipelineSpec) -> float:
    """Milliseconds in which the server's own code looks at the size of a spec."""
    start = time.perf_counter()
    oversized(spec)
    return 1000 * (time.perf_counter() - start)


def crowd(address: str, pid: int) -> None:
    """The same calls of 20 clients at once."""
    print(f"{f'{CLIENTS} clients':20} {'a second':>8} {'p50 ms':>8} {'p99 ms':>8} {'CPU ms':>8}")
    for name in ("Get", "List", "Create"):
        command = [sys.executable, "-m", "tests.benchmarks.orchestrator_clients", address, name, str(CLIENTS), "5"]
        before_s = cpu_s(pid)
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        cpu_ms = 1000 * (cpu_s(pid) - before_s) / found["calls"]
        print(f"{name:20} {found['per_second']:8.0f} {found['p50_ms']:8.2f} {found['p99_ms']:8.2f} {cpu_ms:8.2f}")


if __name__ == "__main__":
    main()
