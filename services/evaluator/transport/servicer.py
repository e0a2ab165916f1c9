"""EvaluatorService over gRPC: a message becomes a value, the service is called, and what it returns a message."""
# ruff: noqa: N802  (the calls have the names of the proto)

from collections.abc import AsyncIterator
from typing import Any, TypeVar

from google.protobuf.message import Message

from retain.evaluator.v1 import resources_pb2, service_pb2, service_pb2_grpc
from retain.mapper import to_message, to_value
from retain.values import (
    EvaluateFileRequest,
    EvaluationRequest,
    PreviewDataRequest,
    SampleTextRequest,
    SpecViolation,
    WritePointRequest,
)
from services.common.errors import InvalidInput, Violation
from services.common.grpc.paging import page_of, page_size
from services.evaluator.application.export_interpolation import ExportInterpolation
from services.evaluator.application.previews import Previews
from services.evaluator.application.scoped import ScopedEvaluator
from services.evaluator.application.service import EvaluatorService

Context = Any  # the context's own type takes arguments when it is checked, and none when it runs
V = TypeVar("V")
LARGEST_HISTORY = 1000  # rows of one response


class EvaluatorServicer(service_pb2_grpc.EvaluatorServiceServicer):
    """One short method per call. Errors pass through to the interceptor."""

    def __init__(
        self, service: EvaluatorService, scoped: ScopedEvaluator, export: ExportInterpolation, previews: Previews
    ) -> None:
        self._service, self._scoped, self._export, self._previews = service, scoped, export, previews

    async def CreateEvaluation(
        self, request: service_pb2.CreateEvaluationRequest, context: Context
    ) -> service_pb2.CreateEvaluationResponse:
        asked = read(request.request, EvaluationRequest, "request")
        evaluation = await self._service.create(request.evaluation_id, asked)
        return service_pb2.CreateEvaluationResponse(evaluation=to_message(evaluation, resources_pb2.Evaluation))

    async def GetEvaluation(
        self, request: service_pb2.GetEvaluationRequest, context: Context
    ) -> service_pb2.GetEvaluationResponse:
        evaluation = await self._scoped.get(request.evaluation_id)
        return service_pb2.GetEvaluationResponse(evaluation=to_message(evaluation, resources_pb2.Evaluation))

    async def ListEvaluations(
        self, request: service_pb2.ListEvaluationsRequest, context: Context
    ) -> service_pb2.ListEvaluationsResponse:
        keys = await self._scoped.keys(request.run_id or None)
        of = f"evaluations{request.run_id}"
        page, token = page_of(keys, size=page_size(request.page_size), token=request.page_token, of=of)
        found = [
            to_message(evaluation, resources_pb2.Evaluation) for evaluation in await self._scoped.found(list(page))
        ]
        return service_pb2.ListEvaluationsResponse(evaluations=found, next_page_token=token)

    async def WatchEvaluation(
        self, request: service_pb2.WatchEvaluationRequest, context: Context
    ) -> AsyncIterator[service_pb2.WatchEvaluationResponse]:
        async for evaluation in self._scoped.watch(request.evaluation_id, request.sequence):
            yield service_pb2.WatchEvaluationResponse(evaluation=to_message(evaluation, resources_pb2.Evaluation))

    async def GetForgettingHistory(
        self, request: service_pb2.GetForgettingHistoryRequest, context: Context
    ) -> service_pb2.GetForgettingHistoryResponse:
        records = await self._scoped.history(request.run_id, request.stage or None)
        size = page_size(request.page_size, default=LARGEST_HISTORY, largest=LARGEST_HISTORY)
        of = f"history{request.run_id}/{request.stage}"
        page, token = page_of(records, size=size, token=request.page_token, of=of)
        rows = [to_message(record, resources_pb2.ForgettingRecord) for record in page]
        return service_pb2.GetForgettingHistoryResponse(records=rows, next_page_token=token)

    async def DeleteRunRecords(
        self, request: service_pb2.DeleteRunRecordsRequest, context: Context
    ) -> service_pb2.DeleteRunRecordsResponse:
        await self._service.delete_run(request.run_id)
        return service_pb2.DeleteRunRecordsResponse()

    async def WritePoint(
        self, request: service_pb2.WritePointRequest, context: Context
    ) -> service_pb2.WritePointResponse:
        written = await self._export.run(read(request, WritePointRequest))
        return to_message(written, service_pb2.WritePointResponse)

    async def PreviewData(
        self, request: service_pb2.PreviewDataRequest, context: Context
    ) -> service_pb2.PreviewDataResponse:
        found = await self._previews.preview(read(request, PreviewDataRequest))
        return service_pb2.PreviewDataResponse(preview=to_message(found, resources_pb2.DataPreview))

    async def EvaluateFile(
        self, request: service_pb2.EvaluateFileRequest, context: Context
    ) -> AsyncIterator[service_pb2.EvaluateFileResponse]:
        async for progress in self._scoped.evaluate_file(read(request, EvaluateFileRequest)):
            yield service_pb2.EvaluateFileResponse(evaluation=to_message(progress, resources_pb2.FileEvaluation))

    async def SampleText(
        self, request: service_pb2.SampleTextRequest, context: Context
    ) -> AsyncIterator[service_pb2.SampleTextResponse]:
        pieces = self._scoped.sample(read(request, SampleTextRequest))
        async for piece in pieces:
            yield to_message(piece, service_pb2.SampleTextResponse)


def read(message: Message, cls: type[V], path: str = "") -> V:
    """The value of a message. Raises InvalidInput for a value of an enum that this program does not know."""
    faults: list[SpecViolation] = []
    value = to_value(message, cls, faults, path)
    if faults:
        raise InvalidInput([Violation(field=fault.field, description=fault.description) for fault in faults])
    return value
