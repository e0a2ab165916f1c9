"""Errors over the wire: what a server raises is what its caller gets, over a real connection."""

import grpc
import pytest
from prometheus_client import CollectorRegistry

from retain.orchestrator.v1 import orchestrator_service_pb2 as pb
from retain.orchestrator.v1 import orchestrator_service_pb2_grpc as pb_grpc
from services.common import errors
from services.common.errors import (
    AlreadyExists,
    CheckpointDamaged,
    Corrupt,
    FailedPrecondition,
    InvalidInput,
    InvalidTransition,
    NotFound,
    Refused,
    RetainError,
    Stale,
    StorageFull,
    Unavailable,
    Violation,
)
from services.common.grpc.server import GrpcServer
from services.common.grpc.status import CLASSES, error_of
from tests.identity import access, aio_channel

FAULTS = [Violation(field="name", description="got ''"), Violation(field="stages[0]", description="got none")]


class Raises(pb_grpc.OrchestratorServiceServicer):
    def __init__(self) -> None:
        self.fault: Exception = Stale("old")

    async def GetPipelineRun(self, request, context):
        raise self.fault


@pytest.fixture
async def failed():
    """Makes a server raise an error, and returns what the caller makes of it."""
    servicer = Raises()
    name = "retain.orchestrator.v1.OrchestratorService"
    services = {name: (pb_grpc.add_OrchestratorServiceServicer_to_server, servicer)}
    server = GrpcServer(bind="127.0.0.1:0", services=services, registry=CollectorRegistry(), access=access())
    port = await server.start()
    async with aio_channel(f"127.0.0.1:{port}") as channel:

        async def ask(fault: Exception) -> RetainError:
            servicer.fault = fault
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await pb_grpc.OrchestratorServiceStub(channel).GetPipelineRun(pb.GetPipelineRunRequest())
            return error_of(caught.value)

        yield ask
    await server.stop(0)


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (InvalidInput(FAULTS, reason="INVALID_SPEC"), InvalidInput),
        (NotFound("no such run"), NotFound),
        (AlreadyExists("taken"), AlreadyExists),
        (FailedPrecondition("in use", reason="CHECKPOINT_IN_USE"), FailedPrecondition),
        (InvalidTransition("approve", state="RUNNING", expected=["SUSPENDED"]), FailedPrecondition),
        (Stale("etag 3 is old", metadata={"etag": "5"}), Stale),
        (Unavailable("away"), Unavailable),
        (StorageFull("disk full at /data"), Unavailable),
        (Refused("a viewer may not cancel"), Refused),
        (Corrupt("another digest", reason="SET_DIFFERS"), Corrupt),
        (CheckpointDamaged("cut", metadata={"uri": "s3://b/k"}), Corrupt),
        (RetainError("unforeseen"), Unavailable),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_class_reason_and_metadata_survive_the_wire(failed, raised: RetainError, kind: type[RetainError]) -> None:
    told = await failed(raised)
    assert (type(told), told.reason, told.metadata) == (kind, raised.reason, raised.metadata)
    assert raised.message in told.message
    if isinstance(raised, InvalidInput):
        assert isinstance(told, InvalidInput)
        assert told.violations == raised.violations


def test_every_class_of_the_tree_has_a_status_of_its_own() -> None:
    """Two classes of one code would be one on the other side."""
    tree = [cls for cls in vars(errors).values() if isinstance(cls, type) and cls.__base__ is RetainError]
    assert len(tree) == 8
    assert {code: cls for code, cls in CLASSES.items() if code != "UNAUTHENTICATED"} == {cls.code: cls for cls in tree}
    assert len({cls.code for cls in tree}) == len(tree)
    assert all(hasattr(grpc.StatusCode, code) for code in CLASSES)
