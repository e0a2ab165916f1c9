"""RetainClient: every call that people make, with deadlines, retries, and streams that reconnect."""

import math
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, TypeVar

import grpc
from google.protobuf import field_mask_pb2
from google.protobuf.message import Message

from retain import mapper
from retain.orchestrator.v1 import checkpoint_service_pb2 as checkpoint_pb
from retain.orchestrator.v1 import checkpoint_service_pb2_grpc as checkpoint_grpc
from retain.orchestrator.v1 import orchestrator_service_pb2 as orchestrator_pb
from retain.orchestrator.v1 import orchestrator_service_pb2_grpc as orchestrator_grpc
from retain.orchestrator.v1 import resources_pb2
from retain.types.v1 import values_pb2
from ui.client import evaluator, identity, projects, views
from ui.client.address import Address
from ui.client.channel import mapped_errors, open_channel, to_client_error
from ui.client.convert import to_view
from ui.client.credentials import Credentials
from ui.client.errors import BadInput, ClientError, Unreachable, Violation
from ui.client.pages import Page
from ui.client.spec import to_message

DEADLINE_S = 20.0
GARBAGE_DEADLINE_S = 1800.0  # the whole store is listed, and what is deleted goes object by object
LOGS_DEADLINE_S = 600.0  # a whole log of days may be large
STREAM_DEADLINE_S = 300.0  # a stream is opened anew after so long, so that a half-dead connection is noticed
PATIENCE_S = 120.0  # how long a stream keeps looking for a server that went away
PAGE_SIZE = 500
Response = TypeVar("Response", bound=Message)


