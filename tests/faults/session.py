"""One user's session with a real orchestrator: everything that a person asks of it, in one go of some seconds.

The client tries again what a client may try again. What it returns is what must not depend on faults.
"""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from retain.orchestrator.v1 import checkpoint_service_pb2 as ck
from retain.orchestrator.v1 import checkpoint_service_pb2_grpc as ck_grpc
from retain.orchestrator.v1 import orchestrator_service_pb2 as pb
from retain.orchestrator.v1 import orchestrator_service_pb2_grpc as pb_grpc
from retain.orchestrator.v1 import resources_pb2 as res
from retain.types.v1 import spec_pb2
from tests.fakes.platform import demo_spec

ENDED = (res.RUN_STATE_SUCCEEDED, res.RUN_STATE_FAILED, res.RUN_STATE_CANCELLED)
AGAIN = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.PERMISSION_DENIED,  # what was injected is over soon; a person would try again too
)
TRIES = 60
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "vocab_size": 64, "hidden_size": 8, "num_hidden_layers": 1,
    "num_attention_heads": 1, "intermediate_size": 8, "max_position_embeddings": 128,
}  # fmt: skip
MODEL = {"config.json": json.dumps(CONFIG).encode(), "tokenizer.json": b"{}", "model.safetensors": b"weights"}


def short_spec(name: str) -> spec_pb2.PipelineSpec:
    """Three stages of two boundaries; mid-training forgets, is noticed, and is adjusted."""
    spec = demo_spec(name)
    for stage in spec.stages:
        stage.duration.steps = 20
    spec.checkpoints.keep_last = 1
    spec.evaluation.every.steps = 10
    spec.forgetting.interpolation.points.append(0.5)
    return spec


