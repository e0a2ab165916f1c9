"""A scripted StageControlService on a real port: prepares, runs the stages of a spec in order, answers directives.

It keeps the contract's promises in a few lines (attempts, idempotent requests, the fence) and records what came. A test
scripts it through `verdicts` and `faults`, and may stop and start it again on its port.
"""

import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any

import grpc

from retain.orchestrator.v1 import identity_service_pb2 as identity_pb
from retain.orchestrator.v1 import identity_service_pb2_grpc as identity_grpc
from retain.orchestrator.v1 import resources_pb2
from retain.orchestrator.v1 import stage_control_service_pb2 as pb
from retain.orchestrator.v1 import stage_control_service_pb2_grpc as pb_grpc
from retain.types.v1 import spec_pb2, values_pb2
from services.common.store.store_keys import StoreKeys
from services.orchestrator.transport.identity_servicer import store_keys


@dataclass
class StagePlan:
    """One stage: its name, sources by role, target, length."""

    name: str
    target: str
    sources: dict[str, str]
    shares: dict[str, float] = field(default_factory=dict)
    steps: int = 8
    steps_per_boundary: int = 4

    @property
    def boundaries(self) -> int:
        return -(-self.steps // self.steps_per_boundary)


class LetsIn(identity_grpc.IdentityServiceServicer):
    """Takes every code: who may join is tested on the real orchestrator."""

    def JoinRun(self, request: identity_pb.JoinRunRequest, context: Any) -> identity_pb.JoinRunResponse:
        return identity_pb.JoinRunResponse(idle_seconds=3600)


class FakeStageControl(pb_grpc.StageControlServiceServicer):
    """See the module. `verdicts[(stage, attempt, boundary)]` scripts a directive; else CONTINUE, at the end ACCEPT."""

    def __init__(self, spec: spec_pb2.PipelineSpec, stages: list[StagePlan], *, lag: int = 0, bucket: str = "retain"):
        self.spec, self.stages, self.lag, self.bucket = spec, stages, lag, bucket
        self.submission = 1
        self.stage, self.attempt = -1, 0
        self.prepared: pb.PreparedData | None = None
        self.verdicts: dict[tuple[int, int, int], pb.GetDirectiveResponse] = {}
        self.checkpoints: dict[int, list[pb.ReportCheckpointRequest]] = defaultdict(list)
        self.resume: dict[int, values_pb2.CheckpointRef] = {}
        self.mix: dict[int, tuple[dict[str, float], float]] = {}
        self.trials: dict[int, pb.MixTrialWork] = {}
        self.tried: list[pb.ReportMixTrialRequest] = []
        self.chosen: dict[str, float] = {}
        self.ended: list[pb.EndStageRequest] = []
        self.damaged: list[values_pb2.CheckpointRef] = []
        self.progress: list[pb.ReportProgressRequest] = []
        self.begun: list[tuple[int, int]] = []
        self.calls: list[str] = []
        self.faults: dict[str, list[grpc.StatusCode]] = defaultdict(list)
        self.lost_replies: dict[str, int] = defaultdict(int)
        self.on_checkpoint: Callable[[pb.ReportCheckpointRequest], None] = lambda request: None
        self.on_progress: Callable[[pb.ReportProgressRequest], None] = lambda request: None
        self.issue_keys: Callable[[], StoreKeys] | None = None
        self.failed = False
        self._requests: dict[str, pb.BeginAttemptResponse] = {}
        self._lock = threading.RLock()
        self._server: grpc.Server | None = None
        self.port = 0

    def start(self) -> str:
        self._server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        pb_grpc.add_StageControlServiceServicer_to_server(self, self._server)
        identity_grpc.add_IdentityServiceServicer_to_server(LetsIn(), self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self._server.start()
        return f"127.0.0.1:{self.port}"

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop(None).wait()

    # The calls

    def BeginAttempt(self, request: pb.BeginAttemptRequest, context: Any) -> pb.BeginAttemptResponse:
        def begin() -> pb.BeginAttemptResponse:
            if request.request_id in self._requests:
                return self._requests[request.request_id]
            self.attempt += 1
            response = self._work()
            self._requests[request.request_id] = response
            return response

        return self._do("BeginAttempt", request, context, begin, fence=False)

    def ReportProgress(self, request: pb.ReportProgressRequest, context: Any) -> pb.ReportProgressResponse:
        def report() -> pb.ReportProgressResponse:
            self.progress.append(request)
            self.on_progress(request)
            return pb.ReportProgressResponse()

        return self._do("ReportProgress", request, context, report)

    def ReportCheckpoint(self, request: pb.ReportCheckpointRequest, context: Any) -> pb.ReportCheckpointResponse:
        def report() -> pb.ReportCheckpointResponse:
            known = self.checkpoints[request.stage_index]
            if request not in known:
                known.append(request)
                self.on_checkpoint(request)
            return pb.ReportCheckpointResponse()

        return self._do("ReportCheckpoint", request, context, report)

    def GetRunKeys(self, request: pb.GetRunKeysRequest, context: Any) -> pb.GetRunKeysResponse:
        def answer() -> pb.GetRunKeysResponse:
            assert self.issue_keys is not None, "a worker that asks has no keys of its own"
            return pb.GetRunKeysResponse(keys=store_keys(self.issue_keys()))

        return self._do("GetRunKeys", request, context, answer, fence=False)

    def ReportMixTrial(self, request: pb.ReportMixTrialRequest, context: Any) -> pb.ReportMixTrialResponse:
        def report() -> pb.ReportMixTrialResponse:
            self.tried.append(request)
            self.trials.pop(request.stage_index, None)
            return pb.ReportMixTrialResponse(shares=self.chosen, message="scripted")

        return self._do("ReportMixTrial", request, context, report)

    def GetDirective(self, request: pb.GetDirectiveRequest, context: Any) -> pb.GetDirectiveResponse:
        def answer() -> pb.GetDirectiveResponse:
            last = request.boundary == self.stages[request.stage_index].boundaries
            verdict = resources_pb2.VERDICT_ACCEPT if last else resources_pb2.VERDICT_CONTINUE
            key = (request.stage_index, request.attempt, request.boundary)
            return self.verdicts.get(key, pb.GetDirectiveResponse(verdict=verdict))

        return self._do("GetDirective", request, context, answer)

    def EndStage(self, request: pb.EndStageRequest, context: Any) -> pb.EndStageResponse:
        def end() -> pb.EndStageResponse:
            if request not in self.ended:
                self.ended.append(request)
                if request.outcome == pb.END_OUTCOME_FAILED:
                    self.failed = True
                elif request.outcome == pb.END_OUTCOME_INTERRUPTED:
                    self._resume_from_newest(request)
                elif request.stage_index == -1:
                    self.prepared, self.stage = request.prepared, 0
                else:
                    self.stage += 1
            return pb.EndStageResponse()

        return self._do("EndStage", request, context, end)

    # What it knows

    def accepted(self, stage: int) -> values_pb2.CheckpointRef:
        return self.checkpoints[stage][-1].checkpoint

    def _resume_from_newest(self, request: pb.EndStageRequest) -> None:
        """The newest checkpoint of the stage that nobody found damaged, interim ones too."""
        if request.stage_index < 0:
            return
        if request.HasField("damaged"):
            self.damaged.append(request.damaged)
        bad = {ref.manifest_sha256 for ref in self.damaged}
        known = [c.checkpoint for c in self.checkpoints[request.stage_index]]
        good = [ref for ref in known if ref.manifest_sha256 not in bad]
        self.resume.pop(request.stage_index, None)
        if good:
            self.resume[request.stage_index] = good[-1]
        if any(ref.manifest_sha256 in bad for ref in (self._parent(request.stage_index),) if ref is not None):
            self.failed = True

    def _parent(self, stage: int) -> values_pb2.CheckpointRef | None:
        if stage > 0:
            return self.accepted(stage - 1)
        has_base = self.prepared is not None and self.prepared.HasField("base")
        return self.prepared.base if self.prepared is not None and has_base else None

    def _work(self) -> pb.BeginAttemptResponse:
        if self.failed or self.stage >= len(self.stages):
            return pb.BeginAttemptResponse(release=pb.ReleaseWork(reason="nothing more"))
        self.begun.append((self.stage, self.attempt))
        if self.prepared is None:
            asked = [
                pb.PrepareStage(index=i, name=s.name, sources=s.sources, target=s.target, shares=s.shares)
                for i, s in enumerate(self.stages)
            ]
            return pb.BeginAttemptResponse(prepare=pb.PrepareWork(attempt=self.attempt, spec=self.spec, stages=asked))
        plan = self.stages[self.stage]
        shares, lr_scale = self.mix.get(self.stage, (plan.shares, 1.0))
        work = pb.StageWork(
            attempt=self.attempt,
            index=self.stage,
            name=plan.name,
            spec=self.spec,
            output_uri=f"s3://{self.bucket}/runs/r1/{plan.name}/attempt-{self.attempt}",
            target=plan.target,
            shards=self.prepared.stages[self.stage].shards,
            sampled=self.prepared.sampled,
            tokenizer=self.prepared.tokenizer,
            shares=shares,
            lr_scale=lr_scale,
            total_steps=plan.steps,
            steps_per_boundary=plan.steps_per_boundary,
            decision_lag=self.lag,
        )
        parent = self._parent(self.stage)
        if parent is not None:
            work.parent.CopyFrom(parent)
        if self.stage in self.trials:
            work.mix_trial.CopyFrom(self.trials[self.stage])
            kept = [s for s in self.prepared.stages[self.stage].sets if s.use == values_pb2.SET_USE_CONTROL]
            work.mix_trial.sets.extend(s for s in kept if s.name in (plan.target, *plan.shares))
        if self.stage in self.resume:
            work.resume.CopyFrom(self.resume[self.stage])
        return pb.BeginAttemptResponse(stage=work)

    def _do(self, name: str, request: Any, context: Any, call: Callable[[], Any], *, fence: bool = True) -> Any:
        with self._lock:
            self.calls.append(name)
            if self.faults[name]:
                context.abort(self.faults[name].pop(0), "scripted")
            stale = request.submission != self.submission or (fence and request.attempt != self.attempt)
            if stale:
                context.abort(grpc.StatusCode.ABORTED, "another attempt is the present one")
            response = call()
            if self.lost_replies[name] > 0:
                self.lost_replies[name] -= 1
                context.abort(grpc.StatusCode.UNAVAILABLE, "the reply is lost")
            return response
