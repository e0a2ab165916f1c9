"""CheckpointService: convert, call, convert."""

from collections.abc import Sequence
from typing import Any

from retain import values
from retain.mapper import enum_value, to_message, to_value
from retain.orchestrator.v1 import checkpoint_service_pb2 as pb
from retain.orchestrator.v1 import checkpoint_service_pb2_grpc as pb_grpc
from retain.orchestrator.v1 import resources_pb2 as resources
from retain.values import (
    CheckpointState,
    CollectGarbageResponse,
    Domain,
    ExportCheckpointResponse,
    GarbageItem,
    GetCheckpointResponse,
    ImportCheckpointResponse,
    ListBenchmarksResponse,
    ListCheckpointsResponse,
    RecordBenchmarkResponse,
    ShareCheckpointResponse,
    StageKind,
    UnshareCheckpointResponse,
    VoidCheckpointResponse,
)
from retain.values.faults import mismatch
from services.common.errors import InvalidInput, Violation
from services.common.grpc.paging import number_of, page_of, page_size, token_of
from services.orchestrator.application.checkpoint_service import CheckpointService
from services.orchestrator.application.collector import Collector
from services.orchestrator.application.ports import CheckpointFilter
from services.orchestrator.application.projects.service import ProjectService
from services.orchestrator.application.storage.benchmarks import BenchmarkService
from services.orchestrator.domain.run.state import Checkpoint
from services.orchestrator.domain.spec.validation.limits import LARGEST_COMMENT
from services.orchestrator.transport.bounds import check_text
from services.orchestrator.transport.present import present_checkpoint

Context = Any
LARGEST_ANSWER = 10_000  # items in one answer, which has to fit into a message


