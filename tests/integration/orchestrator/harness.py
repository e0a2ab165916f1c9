"""A running orchestrator with fakes around it, and what tests do with it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc

from retain.orchestrator.v1 import checkpoint_service_pb2 as ck
from retain.orchestrator.v1 import checkpoint_service_pb2_grpc as ck_grpc
from retain.orchestrator.v1 import orchestrator_service_pb2 as pb
from retain.orchestrator.v1 import orchestrator_service_pb2_grpc as pb_grpc
from retain.orchestrator.v1 import resources_pb2 as res
from retain.types.v1 import spec_pb2
from tests.fakes.platform import Platform, demo_spec
from tests.identity import aio_channel

ENDED = (res.RUN_STATE_SUCCEEDED, res.RUN_STATE_FAILED, res.RUN_STATE_CANCELLED)


class Client:
    """The calls that the tests make."""

    def __init__(self, platform: Platform, channel: grpc.aio.Channel) -> None:
        self.platform = platform
        self.channel = channel
        self.runs: Any = pb_grpc.OrchestratorServiceStub(channel)
        self.checkpoints: Any = ck_grpc.CheckpointServiceStub(channel)

    async def create(self, spec: spec_pb2.PipelineSpec | None = None, request_id: str = "") -> res.PipelineRun:
        request = pb.CreatePipelineRunRequest(spec=spec or demo_spec(), request_id=request_id)
        return (await self.runs.CreatePipelineRun(request, timeout=10)).run

    async def get(self, run_id: str) -> res.PipelineRun:
        return (await self.runs.GetPipelineRun(pb.GetPipelineRunRequest(run_id=run_id), timeout=10)).run

    async def until(self, run_id: str, condition: Callable[[res.PipelineRun], bool], within_s: float = 40.0):
        """The run as soon as a condition holds."""
        end = time.monotonic() + within_s
        while True:
            run = await self.get(run_id)
            if condition(run):
                return run
            assert time.monotonic() < end, f"not within {within_s} s: {run.status}"
            await asyncio.sleep(0.03)

    async def end(self, run_id: str, within_s: float = 40.0) -> res.PipelineRun:
        """The run once it has ended."""
        return await self.until(run_id, lambda run: run.status.state in ENDED, within_s)

    async def delete(self, run_id: str) -> None:
        """Delete a run; until its workers have left, that is refused."""
        for _ in range(200):
            with contextlib.suppress(grpc.aio.AioRpcError):
                await self.runs.DeletePipelineRun(pb.DeletePipelineRunRequest(run_id=run_id))
                return
            await asyncio.sleep(0.05)

    async def decisions(self, run_id: str) -> list[res.Decision]:
        request = pb.ListDecisionsRequest(run_id=run_id, page_size=500)
        return list((await self.runs.ListDecisions(request)).decisions)

    async def lineage(self, run_id: str) -> list[res.Checkpoint]:
        request = ck.ListCheckpointsRequest(run_id=run_id, page_size=500)
        return list((await self.checkpoints.ListCheckpoints(request)).checkpoints)


def sqlite_url(folder: Path) -> str:
    """URL of the database that an orchestrator has in a folder."""
    return f"sqlite:///{folder / 'retain.db'}"


@contextlib.asynccontextmanager
async def orchestrator(folder: Path, *, database: str | None = None, **options: Any) -> AsyncIterator[Client]:
    """A platform on the database of that URL, else on one in `folder`, and a client of it."""
    platform = Platform(database or sqlite_url(folder), **options)
    port = await platform.start()
    async with aio_channel(f"127.0.0.1:{port}") as channel:
        try:
            yield Client(platform, channel)
        finally:
            await platform.stop()


async def status_of(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str]:
    """Status code and details of a call that must fail."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or ""
    raise AssertionError("the call succeeded")


def without_forgetting() -> spec_pb2.PipelineSpec:
    """A run in which the gate has nothing to do: a large share of general text."""
    spec = demo_spec("calm")
    spec.stages[1].data.general_share = 0.5
    spec.stages[2].data.replay["general"] = 0.3
    spec.stages[2].data.replay["domain"] = 0.3
    return spec
