"""CheckpointService: convert, call, convert."""

from typing import Any

from retain.orchestrator.v1 import checkpoint_service_pb2 as pb
from retain.orchestrator.v1 import checkpoint_service_pb2_grpc as pb_grpc
from services.orchestrator.application.library import Library
from services.orchestrator.transport.paging import number_of, page_size, token_of
from services.orchestrator.transport.present import present_checkpoint, timestamp

Context = Any


class CheckpointServicer(pb_grpc.CheckpointServiceServicer):
    """The lineage, for users."""

    def __init__(self, library: Library) -> None:
        self._library = library

    async def ListCheckpoints(self, request: Any, context: Context) -> Any:  # noqa: N802
        of = f"checkpoints{request.run_id}"
        page = await self._library.page(
            run_id=request.run_id,
            limit=page_size(request.page_size),
            below_number=number_of(request.page_token, of=of),
        )
        return pb.ListCheckpointsResponse(
            checkpoints=[present_checkpoint(c) for c in page.items], next_page_token=token_of(page.next_number, of=of)
        )

    async def GetCheckpoint(self, request: Any, context: Context) -> Any:  # noqa: N802
        checkpoint = await self._library.get(request.checkpoint_id)
        return pb.GetCheckpointResponse(checkpoint=present_checkpoint(checkpoint))

    async def ImportCheckpoint(self, request: Any, context: Context) -> Any:  # noqa: N802
        checkpoint = await self._library.import_model(request.uri, request.name)
        return pb.ImportCheckpointResponse(checkpoint=present_checkpoint(checkpoint))

    async def VoidCheckpoint(self, request: Any, context: Context) -> Any:  # noqa: N802
        checkpoint = await self._library.void(request.checkpoint_id, request.reason)
        return pb.VoidCheckpointResponse(checkpoint=present_checkpoint(checkpoint))

    async def ExportCheckpoint(self, request: Any, context: Context) -> Any:  # noqa: N802
        export = await self._library.export(request.checkpoint_id, with_training_state=request.with_training_state)
        files = [pb.ExportedFile(path=f.path, url=f.url, sha256=f.sha256, bytes=f.bytes) for f in export.files]
        return pb.ExportCheckpointResponse(
            checkpoint=present_checkpoint(export.checkpoint), files=files, expire_time=timestamp(export.expire_s)
        )