class Session:
    """The calls of one person, through a channel that survives a restart of the server."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        put: Callable[[str, bytes], None],
        left: Callable[[str], Awaitable[bool]],
        losses: Callable[[str], dict[str, float]],
    ) -> None:
        self._runs: Any = pb_grpc.OrchestratorServiceStub(channel)
        self._checkpoints: Any = ck_grpc.CheckpointServiceStub(channel)
        self._put, self._left, self._losses = put, left, losses

    async def whole(self, name: str) -> dict[str, Any]:
        """Everything. Raises what a client would show when it gives up."""
        run_id = await self.create(name)
        run = await self.follow(run_id)
        outcome: dict[str, Any] = {"run": self.told(run), "decisions": await self.decisions(run_id)}
        if run.status.state == res.RUN_STATE_SUCCEEDED:
            outcome["files"] = await self.export(run.status.stages[0].accepted.uri)
            outcome["checkpoints"] = await self.lineage(run_id)
            outcome["series"] = await self.series(run_id)
        outcome["imported"] = await self.bring_in()
        outcome["aside"] = await self.set_aside(outcome["imported"][0])
        outcome["garbage"] = await self.collect()
        outcome["second"] = await self.cancel_retry_delete(f"{name}-second")
        page = await self._try(lambda: self._runs.ListPipelineRuns(pb.ListPipelineRunsRequest(), timeout=10))
        outcome["listed"] = [r.spec.name for r in page.runs]
        outcome["logs"] = bool(await self._try(lambda: self._logs(run_id)))
        return outcome

    async def one_run(self, name: str) -> dict[str, Any]:
        """A run, followed to its end."""
        return self.told(await self.follow(await self.create(name)))

    async def create(self, name: str) -> str:
        request = pb.CreatePipelineRunRequest(spec=short_spec(name), request_id=f"request-{name}")
        reply = await self._try(lambda: self._runs.CreatePipelineRun(request, timeout=10))
        return reply.run.id

    async def follow(self, run_id: str, until: tuple[int, ...] = ENDED) -> res.PipelineRun:
        """Watch to the end, again from the last sequence when the stream breaks."""
        last = res.PipelineRun()
        for _ in range(TRIES):
            request = pb.WatchPipelineRunRequest(run_id=run_id, sequence=last.sequence)
            try:
                async for reply in self._runs.WatchPipelineRun(request, timeout=60):
                    assert reply.run.sequence > last.sequence, "a watcher was told the past"
                    last = reply.run
                    if last.status.state in until:
                        return last
            except grpc.aio.AioRpcError as error:
                if error.code() not in AGAIN:
                    raise
                await asyncio.sleep(0.1)
        raise AssertionError(f"{run_id} did not end: {last.status}")

    async def decisions(self, run_id: str) -> list[tuple[Any, ...]]:
        request = pb.ListDecisionsRequest(run_id=run_id, page_size=500)
        reply = await self._try(lambda: self._runs.ListDecisions(request, timeout=10))
        return [(d.number, d.stage, d.boundary, d.step, res.Verdict.Name(d.verdict)) for d in reply.decisions]

    async def series(self, run_id: str) -> list[tuple[str, str, str]]:
        """Which figures are kept of a run. How many reports came may differ."""
        request = pb.ListRunMetricsRequest(run_id=run_id, page_size=500)
        reply = await self._try(lambda: self._runs.ListRunMetrics(request, timeout=10))
        return [(one.stage, one.name, one.set) for one in reply.series]

    async def lineage(self, run_id: str) -> list[tuple[str, str]]:
        """Steps of the checkpoints that count. Which attempt made them may differ."""
        request = ck.ListCheckpointsRequest(run_id=run_id, page_size=500)
        reply = await self._try(lambda: self._checkpoints.ListCheckpoints(request, timeout=10))
        accepted = res.CHECKPOINT_STATE_ACCEPTED
        return sorted((c.stage, str(c.ref.step)) for c in reply.checkpoints if c.state == accepted)

    async def export(self, key: str) -> list[str]:
        request = ck.ExportCheckpointRequest(checkpoint_id=key, with_training_state=True)
        reply = await self._try(lambda: self._checkpoints.ExportCheckpoint(request, timeout=10))
        return sorted(file.path for file in reply.files)

    async def bring_in(self) -> tuple[str, str]:
        """Upload a folder, import it, find it; ask what a run on it would do."""
        uri = ""
        for name, data in MODEL.items():
            request = pb.CreateUploadRequest(
                sha256=hashlib.sha256(data).hexdigest(), file_name=name, bytes=len(data), folder="mine"
            )
            uri = (await self._try(lambda request=request: self._runs.CreateUpload(request, timeout=10))).uri
            self._put(f"uploads/mine/model/{name}", data)
        brought = ck.ImportCheckpointRequest(uri=uri, name="mine")
        imported = (await self._try(lambda: self._checkpoints.ImportCheckpoint(brought, timeout=10))).checkpoint
        asked = ck.GetCheckpointRequest(checkpoint_id=imported.id)
        found = (await self._try(lambda: self._checkpoints.GetCheckpoint(asked, timeout=10))).checkpoint
        spec = short_spec("on-it")
        del spec.stages[0]
        spec.stages[0].data.general = "sample://docs"
        spec.model.checkpoint = found.ref.uri
        spec.ClearField("tokenizer")
        plan = await self._try(
            lambda: self._runs.ValidatePipelineSpec(pb.ValidatePipelineSpecRequest(spec=spec), timeout=10)
        )
        assert not plan.violations, plan.violations
        return found.id, f"context {plan.plan.spec.model.context}"

    async def _logs(self, run_id: str) -> str:
        request = pb.StreamLogsRequest(run_id=run_id)
        return "".join([piece.text async for piece in self._runs.StreamLogs(request, timeout=20)])

    async def set_aside(self, key: str) -> str:
        """Void a checkpoint that nobody builds on."""
        request = ck.VoidCheckpointRequest(checkpoint_id=key, reason="not the one that was meant")
        reply = await self._try(lambda: self._checkpoints.VoidCheckpoint(request, timeout=10))
        return res.CheckpointState.Name(reply.checkpoint.state)

    async def collect(self) -> list[str]:
        """Collect garbage: all there is is younger than a day, so nothing is taken."""
        request = ck.CollectGarbageRequest(dry_run=False)
        reply = await self._try(lambda: self._checkpoints.CollectGarbage(request, timeout=20))
        return sorted(item.uri for item in reply.items)

    async def cancel_retry_delete(self, name: str) -> str:
        """A run that is stopped, continues, is stopped again and deleted."""
        run_id = await self.create(name)
        await self._to(run_id, lambda: self._runs.CancelPipelineRun(pb.CancelPipelineRunRequest(run_id=run_id)))
        await self._to(run_id, lambda: self._runs.RetryPipelineRun(pb.RetryPipelineRunRequest(run_id=run_id)))
        await self._to(run_id, lambda: self._runs.CancelPipelineRun(pb.CancelPipelineRunRequest(run_id=run_id)))
        for _ in range(TRIES):
            try:
                await self._try(lambda: self._runs.DeletePipelineRun(pb.DeletePipelineRunRequest(run_id=run_id)))
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.NOT_FOUND:
                    break  # the reply before was lost
                if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                    raise
                await asyncio.sleep(0.1)  # its workers are still ending
            else:
                break
        for _ in range(20 * TRIES):
            if not await self._left(f"runs/{run_id}/"):
                return "deleted, and its files"
            await asyncio.sleep(0.05)
        return "deleted, but not its files"

    async def _to(self, run_id: str, call: Callable[[], Awaitable[Any]]) -> None:
        """A change of state; one that has happened already is fine, for its reply may have been lost."""
        try:
            await self._try(call)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                raise

    async def _try(self, call: Callable[[], Awaitable[Any]]) -> Any:
        for number in range(TRIES):
            try:
                return await call()
            except grpc.aio.AioRpcError as error:
                if error.code() not in AGAIN or number == TRIES - 1:
                    raise
                await asyncio.sleep(0.05)
        raise AssertionError("unreachable: the last try returns or raises")

    def told(self, run: res.PipelineRun) -> dict[str, Any]:
        """What of a run must not depend on faults."""
        return {
            "state": res.RunState.Name(run.status.state),
            "reason": run.status.reason,
            "stages": [
                (
                    s.name,
                    res.StageState.Name(s.state),
                    s.step,
                    round(s.lr_scale, 9),
                    {name: round(share, 9) for name, share in s.shares.items()},
                    s.retries,
                    self._losses(s.accepted.weights_digest),
                )
                for s in run.status.stages
            ],
        }
