"""`EvaluatorPort` on the evaluator's stub: every call with a deadline, tried again while the evaluator is away."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import tenacity

from retain.evaluator.v1 import resources_pb2 as resources
from retain.evaluator.v1 import service_pb2 as pb
from retain.evaluator.v1 import service_pb2_grpc as pb_grpc
from retain.values import CheckpointRef, EvaluationState
from services.common.errors import CheckpointDamaged, FailedPrecondition, NotFound, Refused, RetainError, Unavailable
from services.common.grpc.status import details_of, error_of
from services.common.retry import RetryPolicy
from services.orchestrator.adapters.evaluator_messages import (
    evaluation_of,
    measurement_of,
    order_message,
    request_message,
)
from services.orchestrator.application.ports import EvaluationProgress, EvaluationView, EvaluatorPort
from services.orchestrator.domain.run.commands import Evaluate, WritePoint

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


RETRIES = RetryPolicy(interval_s=0.2, maximum_s=2.0, tries=3, is_retried=_worth_another_try)


class EvaluatorClient(EvaluatorPort):
    """Speaks to the evaluator on `channel`."""

    def __init__(self, channel: grpc.aio.Channel, *, token: str | None = None) -> None:
        self._stub: Any = pb_grpc.EvaluatorServiceStub(channel)
        self._metadata = (("authorization", f"Bearer {token}"),) if token else None

    async def create(self, run_id: str, command: Evaluate) -> EvaluationView:
        request = pb.CreateEvaluationRequest(
            evaluation_id=command.evaluation_id, request=request_message(run_id, command)
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

    async def _call(
        self, method: Callable[..., Awaitable[Any]], request: Any, *, timeout_s: float = CALL_TIMEOUT_S
    ) -> Any:
        return await tenacity.AsyncRetrying(**RETRIES.options())(self._once, method, request, timeout_s)

    async def _once(self, method: Callable[..., Awaitable[Any]], request: Any, timeout_s: float) -> Any:
        try:
            return await method(request, timeout=timeout_s, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise translate(error) from error


def translate(error: grpc.RpcError) -> RetainError:
    """A status of the evaluator as an error of ours: it is away, it knows no such thing, or what was asked cannot be
    done, with the evaluator's own reason."""
    found, (info, _) = error_of(error, server="evaluator"), details_of(error)
    if found.reason == CheckpointDamaged.reason:
        return CheckpointDamaged(found.message, metadata=found.metadata)
    if found.reason == NO_PROGRESS:  # it answered that it gave up: asked again at once it would hang again
        return FailedPrecondition(found.message, reason=NO_PROGRESS)
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return Unavailable(found.message, reason=TOO_SLOW)
    if error.code() in _AWAY:
        return Unavailable(found.message, reason="EVALUATOR_UNAVAILABLE")
    if isinstance(found, NotFound):
        return found
    if isinstance(found, Refused):
        return Refused(found.message, reason="EVALUATOR_REFUSED")
    return FailedPrecondition(found.message, reason=info.reason if info is not None else "EVALUATION_REFUSED")


def view(message: resources.Evaluation) -> EvaluationView:
    """An evaluation as far as it is known."""
    evaluation = evaluation_of(message)
    if evaluation.state is EvaluationState.SUCCEEDED:
        return EvaluationView(progress=EvaluationProgress.SUCCEEDED, measurement=measurement_of(evaluation))
    if evaluation.state is EvaluationState.FAILED:
        return EvaluationView(
            progress=EvaluationProgress.FAILED,
            error_reason=evaluation.error_reason,
            error=evaluation.error,
            damaged=evaluation.damaged,
        )
    return EvaluationView(progress=EvaluationProgress.UNDER_WAY, waiting_for=evaluation.waiting_for)
