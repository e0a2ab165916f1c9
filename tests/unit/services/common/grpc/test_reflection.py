"""A client without any file of ours asks the server what it serves, and calls it: as grpcurl and ghz do."""

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client import CollectorRegistry

from retain.orchestrator.v1 import orchestrator_service_pb2 as messages
from retain.orchestrator.v1 import orchestrator_service_pb2_grpc as stubs
from services.common.grpc.server import GrpcServer
from tests.identity import access, aio_channel

SERVICE = "retain.orchestrator.v1.OrchestratorService"


class Servicer(stubs.OrchestratorServiceServicer):
    async def GetPipelineRun(self, request, context):
        reply = messages.GetPipelineRunResponse()
        reply.run.id = request.run_id.upper()
        return reply


@pytest.fixture
async def channel():
    add = stubs.add_OrchestratorServiceServicer_to_server
    server = GrpcServer(
        bind="127.0.0.1:0", services={SERVICE: (add, Servicer())}, registry=CollectorRegistry(), access=access()
    )
    port = await server.start()
    async with aio_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(0)


async def asked(channel, **request):
    """One question over the stream, as every client of the protocol sends it."""
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    async for reply in stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(**request)])):
        return reply
    raise AssertionError("no reply")


def pool_of(reply) -> descriptor_pool.DescriptorPool:
    """A pool of its own, from the files that came: nothing of this process's generated code."""
    pool, files = descriptor_pool.DescriptorPool(), {}
    for data in reply.file_descriptor_response.file_descriptor_proto:
        file = descriptor_pb2.FileDescriptorProto.FromString(data)
        files[file.name] = file

    def add(name: str) -> None:
        file = files.pop(name, None)
        if file is not None:
            for needed in file.dependency:
                add(needed)
            pool.Add(file)

    for name in list(files):
        add(name)
    return pool


@pytest.mark.parametrize("symbol", [SERVICE, f"{SERVICE}.GetPipelineRun", f"{SERVICE}.WatchPipelineRun"])
async def test_a_service_and_its_methods_are_found_and_can_be_called(channel, symbol):
    pool = pool_of(await asked(channel, file_containing_symbol=symbol))
    method = pool.FindServiceByName(SERVICE).methods_by_name["GetPipelineRun"]
    request_class = message_factory.GetMessageClass(method.input_type)
    reply_class = message_factory.GetMessageClass(method.output_type)
    call = channel.unary_unary(
        f"/{SERVICE}/{method.name}",
        request_serializer=request_class.SerializeToString,
        response_deserializer=reply_class.FromString,
    )
    reply = await call(json_format.Parse('{"runId": "abc"}', request_class()))
    assert json_format.MessageToDict(reply) == {"run": {"id": "ABC"}}


@pytest.mark.parametrize("symbol", [f"{SERVICE}.NoSuchCall", "retain.NoSuchService", "", "."])
async def test_what_is_not_there_is_not_found(channel, symbol):
    reply = await asked(channel, file_containing_symbol=symbol)
    assert reply.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


async def test_messages_and_files_are_found_as_before(channel):
    by_message = await asked(channel, file_containing_symbol="retain.orchestrator.v1.PipelineRun")
    assert pool_of(by_message).FindMessageTypeByName("retain.orchestrator.v1.PipelineRun") is not None
    by_name = await asked(channel, file_by_filename="retain/types/v1/spec.proto")
    assert pool_of(by_name).FindMessageTypeByName("retain.types.v1.PipelineSpec") is not None
