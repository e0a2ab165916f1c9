"""OrchestratorService: convert, call, convert."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

from google.protobuf.message import Message

from retain.mapper import enum_value, to_message, to_value
from retain.orchestrator.v1 import orchestrator_service_pb2 as pb
from retain.orchestrator.v1 import orchestrator_service_pb2_grpc as pb_grpc
from retain.orchestrator.v1 import resources_pb2 as resources
from retain.values import ApproveAction, PipelineSpec
from retain.values.faults import mismatch
from services.common.errors import InvalidInput, Violation
from services.common.grpc.paging import number_of, page_size, token_of
from services.orchestrator.application.checkpoint_service import CheckpointService
from services.orchestrator.application.logs.service import LogQuestion, LogService
from services.orchestrator.application.observing.alerts import alerts_of
from services.orchestrator.application.observing.run_metrics import RunMetrics, Wanted, points_wanted
from services.orchestrator.application.observing.system_status import SystemStatusService
from services.orchestrator.application.ports import UnreadableRun
from services.orchestrator.application.runs import RunService
from services.orchestrator.domain.run.state import PipelineRun, RunState
from services.orchestrator.domain.spec.validation.limits import LARGEST_COMMENT, LARGEST_REQUEST_ID
from services.orchestrator.transport.bounds import check_text, oversized
from services.orchestrator.transport.present import Place, Presenter, present_decision, present_plan

Context = Any
MOST_WORDS = 16  # of a search


class OrchestratorServicer(pb_grpc.OrchestratorServiceServicer):
    """For users."""

    def __init__(
        self,
        runs: RunService,
        checkpoints: CheckpointService,
        logs: LogService,
        metrics: RunMetrics,
        system: SystemStatusService,
    ) -> None:
        self._runs = runs
        self._checkpoints = checkpoints
        self._logs = logs
        self._metrics = metrics
        self._system = system
        self._presenter = Presenter()

    def _run(self, state: PipelineRun | UnreadableRun) -> resources.PipelineRun:
        return self._presenter.run(state, place=self._place(state))

    def _place(self, state: PipelineRun | UnreadableRun) -> Place:
        return Place(position=self._runs.queue_position(state.id), held_back=self._runs.held_back(state.id))

    async def CreatePipelineRun(self, request: Any, context: Context) -> Any:  # noqa: N802
        check_text("request_id", request.request_id, LARGEST_REQUEST_ID)
        if faults := oversized(request.spec):
            raise InvalidInput(faults, reason="INVALID_SPEC")
        spec = to_value(request.spec, PipelineSpec, faults)
        digest = request_digest(request.spec)
        state = await self._runs.create(
            spec,
            request.request_id,
            digest=digest,
            faults=faults,
            project=request.project,
            priority=request.priority,
        )
        return pb.CreatePipelineRunResponse(run=self._run(state))

    async def GetPipelineRun(self, request: Any, context: Context) -> Any:  # noqa: N802
        return pb.GetPipelineRunResponse(run=self._run(await self._runs.get(request.run_id)))

    async def ListPipelineRuns(self, request: Any, context: Context) -> Any:  # noqa: N802
        statuses = [_status(number, index) for index, number in enumerate(request.states)]
        words = " ".join(request.search.split())
        if len(words.split()) > MOST_WORDS:
            said = mismatch(f"{len(words.split())} words", f"up to {MOST_WORDS}")
            raise InvalidInput.at("search", said)
        of = "runs" + ",".join(sorted(statuses)) + request.project
        if words:
            of += f"/{hashlib.sha256(words.encode()).hexdigest()[:16]}"
        page = await self._runs.page(
            limit=page_size(request.page_size),
            below_number=number_of(request.page_token, of=of),
            statuses=statuses,
            project=request.project,
            words=words,
        )
        places = ((state, self._place(state)) for state in page.items)
        return self._presenter.page(places, token_of(page.next_number, of=of))

    async def WatchPipelineRun(self, request: Any, context: Context) -> AsyncIterator[Any]:  # noqa: N802
        async for state in self._runs.watch(request.run_id, request.sequence):
            yield pb.WatchPipelineRunResponse(run=self._run(state))

    async def UpdatePipelineRun(self, request: Any, context: Context) -> Any:  # noqa: N802
        faults = oversized(request.spec)
        spec = PipelineSpec() if faults else to_value(request.spec, PipelineSpec, faults)
        if faults:
            raise InvalidInput(faults, reason="INVALID_SPEC")
        state = await self._runs.update(request.run_id, spec, request.update_mask.paths, request.etag)
        return pb.UpdatePipelineRunResponse(run=self._run(state))

    async def CancelPipelineRun(self, request: Any, context: Context) -> Any:  # noqa: N802
        return pb.CancelPipelineRunResponse(run=self._run(await self._runs.cancel(request.run_id, request.etag)))

    async def ApprovePipelineRun(self, request: Any, context: Context) -> Any:  # noqa: N802
        action = enum_value(request.action, ApproveAction, pb.ApproveAction.DESCRIPTOR)
        if action is None or action is ApproveAction.UNSPECIFIED:
            said = mismatch(request.action, "ACCEPT, CONTINUE")
            raise InvalidInput([Violation(field="action", description=said)])
        check_text("comment", request.comment, LARGEST_COMMENT)
        state = await self._runs.approve(request.run_id, action, request.etag, request.comment)
        return pb.ApprovePipelineRunResponse(run=self._run(state))

    async def RetryPipelineRun(self, request: Any, context: Context) -> Any:  # noqa: N802
        return pb.RetryPipelineRunResponse(run=self._run(await self._runs.retry(request.run_id, request.etag)))

    async def DeletePipelineRun(self, request: Any, context: Context) -> Any:  # noqa: N802
        await self._runs.delete(request.run_id, request.etag)
        return pb.DeletePipelineRunResponse()

    async def ValidatePipelineSpec(self, request: Any, context: Context) -> Any:  # noqa: N802
        if faults := oversized(request.spec):
            return _violations(faults)
        spec = to_value(request.spec, PipelineSpec, faults)
        checked = await self._runs.check(spec, faults, project=request.project)
        violations = [*checked.violations]
        if checked.locked and not violations:
            violations.append(Violation(field="stages[0]", description=checked.locked))
        if violations:
            return _violations(violations)
        costs = await self._runs.costs(checked)
        plan = present_plan(
            checked.spec,
            checked.stages,
            parameters=checked.parameters,
            memory=self._runs.memory,
            costs=costs,
            needs=checked.needs,
        )
        forecast = await self._runs.forecast(checked, request.project, request.priority)
        plan.queue.CopyFrom(to_message(forecast, resources.QueueForecast))
        return pb.ValidatePipelineSpecResponse(plan=plan)

    async def StreamLogs(self, request: Any, context: Context) -> AsyncIterator[Any]:  # noqa: N802
        asked = LogQuestion(
            follow=request.follow,
            last_lines=request.last_lines,
            skip_lines=request.skip_lines,
            submission=request.submission,
            containing=request.containing,
        )
        async with aclosing(self._logs.stream(request.run_id, asked)) as pieces:
            async for piece in pieces:
                yield pb.StreamLogsResponse(submission=piece.submission, text=piece.text, line=piece.line)

    async def ListDecisions(self, request: Any, context: Context) -> Any:  # noqa: N802
        of = f"decisions{request.run_id}"
        page = await self._runs.decisions(
            request.run_id,
            limit=page_size(request.page_size),
            after_number=number_of(request.page_token, of=of) or 0,
        )
        return pb.ListDecisionsResponse(
            decisions=[present_decision(d) for d in page.items], next_page_token=token_of(page.next_number, of=of)
        )

    async def ListRunMetrics(self, request: Any, context: Context) -> Any:  # noqa: N802
        wanted = Wanted(
            names=tuple(dict.fromkeys(request.names)), stage=request.stage, points=points_wanted(request.max_points)
        )
        of = f"metrics{request.run_id}{','.join(wanted.names)}/{wanted.stage}/{wanted.points}"
        start = number_of(request.page_token, of=of) or 0
        found, more = await self._metrics.series(request.run_id, wanted, start=start, size=page_size(request.page_size))
        return pb.ListRunMetricsResponse(
            series=[to_message(one, resources.MetricSeries) for one in found],
            next_page_token=token_of(start + len(found) if more else None, of=of),
        )

    async def GetSystemStatus(self, request: Any, context: Context) -> Any:  # noqa: N802
        status = await self._system.status()
        alerts = [to_message(one, resources.RunAlert) for one in alerts_of(await self._runs.unsettled())]
        return pb.GetSystemStatusResponse(status=to_message(status, resources.SystemStatus), alerts=alerts)

    async def CreateUpload(self, request: Any, context: Context) -> Any:  # noqa: N802
        ticket = await self._checkpoints.create_upload(
            sha256=request.sha256,
            file_name=request.file_name,
            size_bytes=request.bytes,
            folder=request.folder,
            project=request.project,
        )
        return to_message(ticket, pb.CreateUploadResponse)


def _violations(violations: Sequence[Violation]) -> pb.ValidatePipelineSpecResponse:
    return pb.ValidatePipelineSpecResponse(
        violations=[to_message(violation, pb.SpecViolation) for violation in violations]
    )


def request_digest(spec: Message) -> str:
    """Name of a request's content, the same in every process: maps are serialized in the order of their keys.

    The prefix tells it from the digests of an earlier program, and the database's column takes 64 characters.
    """
    return "2-" + hashlib.sha256(spec.SerializeToString(deterministic=True)).hexdigest()[:62]


def _status(number: int, index: int) -> RunState:
    status = enum_value(number, RunState, resources.RunState.DESCRIPTOR)
    if status is None or status is RunState.UNSPECIFIED:
        known = ", ".join(one for one in RunState if one is not RunState.UNSPECIFIED)
        said = mismatch(status or number, known)
        raise InvalidInput([Violation(field=f"states[{index}]", description=said)])
    return status
