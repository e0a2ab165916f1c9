"""EvaluatorService over gRPC: convert, call, convert."""
# ruff: noqa: N802  (the calls have the names of the proto)

from collections.abc import AsyncIterator
from typing import Any

from retain.evaluator.v1 import service_pb2, service_pb2_grpc
from services.common.grpc.paging import page_of, page_size
from services.evaluator.application.export_interpolation import ExportInterpolation
from services.evaluator.application.sampling import Sampling
from services.evaluator.application.service import EvaluatorService
from services.evaluator.transport import convert

Context = Any  # the context's own type takes arguments when it is checked, and none when it runs
LARGEST_HISTORY = 1000  # rows of one response


class EvaluatorServicer(service_pb2_grpc.EvaluatorServiceServicer):
    """One short method per call. Errors pass through to the interceptor."""

    def __init__(self, service: EvaluatorService, sampling: Sampling, export: ExportInterpolation) -> None:
        self._service, self._sampling, self._export = service, sampling, export

    async def CreateEvaluation(
        self, request: service_pb2.CreateEvaluationRequest, context: Context
    ) -> service_pb2.CreateEvaluationResponse:
        asked = convert.request_from(request.request)
        evaluation = await self._service.create(request.evaluation_id, asked)
        return service_pb2.CreateEvaluationResponse(evaluation=convert.evaluation_to(evaluation))

    async def GetEvaluation(
        self, request: service_pb2.GetEvaluationRequest, context: Context
    ) -> service_pb2.GetEvaluationResponse:
        evaluation = await self._service.get(request.evaluation_id)
        return service_pb2.GetEvaluationResponse(evaluation=convert.evaluation_to(evaluation))

    async def ListEvaluations(
        self, request: service_pb2.ListEvaluationsRequest, context: Context
    ) -> service_pb2.ListEvaluationsResponse:
        keys = await self._service.keys(request.run_id or None)
        of = f"evaluations{request.run_id}"
        page, token = page_of(keys, size=page_size(request.page_size), token=request.page_token, of=of)
        found = [convert.evaluation_to(evaluation) for evaluation in await self._service.found(list(page))]
        return service_pb2.ListEvaluationsResponse(evaluations=found, next_page_token=token)

    async def WatchEvaluation(
        self, request: service_pb2.WatchEvaluationRequest, context: Context
    ) -> AsyncIterator[service_pb2.WatchEvaluationResponse]:
        async for evaluation in self._service.watch(request.evaluation_id, request.sequence):
            yield service_pb2.WatchEvaluationResponse(evaluation=convert.evaluation_to(evaluation))

    async def GetForgettingHistory(
        self, request: service_pb2.GetForgettingHistoryRequest, context: Context
    ) -> service_pb2.GetForgettingHistoryResponse:
        records = await self._service.history(request.run_id, request.stage or None)
        size = page_size(request.page_size, default=LARGEST_HISTORY, largest=LARGEST_HISTORY)
        of = f"history{request.run_id}/{request.stage}"
        page, token = page_of(records, size=size, token=request.page_token, of=of)
        rows = [convert.record_to(record) for record in page]
        return service_pb2.GetForgettingHistoryResponse(records=rows, next_page_token=token)

    async def DeleteRunRecords(
        self, request: service_pb2.DeleteRunRecordsRequest, context: Context
    ) -> service_pb2.DeleteRunRecordsResponse:
        await self._service.delete_run(request.run_id)
        return service_pb2.DeleteRunRecordsResponse()

    async def WritePoint(
        self, request: service_pb2.WritePointRequest, context: Context
    ) -> service_pb2.WritePointResponse:
        written = await self._export.run(convert.order_from(request))
        return service_pb2.WritePointResponse(checkpoint=convert.checkpoint_to(written.checkpoint), bytes=written.bytes)

    async def SampleText(
        self, request: service_pb2.SampleTextRequest, context: Context
    ) -> AsyncIterator[service_pb2.SampleTextResponse]:
        pieces = self._sampling.sample(
            convert.checkpoint_from(request.checkpoint),
            prompt=request.prompt,
            max_new_tokens=request.max_new_tokens,
            temperature=request.temperature,
            top_k=request.top_k,
            seed=request.seed,
            chat=request.chat,
        )
        async for piece in pieces:
            yield service_pb2.SampleTextResponse(text=piece)
