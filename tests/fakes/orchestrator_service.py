"""The wire of Retain with memory behind it, for tests of the command and the panel: real gRPC, real HTTP, no training.

It validates only what these tests need. `put` changes a run as the orchestrator would: sequence and etag grow, watchers
are woken. `python -m tests.fakes.serve_fake PORT PACE_S` serves it with scripted runs to look at.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent import futures

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from retain.evaluator.v1 import service_pb2_grpc as evaluator_grpc
from retain.orchestrator.v1 import checkpoint_service_pb2 as checkpoint_pb
from retain.orchestrator.v1 import checkpoint_service_pb2_grpc as checkpoint_grpc
from retain.orchestrator.v1 import orchestrator_service_pb2 as pb
from retain.orchestrator.v1 import orchestrator_service_pb2_grpc as orchestrator_grpc
from retain.orchestrator.v1 import resources_pb2 as res
from retain.types.v1 import spec_pb2
from tests.fakes.answers.evaluator import EvaluatorAnswers
from tests.fakes.http_store import FakeStore

TERMINAL = {res.RUN_STATE_SUCCEEDED, res.RUN_STATE_FAILED, res.RUN_STATE_CANCELLED}


class FakePlatform(
    orchestrator_grpc.OrchestratorServiceServicer,
    checkpoint_grpc.CheckpointServiceServicer,
    EvaluatorAnswers,
):
    """All user-facing services on one port. Tests reach into its attributes to prepare and to look."""

    def __init__(self, *, token: str | None = None) -> None:
        EvaluatorAnswers.__init__(self)
        self.token = token
        self.runs: dict[str, res.PipelineRun] = {}
        self.decisions: dict[str, list[res.Decision]] = {}
        self.system = res.SystemStatus(slots=2)
        self.alerts: list[res.RunAlert] = []
        self.series: dict[str, list[res.MetricSeries]] = {}
        self.checkpoints: list[res.Checkpoint] = []
        self.losses = [8.3, 8.1]  # in the log of every run
        self.benchmarks: dict[str, list[res.Benchmark]] = {}  # by checkpoint
        self.garbage = checkpoint_pb.CollectGarbageResponse()
        self.garbage_asked: list[checkpoint_pb.CollectGarbageRequest] = []
        self.requests: dict[str, str] = {}
        self.asked_specs: dict[str, bytes] = {}  # by request id
        self.most_unsettled: int | None = None  # quota of runs that have not ended
        self.violations: list[tuple[str, str]] = []
        self.costs: dict[str, res.BoundaryCost] = {}  # of planned stages, by name
        self.needs: dict[str, res.StageNeeds] = {}  # of planned stages, by name
        self.warnings: list[str] = []  # of every plan
        self.calls: list[str] = []
        self.unavailable_calls = 0
        self.on_create: Callable[[res.PipelineRun], object] | None = None
        self.store = FakeStore()
        self.changed = threading.Condition()
        self._server: grpc.Server | None = None

    # --- life

    def start(self, port: int = 0) -> str:
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
        orchestrator_grpc.add_OrchestratorServiceServicer_to_server(self, self._server)
        checkpoint_grpc.add_CheckpointServiceServicer_to_server(self, self._server)
        evaluator_grpc.add_EvaluatorServiceServicer_to_server(self, self._server)
        bound = self._server.add_insecure_port(f"127.0.0.1:{port}")
        self._server.start()
        return f"127.0.0.1:{bound}"

    def stop_serving(self) -> None:
        """Closes the port at once; open streams break, the memory stays."""
        if self._server:
            self._server.stop(grace=0).wait()

    def stop(self) -> None:
        self.stop_serving()
        self.store.stop()

    def put(self, run: res.PipelineRun) -> None:
        with self.changed:
            run.sequence += 1
            run.etag = f"e{run.sequence}"
            self.runs[run.id] = run
            self.changed.notify_all()

    # --- OrchestratorService

    def CreatePipelineRun(self, request, context):
        self._enter(context, "CreatePipelineRun")
        if self.violations:
            self._abort(
                context, code_pb2.INVALID_ARGUMENT, "the spec has faults", "INVALID_INPUT", violations=self.violations
            )
        asked = request.spec.SerializeToString(deterministic=True)
        if self.asked_specs.setdefault(request.request_id, asked) != asked:
            text = f"the request id {request.request_id} made run {self.requests[request.request_id]} from another spec"
            self._abort(context, code_pb2.ALREADY_EXISTS, text, "REQUEST_ID_REUSED")
        if request.request_id not in self.requests:
            unsettled = sum(run.status.state not in TERMINAL for run in self.runs.values())
            if self.most_unsettled is not None and unsettled >= self.most_unsettled:
                text = f"the project may have {self.most_unsettled} runs that have not ended"
                del self.asked_specs[request.request_id]
                self._abort(context, code_pb2.FAILED_PRECONDITION, text, "QUOTA_EXCEEDED")
            run = res.PipelineRun(id=f"run-{len(self.runs) + 1}", spec=request.spec)
            for name, default in (("minor", 0.05), ("action", 0.10), ("stop", 0.20)):
                if not run.spec.forgetting.HasField(name):
                    setattr(run.spec.forgetting, name, default)
            run.status.state = res.RUN_STATE_PENDING
            run.create_time.GetCurrentTime()
            self.requests[request.request_id] = run.id
            self.put(run)
            if self.on_create:
                self.on_create(run)
        return pb.CreatePipelineRunResponse(run=self.runs[self.requests[request.request_id]])

    def ValidatePipelineSpec(self, request, context):
        self._enter(context, "ValidatePipelineSpec")
        faults = [pb.SpecViolation(field=field, description=text) for field, text in self.violations]
        plan = res.PipelinePlan(spec=request.spec, warnings=self.warnings)
        for stage in request.spec.stages:
            plan.stages.add(
                name=spec_pb2.StageKind.Name(stage.kind).removeprefix("STAGE_KIND_").lower(),
                kind=stage.kind,
                tokens=stage.duration.tokens,
                learning_rate=stage.learning_rate,
            )
        for stage in plan.stages:
            if stage.name in self.needs:
                stage.needs.CopyFrom(self.needs[stage.name])
            if stage.name in self.costs:
                stage.boundary_cost.CopyFrom(self.costs[stage.name])
                plan.warnings.append(stage.boundary_cost.warning)
        return (
            pb.ValidatePipelineSpecResponse(violations=faults) if faults else pb.ValidatePipelineSpecResponse(plan=plan)
        )

    def GetPipelineRun(self, request, context):
        self._enter(context, "GetPipelineRun")
        return pb.GetPipelineRunResponse(run=self._run(request.run_id, context))

    def ListPipelineRuns(self, request, context):
        self._enter(context, "ListPipelineRuns")
        runs = [
            run
            for run in reversed(list(self.runs.values()))
            if (not request.states or run.status.state in request.states) and _has(run, request.search.split())
        ]
        rows, token = _page(runs, request)
        return pb.ListPipelineRunsResponse(runs=rows, next_page_token=token)

    def WatchPipelineRun(self, request, context) -> Iterator[pb.WatchPipelineRunResponse]:
        self._enter(context, "WatchPipelineRun")
        seen = request.sequence
        self._run(request.run_id, context)
        while context.is_active():
            with self.changed:
                self.changed.wait_for(lambda last=seen: self.runs[request.run_id].sequence > last, timeout=0.2)
                run = res.PipelineRun()
                run.CopyFrom(self.runs[request.run_id])
            if run.sequence > seen:
                seen = run.sequence
                yield pb.WatchPipelineRunResponse(run=run)
            if run.status.state in TERMINAL:
                return

    def UpdatePipelineRun(self, request, context):
        self._enter(context, f"UpdatePipelineRun {' '.join(request.update_mask.paths)}")
        run = self._run(request.run_id, context)
        for path in request.update_mask.paths:
            part, _, name = path.partition(".")
            if part not in ("labels", "checkpoints", "forgetting"):
                fault = ("update_mask.paths[0]", f"got {path!r}; expected one of labels, ...")
                self._abort(context, code_pb2.INVALID_ARGUMENT, "it is fixed", "INVALID_INPUT", violations=[fault])
            if part == "labels":
                run.spec.labels.pop(name, None)
                if name in request.spec.labels:
                    run.spec.labels[name] = request.spec.labels[name]
            else:
                setattr(getattr(run.spec, part), name, getattr(getattr(request.spec, part), name))
        return pb.UpdatePipelineRunResponse(run=self._change(request, context, run.status.state))

    def CancelPipelineRun(self, request, context):
        self._enter(context, "CancelPipelineRun")
        return pb.CancelPipelineRunResponse(run=self._change(request, context, res.RUN_STATE_CANCELLED))

    def ApprovePipelineRun(self, request, context):
        self._enter(context, f"ApprovePipelineRun {pb.ApproveAction.Name(request.action)} {request.comment}".strip())
        run = self._run(request.run_id, context)
        if run.status.state != res.RUN_STATE_SUSPENDED:
            text = f"got a run that is {res.RunState.Name(run.status.state)}; expected SUSPENDED"
            self._abort(context, code_pb2.FAILED_PRECONDITION, text, "INVALID_TRANSITION")
        return pb.ApprovePipelineRunResponse(run=self._change(request, context, res.RUN_STATE_PENDING))

    def RetryPipelineRun(self, request, context):
        self._enter(context, "RetryPipelineRun")
        return pb.RetryPipelineRunResponse(run=self._change(request, context, res.RUN_STATE_PENDING))

    def DeletePipelineRun(self, request, context):
        self._enter(context, "DeletePipelineRun")
        self._run(request.run_id, context)
        del self.runs[request.run_id]
        return pb.DeletePipelineRunResponse()

    def StreamLogs(self, request, context):
        self._enter(context, "StreamLogs")
        lines = [f"step {number} loss {self.losses[number - 1]}" for number in range(1, len(self.losses) + 1)]
        if request.containing:
            for number, line in enumerate(lines, start=1):
                if request.containing in line:
                    yield pb.StreamLogsResponse(submission=1, text=line, line=number)
            return
        end = len(lines) - request.skip_lines
        for line in lines[max(0, end - request.last_lines) if request.last_lines else 0 : max(0, end)]:
            yield pb.StreamLogsResponse(submission=1, text=f"{line}\n")

    def ListDecisions(self, request, context):
        self._enter(context, "ListDecisions")
        rows, token = _page(self.decisions.get(request.run_id, []), request)
        return pb.ListDecisionsResponse(decisions=rows, next_page_token=token)

    def ListRunMetrics(self, request, context):
        self._enter(context, f"ListRunMetrics {' '.join(request.names)} {request.max_points}")
        self._run(request.run_id, context)
        found = [
            one
            for one in self.series.get(request.run_id, [])
            if (not request.names or one.name in request.names) and request.stage in {"", one.stage}
        ]
        rows, token = _page(found, request)
        return pb.ListRunMetricsResponse(series=rows, next_page_token=token)

    def GetSystemStatus(self, request, context):
        self._enter(context, "GetSystemStatus")
        return pb.GetSystemStatusResponse(status=self.system, alerts=self.alerts)

    def CreateUpload(self, request, context):
        self._enter(context, "CreateUpload")
        key = f"/uploads/{request.folder or request.sha256}/{request.file_name}"
        stored = self.store.objects.get(key)
        there = stored is not None and hashlib.sha256(stored).hexdigest() == request.sha256
        return pb.CreateUploadResponse(url="" if there else self.store.url + key, uri=f"s3://retain{key}")

    # --- CheckpointService

    def ListCheckpoints(self, request, context):
        self._enter(context, "ListCheckpoints")
        found = [
            c
            for c in self.checkpoints
            if request.run_id in {"", c.run_id}
            and (not request.states or c.state in request.states)
            and (not request.stage or (f"/{request.stage}/" in c.id) or (request.stage == "imported" and not c.run_id))
        ]
        rows, token = _page(found, request)
        return checkpoint_pb.ListCheckpointsResponse(checkpoints=rows, next_page_token=token, total_size=len(found))

    def GetCheckpoint(self, request, context):
        self._enter(context, "GetCheckpoint")
        return checkpoint_pb.GetCheckpointResponse(checkpoint=self._checkpoint(request.checkpoint_id, context))

    def VoidCheckpoint(self, request, context):
        self._enter(context, "VoidCheckpoint")
        found = self._checkpoint(request.checkpoint_id, context)
        found.state, found.message = res.CHECKPOINT_STATE_DAMAGED, f"set aside by a person: {request.reason}"
        return checkpoint_pb.VoidCheckpointResponse(checkpoint=found)

    def RecordBenchmark(self, request, context):
        self._enter(context, "RecordBenchmark")
        found = self._checkpoint(request.checkpoint_id, context)
        kept = res.Benchmark()
        kept.CopyFrom(request.benchmark)
        kept.id, kept.subject = hashlib.sha256(request.benchmark.SerializeToString()).hexdigest()[:32], "ada"
        kept.checkpoint.CopyFrom(found.ref)
        rows = self.benchmarks.setdefault(found.id, [])
        if kept.id not in {one.id for one in rows}:
            rows.insert(0, kept)
        return checkpoint_pb.RecordBenchmarkResponse(benchmark=kept)

    def ListBenchmarks(self, request, context):
        self._enter(context, "ListBenchmarks")
        found = self._checkpoint(request.checkpoint_id, context)
        rows, token = _page(self.benchmarks.get(found.id, []), request)
        return checkpoint_pb.ListBenchmarksResponse(benchmarks=rows, next_page_token=token)

    def CollectGarbage(self, request, context):
        self._enter(context, "CollectGarbage")
        self.garbage_asked.append(request)
        reply = checkpoint_pb.CollectGarbageResponse()
        reply.CopyFrom(self.garbage)
        reply.dry_run = request.dry_run
        return reply

    def ImportCheckpoint(self, request, context):
        self._enter(context, "ImportCheckpoint")
        digest = hashlib.sha256(request.uri.encode()).hexdigest()
        made = res.Checkpoint(id=f"imported/{digest[:12]}", state=res.CHECKPOINT_STATE_ACCEPTED, kind=1)
        made.ref.uri, made.ref.manifest_sha256 = request.uri, digest
        self.checkpoints.insert(0, made)
        return checkpoint_pb.ImportCheckpointResponse(checkpoint=made)

    def ExportCheckpoint(self, request, context):
        self._enter(context, "ExportCheckpoint")
        found = self._checkpoint(request.checkpoint_id, context)
        prefix = "/" + found.ref.uri.removeprefix("s3://retain/") + "/"
        response = checkpoint_pb.ExportCheckpointResponse(checkpoint=found)
        for key, body in sorted(self.store.objects.items()):
            path = key.removeprefix(prefix)
            if key.startswith(prefix) and (request.with_training_state or path.startswith("model/")):
                response.files.add(
                    path=path, url=self.store.url + key, sha256=hashlib.sha256(body).hexdigest(), bytes=len(body)
                )
        return response

    # --- helpers

    def _enter(self, context: grpc.ServicerContext, call: str) -> None:
        self.calls.append(call)
        if self.unavailable_calls > 0:
            self.unavailable_calls -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        if self.token and dict(context.invocation_metadata()).get("authorization") != f"Bearer {self.token}":
            self._abort(
                context,
                code_pb2.UNAUTHENTICATED,
                "got no valid token; expected a bearer token of this server",
                "NO_TOKEN",
            )

    def _abort(self, context, code: int, message: str, reason: str, *, violations=()) -> None:
        status = status_pb2.Status(code=code, message=message)
        details = [error_details_pb2.ErrorInfo(reason=reason, domain="retain")]
        if violations:
            bad = error_details_pb2.BadRequest()
            for field, text in violations:
                bad.field_violations.add(field=field, description=text)
            details.append(bad)
        for detail in details:
            packed = any_pb2.Any()
            packed.Pack(detail)
            status.details.append(packed)
        context.abort_with_status(rpc_status.to_status(status))

    def _run(self, run_id: str, context) -> res.PipelineRun:
        if run_id not in self.runs:
            self._abort(context, code_pb2.NOT_FOUND, f"there is no run {run_id}", "NOT_FOUND")
        return self.runs[run_id]

    def _checkpoint(self, checkpoint_id: str, context) -> res.Checkpoint:
        for found in self.checkpoints:
            if checkpoint_id in {found.id, found.ref.uri} or (
                len(checkpoint_id) >= 8 and found.ref.manifest_sha256.startswith(checkpoint_id)
            ):
                return found
        self._abort(context, code_pb2.NOT_FOUND, f"there is no checkpoint {checkpoint_id}", "NOT_FOUND")
        raise AssertionError("abort does not return")

    def _change(self, request, context, state: int) -> res.PipelineRun:
        run = self._run(request.run_id, context)
        if request.etag and request.etag != run.etag:
            self._abort(
                context, code_pb2.ABORTED, f"the run changed: etag: got {request.etag}; expected {run.etag}", "STALE"
            )
        run.status.state = state
        self.put(run)
        return run


def _page(rows: list, request) -> tuple[list, str]:
    start, size = int(request.page_token or 0), request.page_size or 50
    return rows[start : start + size], str(start + size) if start + size < len(rows) else ""


def _has(run, words: list[str]) -> bool:
    """Every word: `key=value` a label, each other one a part of id, name or labels."""
    labels = [f"{key}={value}".casefold() for key, value in run.spec.labels.items()]
    texts = [run.id.casefold(), run.spec.name.casefold(), *labels]
    return all(
        word.casefold() in labels if "=" in word else any(word.casefold() in text for text in texts) for word in words
    )
