"""`EvaluatorPort` on the evaluator's stub: every call with a deadline, tried again while the evaluator is away."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import tenacity
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from retain.evaluator.v1 import resources_pb2 as resources
from retain.evaluator.v1 import service_pb2 as pb
from retain.evaluator.v1 import service_pb2_grpc as pb_grpc
from services.common.errors import CheckpointDamaged, FailedPrecondition, NotFound, Refused, RetainError, Unavailable
from services.orchestrator.adapters.evaluator_messages import measurement_of, order_message, question_message, ref_of
from services.orchestrator.application.ports import EvaluationProgress, EvaluationView, EvaluatorPort
from services.orchestrator.domain.actions import Evaluate, WritePoint
from services.orchestrator.domain.values import CheckpointRef

CALL_TIMEOUT_S = 10.0
WRITE_TIMEOUT_S = 900.0  # both ends are read, and a whole model is written
TOO_SLOW = "EVALUATOR_TOO_SLOW"
NO_PROGRESS = "NO_PROGRESS"  # as services/evaluator/application/measuring_thread.py says it
_AWAY = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)


def _worth_another_try(error: BaseException) -> bool:
    """What took the whole time allowed is asked again by the loop that asked, after its pause, and not three times in a
    row: writing a point may take a quarter of an hour."""
    return isinstance(error, Unavailable) and error.reason != TOO_SLOW


class EvaluatorClient(EvaluatorPort):
    """Speaks to the evaluator on `channel`."""

    def __init__(self, channel: grpc.aio.Channel, *, token: str | None = None) -> None:
        self._stub: Any = pb_grpc.EvaluatorServiceStub(channel)
        self._metadata = (("authorization", f"Bearer {token}"),) if token else None

    async def create(self, run_id: str, question: Evaluate) -> EvaluationView:
        request = pb.CreateEvaluationRequest(
            evaluation_id=question.evaluation_id, request=question_message(run_id, question)
        )
        return view((await self._call(self._stub.CreateEvaluation, request)).evaluation)

    async def get(self, evaluation_id: str) -> EvaluationView:
        request = pb.GetEvaluationRequest(evaluation_id=evaluation_id)
        return view((await self._call(self._stub.GetEvaluation, request)).evaluation)

    async def write_point(self, order: WritePoint) -> tuple[CheckpointRef, int]:
        response = await self._call(self._stub.WritePoint, order_message(order), timeout_s=WRITE_TIMEOUT_S)
        written = response.checkpoint
        ref = CheckpointRef(
            uri=written.uri, manifest_sha256=written.manifest_sha256, weights_digest=written.weights_digest
        )
        return ref, response.bytes

    async def delete_run_records(self, run_id: str) -> None:
        await self._call(self._stub.DeleteRunRecords, pb.DeleteRunRecordsRequest(run_id=run_id))

    @tenacity.retry(
        retry=tenacity.retry_if_exception(_worth_another_try),
        stop=tenacity.stop_after_attempt(3),
        wait=tenacity.wait_exponential(multiplier=0.2, max=2.0),
        reraise=True,
    )
    async def _call(
        self, method: Callable[..., Awaitable[Any]], request: Any, *, timeout_s: float = CALL_TIMEOUT_S
    ) -> Any:
        try:
            return await method(request, timeout=timeout_s, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise translate(error) from error


def translate(error: grpc.aio.AioRpcError) -> RetainError:
    """A status of the evaluator as an error of ours: it is away, it knows no such thing, or what was asked cannot be
    done, with the evaluator's own reason."""
    said, info = f"evaluator: {error.code().name}: {error.details()}", error_info(error)
    reason = info.reason if info is not None else ""
    if reason == CheckpointDamaged.reason and info is not None:
        return CheckpointDamaged(said, metadata=dict(info.metadata))
    if reason == NO_PROGRESS:  # it answered that it gave up: asked again at once it would hang again
        return FailedPrecondition(said, reason=reason)
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return Unavailable(said, reason=TOO_SLOW)
    if error.code() in _AWAY:
        return Unavailable(said, reason="EVALUATOR_UNAVAILABLE")
    if error.code() is grpc.StatusCode.NOT_FOUND:
        return NotFound(said)
    if error.code() in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED):
        return Refused(said, reason="EVALUATOR_REFUSED")
    return FailedPrecondition(said, reason=reason or "EVALUATION_REFUSED")


def error_info(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo | None:
    """Reason and metadata that the evaluator attached to a status."""
    status = rpc_status.from_call(error)
    for detail in status.details if status is not None else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return info
    return None


def view(evaluation: resources.Evaluation) -> EvaluationView:
    """An evaluation as far as it is known."""
    if evaluation.state == resources.EVALUATION_STATE_SUCCEEDED:
        return EvaluationView(progress=EvaluationProgress.SUCCEEDED, measurement=measurement_of(evaluation))
    if evaluation.state == resources.EVALUATION_STATE_FAILED:
        return EvaluationView(
            progress=EvaluationProgress.FAILED,
            error_reason=evaluation.error_reason,
            error=evaluation.error,
            damaged=ref_of(evaluation.damaged) if evaluation.HasField("damaged") else None,
        )
    return EvaluationView(progress=EvaluationProgress.UNDER_WAY, waiting_for=evaluation.waiting_for)
