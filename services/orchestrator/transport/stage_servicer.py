"""StageControlService: convert, call, convert."""

from typing import Any

from retain.mapper import enum_value, to_message, to_value
from retain.orchestrator.v1 import resources_pb2 as resources
from retain.orchestrator.v1 import stage_control_service_pb2 as pb
from retain.orchestrator.v1 import stage_control_service_pb2_grpc as pb_grpc
from retain.values import (
    BeginAttemptResponse,
    CheckpointRef,
    EndOutcome,
    GetDirectiveResponse,
    MixPoint,
    PreparedData,
    PrepareWork,
    ReleaseWork,
    SetRole,
    StageWork,
)
from retain.values.faults import mismatch
from services.common.errors import InvalidInput, Violation
from services.orchestrator.application.stage_control_service import StageControlService
from services.orchestrator.application.storage.store_keys import StoreKeyService
from services.orchestrator.domain.handlers.assignment import Work
from services.orchestrator.domain.run.events import CheckpointReported, MixTried, ProgressReported, StageEnded
from services.orchestrator.domain.run.state import StagePhase
from services.orchestrator.domain.spec.validation.limits import LARGEST_COMMENT, LARGEST_REQUEST_ID
from services.orchestrator.transport.bounds import check_text
from services.orchestrator.transport.identity_servicer import store_keys

Context = Any


class StageControlServicer(pb_grpc.StageControlServiceServicer):
    """For workers."""

    def __init__(self, stages: StageControlService, keys: StoreKeyService) -> None:
        self._stages, self._keys = stages, keys

    async def BeginAttempt(self, request: Any, context: Context) -> Any:  # noqa: N802
        if not request.request_id:
            raise InvalidInput([Violation(field="request_id", description=mismatch("none", "a unique name"))])
        check_text("request_id", request.request_id, LARGEST_REQUEST_ID)
        return _work(await self._stages.begin_attempt(request.run_id, request.submission, request.request_id))

    async def GetRunKeys(self, request: Any, context: Context) -> Any:  # noqa: N802
        return pb.GetRunKeysResponse(keys=store_keys(await self._keys.of_run(request.run_id, request.submission)))

    async def ReportProgress(self, request: Any, context: Context) -> Any:  # noqa: N802
        event = ProgressReported(
            now_s=0.0,
            submission=request.submission,
            attempt=request.attempt,
            stage_index=request.stage_index,
            phase=enum_value(request.phase, StagePhase, resources.StagePhase.DESCRIPTOR) or StagePhase.UNSPECIFIED,
            step=request.step,
            tokens=request.tokens,
            train_loss_nats=request.train_loss_nats,
            learning_rate=request.learning_rate,
            tokens_per_second=request.tokens_per_second,
            curriculum_level=request.curriculum_level,
            prepare_progress=request.prepare_progress,
            wait_s=request.wait_seconds,
            stall_s=request.stall_seconds,
            train_s=request.train_seconds,
            upload_failures=request.upload_failures,
            waiting_for=request.waiting_for[:LARGEST_COMMENT],
        )
        await self._stages.report_progress(request.run_id, event, request.heartbeat)
        return pb.ReportProgressResponse()

    async def ReportCheckpoint(self, request: Any, context: Context) -> Any:  # noqa: N802
        event = CheckpointReported(
            now_s=0.0,
            submission=request.submission,
            attempt=request.attempt,
            stage_index=request.stage_index,
            boundary=request.boundary,
            checkpoint=to_value(request.checkpoint, CheckpointRef),
            parent=request.parent,
            bytes=request.bytes,
            train_loss_nats=request.train_loss_nats,
            upload_s=request.upload_seconds,
            stall_s=request.stall_seconds,
            interim=request.interim,
        )
        await self._stages.report_checkpoint(request.run_id, event)
        return pb.ReportCheckpointResponse()

    async def ReportMixTrial(self, request: Any, context: Context) -> Any:  # noqa: N802
        event = MixTried(
            now_s=0.0,
            submission=request.submission,
            attempt=request.attempt,
            stage_index=request.stage_index,
            points=tuple(to_value(point, MixPoint) for point in request.points),
            tokens=request.tokens,
            seconds=request.seconds,
        )
        shares, message = await self._stages.report_mix_trial(request.run_id, event)
        return pb.ReportMixTrialResponse(shares=shares, message=message)

    async def GetDirective(self, request: Any, context: Context) -> Any:  # noqa: N802
        directive = await self._stages.directive(
            request.run_id,
            submission=request.submission,
            attempt=request.attempt,
            stage_index=request.stage_index,
            boundary=request.boundary,
        )
        if directive is None:
            return pb.GetDirectiveResponse(pending=True)
        told = GetDirectiveResponse(
            verdict=directive.verdict,
            shares=directive.mix.shares,
            lr_scale=directive.mix.lr_scale,
            message=directive.message,
        )
        return to_message(told, pb.GetDirectiveResponse)

    async def EndStage(self, request: Any, context: Context) -> Any:  # noqa: N802
        outcome = enum_value(request.outcome, EndOutcome, pb.EndOutcome.DESCRIPTOR)
        if outcome is None or outcome is EndOutcome.UNSPECIFIED:
            said = mismatch(outcome or request.outcome, "COMPLETED, FAILED, INTERRUPTED")
            raise InvalidInput([Violation(field="outcome", description=said)])
        faults: list[Violation] = []
        prepared = to_value(request.prepared, PreparedData, faults) if request.HasField("prepared") else None
        known = {fault.field for fault in faults}
        faults += [fault for fault in _roles_not_said(prepared) if fault.field not in known]
        if faults:
            raise InvalidInput(faults)
        event = StageEnded(
            now_s=0.0,
            submission=request.submission,
            attempt=request.attempt,
            stage_index=request.stage_index,
            failed=outcome is EndOutcome.FAILED,
            interrupted=outcome is EndOutcome.INTERRUPTED,
            damaged=to_value(request.damaged, CheckpointRef) if request.HasField("damaged") else None,
            reason=request.reason[:LARGEST_REQUEST_ID],
            message=request.message[:LARGEST_COMMENT],
            prepared=prepared,
        )
        await self._stages.end_stage(request.run_id, event)
        return pb.EndStageResponse()


def _roles_not_said(prepared: PreparedData | None) -> list[Violation]:
    """A set without a role would be measured for nothing."""
    return [
        Violation(field=f"stages[{i}].sets[{j}].role", description=mismatch("UNSPECIFIED", "TARGET, RETENTION"))
        for i, stage in enumerate(prepared.stages if prepared is not None else ())
        for j, ref in enumerate(stage.sets)
        if ref.role is SetRole.UNSPECIFIED
    ]


def _work(work: Work) -> pb.BeginAttemptResponse:
    match work:
        case ReleaseWork():
            response = BeginAttemptResponse(release=work)
        case PrepareWork():
            response = BeginAttemptResponse(prepare=work)
        case StageWork():
            response = BeginAttemptResponse(stage=work)
    return to_message(response, pb.BeginAttemptResponse)
