"""The server's shared behaviour, through a real channel: the health service stands in for any service."""

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from prometheus_client import CollectorRegistry

from retain.orchestrator.v1 import orchestrator_service_pb2 as messages
from retain.orchestrator.v1 import orchestrator_service_pb2_grpc as stubs
from services.common.errors import InvalidInput, Stale, Violation
from services.common.grpc.server import GrpcServer
from tests.identity import access, aio_channel

NAME = "retain.orchestrator.v1.OrchestratorService"


class Servicer(stubs.OrchestratorServiceServicer):
    async def CreatePipelineRun(self, request, context):
        raise InvalidInput(
            [
                Violation(field="name", description="got ''; expected 1 to 63 characters"),
                Violation(field="stages", description="got none; at least one is needed"),
            ]
        )

    async def GetPipelineRun(self, request, context):
        raise KeyError("secret detail")

    async def WatchPipelineRun(self, request, context):
        yield messages.WatchPipelineRunResponse()
        raise Stale("etag 3 is old; the run has etag 5", metadata={"etag": "5"})


@pytest.fixture
async def served():
    registry = CollectorRegistry()
    server = GrpcServer(
        bind="127.0.0.1:0",
        services={NAME: (stubs.add_OrchestratorServiceServicer_to_server, Servicer())},
        registry=registry,
        access=access(),
    )
    port = await server.start()
    async with aio_channel(f"127.0.0.1:{port}") as channel:
        yield server, channel, registry
    await server.stop(0)


async def test_every_violation_arrives_at_once_with_its_path(served):
    _, channel, _ = served
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stubs.OrchestratorServiceStub(channel).CreatePipelineRun(messages.CreatePipelineRunRequest())
    status = rpc_status.from_call(caught.value)
    bad = error_details_pb2.BadRequest()
    info = error_details_pb2.ErrorInfo()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert status.details[0].Unpack(info)
    assert info.reason == "INVALID_INPUT"
    assert status.details[1].Unpack(bad)
    assert [violation.field for violation in bad.field_violations] == ["name", "stages"]


async def test_an_unexpected_error_is_internal_and_leaks_nothing(served):
    _, channel, _ = served
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stubs.OrchestratorServiceStub(channel).GetPipelineRun(messages.GetPipelineRunRequest(run_id="x"))
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in caught.value.details()


async def test_a_stream_can_end_with_an_error_after_messages(served):
    _, channel, registry = served
    call = stubs.OrchestratorServiceStub(channel).WatchPipelineRun(messages.WatchPipelineRunRequest(run_id="x"))
    received = []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for message in call:
            received.append(message)
    assert len(received) == 1
    assert caught.value.code() is grpc.StatusCode.ABORTED
    call = {"grpc_type": "server_stream", "grpc_service": NAME, "grpc_method": "WatchPipelineRun"}
    assert registry.get_sample_value("grpc_server_handled_total", {**call, "grpc_code": "ABORTED"}) == 1
    assert registry.get_sample_value("grpc_server_handling_seconds_count", call) == 1


async def test_health_by_service_and_not_serving_while_draining(served):
    server, channel, _ = served
    stub = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service=NAME)
    assert (await stub.Check(request)).status == health_pb2.HealthCheckResponse.SERVING
    await server.set_serving(False)
    assert (await stub.Check(request)).status == health_pb2.HealthCheckResponse.NOT_SERVING


async def test_reflection_lists_the_services(served):
    _, channel, _ = served
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    replies = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    async for reply in replies:
        names = {service.name for service in reply.list_services_response.service}
        assert NAME in names
        break
    else:
        pytest.fail("no reply from the reflection service")