class RetainClient:
    """A client of the orchestrator and the evaluator. Safe to share between threads; `close` ends open streams.

    Every method raises a `ClientError`: BadInput, Unreachable, RefusedByServer, or the root class for the rest.
    """

    def __init__(self, address: Address, *, patience_s: float = PATIENCE_S) -> None:
        self.address = address
        self._patience_s = patience_s
        self._credentials = Credentials(address)
        self._channel = open_channel(address.orchestrator, address)
        self._runs = orchestrator_grpc.OrchestratorServiceStub(self._channel)
        self._checkpoints = checkpoint_grpc.CheckpointServiceStub(self._channel)
        self.evaluator = evaluator.EvaluatorClient(address, self._credentials)
        self.identity = identity.IdentityClient(address, self._channel, self._credentials)
        self.projects = projects.ProjectsClient(address, self._channel, self._credentials)
        self._closed = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def tls_ca(self) -> Path | None:
        """PEM file of who signed the servers' certificates, those of links to the object store among them."""
        return self.address.tls_ca

    def close(self) -> None:
        self._closed.set()
        self._channel.close()
        self.evaluator.close()

    # --- runs

    def create_run(self, spec_tree: Any, *, request_id: str | None = None, priority: int = 0) -> views.Run:
        """Submits a spec (plain data as read from YAML) to the project of the address. The request id makes a retried
        call create one run; `priority` (-10 to 10) moves it among the waiting runs of its project."""
        spec, faults = to_message(spec_tree)
        if faults:
            raise BadInput(faults)
        request = orchestrator_pb.CreatePipelineRunRequest(
            spec=spec,
            request_id=request_id or str(uuid.uuid4()),
            project=self.address.project,
            priority=priority,
        )
        return to_view(views.Run, self._call(self._runs.CreatePipelineRun, request).run)

    def validate(self, spec_tree: Any, *, priority: int = 0) -> tuple[views.Plan | None, tuple[Violation, ...]]:
        """The plan, or every fault at once: those of the reading, and the server's in what could be read."""
        spec, faults = to_message(spec_tree)
        request = orchestrator_pb.ValidatePipelineSpecRequest(
            spec=spec, project=self.address.project, priority=priority
        )
        response = self._call(self._runs.ValidatePipelineSpec, request)
        seen = {fault.field for fault in faults}
        faults += [
            Violation(field=v.field, description=v.description) for v in response.violations if v.field not in seen
        ]
        return (None if faults else to_view(views.Plan, response.plan)), tuple(faults)

    def get_run(self, run_id: str) -> views.Run:
        return to_view(
            views.Run, self._call(self._runs.GetPipelineRun, orchestrator_pb.GetPipelineRunRequest(run_id=run_id)).run
        )

    def list_runs(
        self, *, states: tuple[str, ...] = (), limit: int | None = None, project: str = "", words: str = ""
    ) -> list[views.Run]:
        """Runs (of a project), newest first; all of them without a limit. With `words` those that have every one:
        `key=value` is a label, each other word a part of id, name or labels."""
        wanted = [f"RUN_STATE_{state}" for state in states]
        request = orchestrator_pb.ListPipelineRunsRequest(states=wanted, project=project, search=words)
        return [to_view(views.Run, run) for run in self._pages(self._runs.ListPipelineRuns, request, "runs", limit)]

    def run_names(self, *, limit: int) -> dict[str, str]:
        """The newest runs, newest first: the name of each by its id. To read all that is told of a run takes longer."""
        rows = self._pages(self._runs.ListPipelineRuns, orchestrator_pb.ListPipelineRunsRequest(), "runs", limit)
        return {run.id: run.spec.name for run in rows}

    def runs_page(
        self, *, states: tuple[str, ...] = (), project: str = "", words: str = "", size: int = 50, token: str = ""
    ) -> Page[views.Run]:
        """A part of the runs, newest first, from the token of the part before; with `words` as in `list_runs`."""
        request = orchestrator_pb.ListPipelineRunsRequest(
            states=[f"RUN_STATE_{state}" for state in states], project=project, page_token=token, page_size=size
        )
        request.search = words
        response = self._call(self._runs.ListPipelineRuns, request)
        return Page(rows=tuple(to_view(views.Run, run) for run in response.runs), next_token=response.next_page_token)

    def watch(self, run_id: str, *, sequence: int = 0, timeout_s: float | None = None) -> Iterator[views.Run]:
        """The run with every change, until it has ended or, with `timeout_s`, so many seconds are over. Reconnects with
        the last sequence that it saw. A run that does not change is silent: another call tells a stream that only timed
        out from a server that hangs. Raises Unreachable when no server answers for longer than the patience."""
        lost_since: float | None = None
        end_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
        while not self._closed.is_set() and (left_s := end_s - time.monotonic()) > 0:
            request = orchestrator_pb.WatchPipelineRunRequest(run_id=run_id, sequence=sequence)
            stream_s = STREAM_DEADLINE_S if lost_since is None else min(STREAM_DEADLINE_S, self._patience_s)
            try:
                for response in self._runs.WatchPipelineRun(
                    request, timeout=min(stream_s, left_s), metadata=self._credentials.metadata()
                ):
                    lost_since = None
                    if response.run.sequence <= sequence and sequence:
                        continue
                    sequence = response.run.sequence
                    run = to_view(views.Run, response.run)
                    yield run
                    if run.is_terminal:
                        return
            except grpc.RpcError as error:
                if error.code() == grpc.StatusCode.CANCELLED and self._closed.is_set():
                    return
                failure = to_client_error(error, self.address.orchestrator)
                if not isinstance(failure, Unreachable):
                    raise failure from error
                if end_s <= time.monotonic():
                    return
                if error.code() != grpc.StatusCode.UNAVAILABLE and self._is_served(run_id):
                    lost_since = None
                else:
                    lost_since = lost_since or time.monotonic()
                    if time.monotonic() - lost_since > self._patience_s:
                        raise failure from error
            self._closed.wait(max(0.0, min(0.5, end_s - time.monotonic())))

    def _is_served(self, run_id: str) -> bool:
        """Whether the server answers a call about this run at all, an error included."""
        try:
            self.get_run(run_id)
        except Unreachable:
            return False
        except ClientError:
            return True
        return True

    def update(self, run_id: str, changes: Mapping[str, Any], *, etag: str = "") -> views.Run:
        """Changes what may change of a run's spec: values by their paths, as in `{"forgetting.budget": 0.15,
        "labels.owner": "ada"}`. None is the default of a field, and no label of that name."""
        tree: dict[str, Any] = {}
        for path, value in changes.items():
            part, _, name = path.partition(".")
            # Deeper than a field of a part nothing may change: the server says so, whatever the value is.
            if value is not None and (part == "labels" or "." not in name):
                tree[part] = {**tree.get(part, {}), name: value} if name else value
        spec, faults = to_message(tree)
        if faults:
            raise BadInput(faults)
        mask = field_mask_pb2.FieldMask(paths=changes)
        request = orchestrator_pb.UpdatePipelineRunRequest(run_id=run_id, spec=spec, update_mask=mask, etag=etag)
        return to_view(views.Run, self._call(self._runs.UpdatePipelineRun, request).run)

    def cancel(self, run_id: str, *, etag: str = "") -> views.Run:
        request = orchestrator_pb.CancelPipelineRunRequest(run_id=run_id, etag=etag)
        return to_view(views.Run, self._call(self._runs.CancelPipelineRun, request).run)

    def approve(self, run_id: str, action: str, *, etag: str = "", comment: str = "") -> views.Run:
        """Resumes a SUSPENDED run; `action` is ACCEPT (this checkpoint, as it is) or CONTINUE (one more retry)."""
        name = f"APPROVE_ACTION_{action}"
        request = orchestrator_pb.ApprovePipelineRunRequest(run_id=run_id, action=name, etag=etag, comment=comment)
        return to_view(views.Run, self._call(self._runs.ApprovePipelineRun, request).run)

    def retry(self, run_id: str, *, etag: str = "") -> views.Run:
        request = orchestrator_pb.RetryPipelineRunRequest(run_id=run_id, etag=etag)
        return to_view(views.Run, self._call(self._runs.RetryPipelineRun, request).run)

    def delete(self, run_id: str, *, etag: str = "") -> None:
        self._call(self._runs.DeletePipelineRun, orchestrator_pb.DeletePipelineRunRequest(run_id=run_id, etag=etag))

    def logs(self, run_id: str, *, follow: bool = False, **part: Any) -> Iterator[views.LogText]:
        """Log lines of the run's workers; with `follow` until the run has ended. `part`, what alone is wanted:
        `last_lines` (of them not the last `skip_lines`), `submission` (a worker group), `containing` (words; each line
        that has them comes by itself, with its number)."""
        request = orchestrator_pb.StreamLogsRequest(run_id=run_id, follow=follow, **part)
        with mapped_errors(self.address.orchestrator):
            for response in self._runs.StreamLogs(
                request, timeout=None if follow else LOGS_DEADLINE_S, metadata=self._credentials.metadata()
            ):
                yield to_view(views.LogText, response)

    def decisions(self, run_id: str) -> list[views.Decision]:
        """Every decision of the run, oldest first."""
        request = orchestrator_pb.ListDecisionsRequest(run_id=run_id)
        return [
            to_view(views.Decision, decision)
            for decision in self._pages(self._runs.ListDecisions, request, "decisions")
        ]

    def metrics(
        self, run_id: str, *, names: Sequence[str] = (), stage: str = "", max_points: int = 0
    ) -> list[views.MetricSeries]:
        """The figures of a run as series (`names`: of these only), each of up to `max_points` points (0: 500), which
        the server chooses: as it trains, and as it was measured at boundaries. By stage, by name."""
        request = orchestrator_pb.ListRunMetricsRequest(run_id=run_id, names=names, stage=stage, max_points=max_points)
        return [to_view(views.MetricSeries, one) for one in self._pages(self._runs.ListRunMetrics, request, "series")]

    def system_status(self) -> views.SystemStatus:
        """How the installation stands: the queue, and what is around the orchestrator."""
        return self.system().status

    def system(self) -> views.System:
        """The same as `status`, and `alerts`: what is over a threshold or waits for a person in the caller's runs, the
        gravest first."""
        response = self._call(self._runs.GetSystemStatus, orchestrator_pb.GetSystemStatusRequest())
        return to_view(views.System, response)

    def create_upload(self, *, sha256: str, file_name: str, size_bytes: int, folder: str = "") -> views.Upload:
        """Where to PUT a local file so that the workers can read it."""
        request = orchestrator_pb.CreateUploadRequest(
            sha256=sha256, file_name=file_name, bytes=size_bytes, folder=folder, project=self.address.project
        )
        return to_view(views.Upload, self._call(self._runs.CreateUpload, request))

    # --- checkpoints

    def checkpoints(self, *, run_id: str = "", limit: int | None = None, project: str = "") -> list[views.Checkpoint]:
        """The lineage (of a project), newest first."""
        request = checkpoint_pb.ListCheckpointsRequest(run_id=run_id, project=project)
        rows = self._pages(self._checkpoints.ListCheckpoints, request, "checkpoints", limit)
        return [to_view(views.Checkpoint, row) for row in rows]

    def checkpoints_page(
        self,
        *,
        run_id: str = "",
        project: str = "",
        stage: str = "",
        states: tuple[str, ...] = (),
        size: int = 50,
        token: str = "",
    ) -> Page[views.Checkpoint]:
        """A part of the lineage, newest first, with the number of all that there are. `stage` is a kind (midtrain) or a
        name (midtrain/code) of stages, or `imported`."""
        request = checkpoint_pb.ListCheckpointsRequest(
            run_id=run_id,
            project=project,
            stage=stage,
            states=[f"CHECKPOINT_STATE_{state}" for state in states],
            page_size=size,
            page_token=token,
        )
        response = self._call(self._checkpoints.ListCheckpoints, request)
        rows = tuple(to_view(views.Checkpoint, row) for row in response.checkpoints)
        return Page(rows=rows, next_token=response.next_page_token, total=response.total_size)

    def checkpoint(self, checkpoint_id: str) -> views.Checkpoint:
        """One checkpoint, by its id, its s3:// URI, or 8 or more digits of its manifest digest."""
        request = checkpoint_pb.GetCheckpointRequest(checkpoint_id=checkpoint_id)
        return to_view(views.Checkpoint, self._call(self._checkpoints.GetCheckpoint, request).checkpoint)

    def void_checkpoint(self, checkpoint_id: str, *, reason: str = "") -> views.Checkpoint:
        """Sets a checkpoint aside: nothing resumes from it any more. One that others build on is refused."""
        request = checkpoint_pb.VoidCheckpointRequest(checkpoint_id=checkpoint_id, reason=reason)
        return to_view(views.Checkpoint, self._call(self._checkpoints.VoidCheckpoint, request).checkpoint)

    def share_checkpoint(self, checkpoint_id: str, project: str) -> views.Checkpoint:
        """Lets another project look at a checkpoint, take it out and build on it."""
        request = checkpoint_pb.ShareCheckpointRequest(checkpoint_id=checkpoint_id, project=project)
        return to_view(views.Checkpoint, self._call(self._checkpoints.ShareCheckpoint, request).checkpoint)

    def unshare_checkpoint(self, checkpoint_id: str, project: str) -> views.Checkpoint:
        """Takes that back; runs that already build on it continue."""
        request = checkpoint_pb.UnshareCheckpointRequest(checkpoint_id=checkpoint_id, project=project)
        return to_view(views.Checkpoint, self._call(self._checkpoints.UnshareCheckpoint, request).checkpoint)

    def import_checkpoint(self, uri: str, *, name: str) -> views.Checkpoint:
        """Registers an uploaded Hugging Face folder as a base."""
        request = checkpoint_pb.ImportCheckpointRequest(uri=uri, name=name)
        return to_view(
            views.Checkpoint, self._call(self._checkpoints.ImportCheckpoint, request, deadline_s=120.0).checkpoint
        )

    def export_checkpoint(self, checkpoint_id: str, *, with_training_state: bool = False) -> views.Export:
        """Presigned URLs of a checkpoint's files."""
        request = checkpoint_pb.ExportCheckpointRequest(
            checkpoint_id=checkpoint_id, with_training_state=with_training_state
        )
        response = self._call(self._checkpoints.ExportCheckpoint, request)
        found = to_view(views.Export, response)
        return replace(found, checkpoint=to_view(views.Checkpoint, response.checkpoint))

    def record_benchmark(self, checkpoint_id: str, benchmark: views.Benchmark) -> views.Benchmark:
        """Keeps what a harness found of a checkpoint; the same again changes nothing."""
        message = mapper.to_message(benchmark, resources_pb2.Benchmark)
        request = checkpoint_pb.RecordBenchmarkRequest(checkpoint_id=checkpoint_id, benchmark=message)
        return to_view(views.Benchmark, self._call(self._checkpoints.RecordBenchmark, request).benchmark)

    def benchmarks(self, checkpoint_id: str) -> list[views.Benchmark]:
        """What harnesses found of a checkpoint, newest first."""
        request = checkpoint_pb.ListBenchmarksRequest(checkpoint_id=checkpoint_id)
        return [
            to_view(views.Benchmark, one)
            for one in self._pages(self._checkpoints.ListBenchmarks, request, "benchmarks")
        ]

    def collect_garbage(self, *, dry_run: bool, older_than_s: int = 0) -> views.Garbage:
        """What nothing in the store refers to: listed, or deleted. 0: what is older than a day."""
        request = checkpoint_pb.CollectGarbageRequest(dry_run=dry_run, older_than_seconds=older_than_s)
        reply = self._call(self._checkpoints.CollectGarbage, request, deadline_s=GARBAGE_DEADLINE_S)
        return to_view(views.Garbage, reply)

    # --- the evaluator

    def history(self, run_id: str, *, stage: str = "") -> list[views.ForgettingRecord]:
        """The measured history of a run, oldest first."""
        return self.evaluator.history(run_id, stage=stage)

    def sample(self, checkpoint: views.CheckpointRef, prompt: str, **options: Any) -> Iterator[str]:
        """Text that continues the prompt, piece by piece; options as in `EvaluatorClient.sample`."""
        return (piece.text for piece in self.sample_pieces(checkpoint, prompt, **options) if piece.text)

    def sample_pieces(
        self, checkpoint: views.CheckpointRef, prompt: str, **options: Any
    ) -> Iterator[views.SampledPiece]:
        """The same with the numbers of the prompt in the first piece."""
        reference = mapper.to_message(checkpoint, values_pb2.CheckpointRef)
        return self.evaluator.sample(reference, prompt, **options)

    def evaluate_file(
        self, checkpoint: views.CheckpointRef, uri: str, *, patience_s: float | None = None, **options: int
    ) -> Iterator[views.FileEvaluation]:
        """How far the measuring of a file is that was uploaded to the project of the address (`ui.local.transfer`); the
        last one has the result. The same question again follows the same measuring, or has the kept result at once.
        `context` and `documents` as in `EvaluatorClient.evaluate_file`."""
        reference, project = mapper.to_message(checkpoint, values_pb2.CheckpointRef), self.address.project
        patience_s = self._patience_s if patience_s is None else patience_s
        return self.evaluator.evaluate_file(reference, uri, project=project, patience_s=patience_s, **options)

    def preview_data(self, spec_tree: Any, *, stage: int, role: str, documents: int = 3) -> views.DataPreview:
        """The beginning of a text of a stage, as a run would read it. Faults elsewhere in the spec do not matter."""
        spec, _ = to_message(spec_tree)
        project = self.address.project
        return self.evaluator.preview_data(spec, stage=stage, role=role, project=project, documents=documents)

    # --- how calls are made

    def _call(self, method: Callable[..., Response], request: Message, *, deadline_s: float = DEADLINE_S) -> Response:
        with mapped_errors(self.address.orchestrator):
            return method(request, timeout=deadline_s, metadata=self._credentials.metadata())

    def _pages(self, method: Callable[..., Any], request: Any, field: str, limit: int | None = None) -> Iterator[Any]:
        left = limit
        while left is None or left > 0:
            request.page_size = PAGE_SIZE if left is None else min(PAGE_SIZE, left)
            response = self._call(method, request)
            rows = list(getattr(response, field))[:left]
            yield from rows
            left = None if left is None else left - len(rows)
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token