class CheckpointServicer(pb_grpc.CheckpointServiceServicer):
    """The lineage, for users."""

    def __init__(
        self,
        checkpoints: CheckpointService,
        collector: Collector,
        projects: ProjectService,
        benchmarks: BenchmarkService,
    ) -> None:
        self._checkpoints = checkpoints
        self._benchmarks = benchmarks
        self._collector = collector
        self._projects = projects

    async def _shown(self, *checkpoints: Checkpoint) -> tuple[values.Checkpoint, ...]:
        shared = await self._projects.shared_with(checkpoints)
        return tuple(present_checkpoint(one, shared.get(one.id, ())) for one in checkpoints)

    async def ListCheckpoints(self, request: Any, context: Context) -> Any:  # noqa: N802
        wanted = CheckpointFilter(
            run_id=request.run_id, stage=_stage(request.stage), statuses=_statuses(request.states)
        )
        of = f"checkpoints{request.run_id} {request.project} {wanted.stage} {','.join(sorted(wanted.statuses))}"
        page = await self._checkpoints.page(
            wanted,
            limit=page_size(request.page_size),
            below_number=number_of(request.page_token, of=of),
            project=request.project,
        )
        shown = await self._shown(*page.items)
        response = ListCheckpointsResponse(
            checkpoints=shown, next_page_token=token_of(page.next_number, of=of), total_size=page.total or 0
        )
        return to_message(response, pb.ListCheckpointsResponse)

    async def GetCheckpoint(self, request: Any, context: Context) -> Any:  # noqa: N802
        checkpoint = await self._checkpoints.get(request.checkpoint_id)
        (shown,) = await self._shown(checkpoint)
        response = GetCheckpointResponse(checkpoint=shown)
        return to_message(response, pb.GetCheckpointResponse)

    async def ImportCheckpoint(self, request: Any, context: Context) -> Any:  # noqa: N802
        checkpoint = await self._checkpoints.import_model(request.uri, request.name)
        response = ImportCheckpointResponse(checkpoint=present_checkpoint(checkpoint))
        return to_message(response, pb.ImportCheckpointResponse)

    async def VoidCheckpoint(self, request: Any, context: Context) -> Any:  # noqa: N802
        check_text("reason", request.reason, LARGEST_COMMENT)
        checkpoint = await self._checkpoints.void(request.checkpoint_id, request.reason)
        response = VoidCheckpointResponse(checkpoint=present_checkpoint(checkpoint))
        return to_message(response, pb.VoidCheckpointResponse)

    async def ExportCheckpoint(self, request: Any, context: Context) -> Any:  # noqa: N802
        export = await self._checkpoints.export(request.checkpoint_id, with_training_state=request.with_training_state)
        response = ExportCheckpointResponse(
            checkpoint=present_checkpoint(export.checkpoint), files=export.files, expire_time_s=export.expire_s
        )
        return to_message(response, pb.ExportCheckpointResponse)

    async def ShareCheckpoint(self, request: Any, context: Context) -> Any:  # noqa: N802
        checkpoint = await self._projects.share(request.checkpoint_id, request.project, on=True)
        (shown,) = await self._shown(checkpoint)
        return to_message(ShareCheckpointResponse(checkpoint=shown), pb.ShareCheckpointResponse)

    async def UnshareCheckpoint(self, request: Any, context: Context) -> Any:  # noqa: N802
        checkpoint = await self._projects.share(request.checkpoint_id, request.project, on=False)
        (shown,) = await self._shown(checkpoint)
        return to_message(UnshareCheckpointResponse(checkpoint=shown), pb.UnshareCheckpointResponse)

    async def RecordBenchmark(self, request: Any, context: Context) -> Any:  # noqa: N802
        given = to_value(request.benchmark, values.Benchmark)
        kept = await self._benchmarks.record(request.checkpoint_id, given)
        return to_message(RecordBenchmarkResponse(benchmark=kept), pb.RecordBenchmarkResponse)

    async def ListBenchmarks(self, request: Any, context: Context) -> Any:  # noqa: N802
        found = await self._benchmarks.all(request.checkpoint_id)
        size, of = page_size(request.page_size), f"benchmarks{request.checkpoint_id}"
        page, token = page_of(found, size=size, token=request.page_token, of=of)
        response = ListBenchmarksResponse(benchmarks=tuple(page), next_page_token=token)
        return to_message(response, pb.ListBenchmarksResponse)

    async def CollectGarbage(self, request: Any, context: Context) -> Any:  # noqa: N802
        if request.older_than_seconds < 0:
            said = mismatch(request.older_than_seconds, "0 (a day) or more")
            raise InvalidInput([Violation(field="older_than_seconds", description=said)])
        collected = await self._collector.collect(
            dry_run=request.dry_run, older_than_s=float(request.older_than_seconds)
        )
        items = tuple(
            GarbageItem(
                uri=item.uri,
                kind=item.kind.value,
                objects=item.objects,
                bytes=item.bytes,
                update_time_s=item.modified_s,
                reason=item.reason,
            )
            for item in collected.items[:LARGEST_ANSWER]
        )
        response = CollectGarbageResponse(
            items=items,
            bytes=collected.bytes,
            dry_run=collected.dry_run,
            notes=collected.notes,
            total_items=len(collected.items),
        )
        return to_message(response, pb.CollectGarbageResponse)


def _stage(name: str) -> str:
    """A kind of stages, the name of one, or `imported`; empty is all. Raises InvalidInput."""
    kinds = [kind.lower() for kind in StageKind if kind is not StageKind.UNSPECIFIED]
    domains = [f"midtrain/{domain.lower()}" for domain in Domain if domain is not Domain.UNSPECIFIED]
    known = [*kinds, *domains, "imported"]
    if name and name not in known:
        raise InvalidInput([Violation(field="stage", description=mismatch(repr(name[:100]), ", ".join(known)))])
    return name


def _statuses(numbers: Sequence[int]) -> tuple[CheckpointState, ...]:
    """Raises InvalidInput for a number that is no state."""
    found = []
    for index, number in enumerate(numbers):
        status = enum_value(number, CheckpointState, resources.CheckpointState.DESCRIPTOR)
        if status is None or status is CheckpointState.UNSPECIFIED:
            known = ", ".join(one for one in CheckpointState if one is not CheckpointState.UNSPECIFIED)
            said = mismatch(status or number, known)
            raise InvalidInput([Violation(field=f"states[{index}]", description=said)])
        found.append(status)
    return tuple(found)
