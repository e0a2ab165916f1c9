"""Many clients at once, in a process of their own: `python -m tests.benchmarks.orchestrator_clients ADDRESS CALL
CLIENTS SECONDS`. Prints one JSON line: calls a second, p50 and p99 in milliseconds. Used by bench_orchestrator.py."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from retain.orchestrator.v1 import orchestrator_service_pb2 as pb
from retain.orchestrator.v1 import orchestrator_service_pb2_grpc as pb_grpc
from tests.fakes.platform import demo_spec
from tests.identity import aio_channel


def call_of(stub: Any, name: str, client: int) -> Callable[[int], Awaitable[Any]]:
    """The call that one client makes again and again."""
    if name == "List":
        return lambda number: stub.ListPipelineRuns(pb.ListPipelineRunsRequest(page_size=50))
    if name == "Get":
        return lambda number: stub.GetPipelineRun(
            pb.GetPipelineRunRequest(run_id=f"stored-{(number * 7919 + client * 104_729) % 10_000}")
        )
    spec = demo_spec("bench")
    return lambda number: stub.CreatePipelineRun(
        pb.CreatePipelineRunRequest(spec=spec, request_id=f"many-{client}-{number}")
    )


async def main(address: str, name: str, clients: int, seconds: float) -> None:
    """Every client on a connection of its own, one call after another."""
    took_s: list[float] = []
    # Connections with equal settings would be one connection.
    channels = [aio_channel(address, options=[("retain.client", n)]) for n in range(clients)]
    calls = [call_of(pb_grpc.OrchestratorServiceStub(c), name, n) for n, c in enumerate(channels)]
    await asyncio.gather(*(channel.channel_ready() for channel in channels))
    until_s = time.perf_counter() + seconds

    async def work(call: Callable[[int], Awaitable[Any]]) -> None:
        number = 0
        while (start_s := time.perf_counter()) < until_s:
            await call(number)
            took_s.append(time.perf_counter() - start_s)
            number += 1

    started_s = time.perf_counter()
    await asyncio.gather(*(work(call) for call in calls))
    wall_s = time.perf_counter() - started_s
    for channel in channels:
        await channel.close()
    took_s.sort()
    p50, p99 = (1000 * took_s[int(len(took_s) * share)] for share in (0.5, 0.99))
    print(json.dumps({"per_second": len(took_s) / wall_s, "p50_ms": p50, "p99_ms": p99, "calls": len(took_s)}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
