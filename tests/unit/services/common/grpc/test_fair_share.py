"""One caller gets its share of a server and no more, through a real channel."""

import asyncio
import socket
import time

import grpc
import pytest
from prometheus_client import CollectorRegistry

from retain.orchestrator.v1 import orchestrator_service_pb2 as messages
from retain.orchestrator.v1 import orchestrator_service_pb2_grpc as stubs
from services.common.errors import TooManyCalls
from services.common.grpc import fair_share, slow_request
from services.common.grpc.fair_share import FairShare, TokenBucket, address_of
from services.common.grpc.interceptors import wrap
from services.common.grpc.server import GrpcServer
from services.common.limits import Rate
from tests.identity import OPERATOR, VIEWER, OpenDoor, access, aio_channel, bearer

ALONE = [("grpc.use_local_subchannel_pool", 1)]  # a connection of its own

NAME = "retain.orchestrator.v1.OrchestratorService"


class Servicer(stubs.OrchestratorServiceServicer):
    async def GetPipelineRun(self, request, context):
        if request.run_id == "slow":
            await asyncio.sleep(60)
        return messages.GetPipelineRunResponse()

    async def WatchPipelineRun(self, request, context):
        yield messages.WatchPipelineRunResponse()
        await asyncio.sleep(60)


@pytest.fixture
async def served():
    server = GrpcServer(
        bind="127.0.0.1:0",
        services={NAME: (stubs.add_OrchestratorServiceServicer_to_server, Servicer())},
        registry=CollectorRegistry(),
        access=access(),
        rate=Rate(calls_per_s=5, burst=20, streams=4),
    )
    port = await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(0)


def test_a_bucket_holds_its_burst_and_fills_at_its_rate() -> None:
    bucket = TokenBucket(2.0, 3.0, now_s=0.0)
    assert [bucket.take(0.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert bucket.take(0.5) == 0.0
    assert bucket.take(0.5) == 0.5
    assert [bucket.take(100.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert bucket.take(99.0) > 0, "a clock that goes back gives nothing"


def test_callers_that_come_and_go_are_forgotten_and_those_with_streams_are_not(monkeypatch) -> None:
    monkeypatch.setattr(fair_share, "MOST_CALLERS", 10)
    shares = FairShare(Rate(streams=1), clock=lambda: 0.0)
    with shares.stream("open"):
        for number in range(100):
            shares.call(f"caller-{number}")
        assert len(shares._callers) <= 11
        with pytest.raises(TooManyCalls), shares.stream("open"):
            pass


async def test_a_flood_of_one_token_is_refused_over_all_its_connections_and_another_is_served(
    served: str,
) -> None:
    """One share for a principal, whatever connections it opens; another one on the same connection has its own."""
    request = messages.GetPipelineRunRequest(run_id="r")
    async with (
        grpc.aio.insecure_channel(served, options=ALONE) as one,
        grpc.aio.insecure_channel(served, options=ALONE) as two,
    ):
        calls = [
            stubs.OrchestratorServiceStub(channel).GetPipelineRun(request, timeout=60, metadata=bearer(OPERATOR))
            for channel in (one, two)
            for _ in range(100)
        ]
        began = time.monotonic()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        allowed = 20 + 5 * (time.monotonic() - began) + 1
        refused = [a for a in answers if isinstance(a, grpc.aio.AioRpcError)]
        assert {error.code() for error in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert 20 <= len(answers) - len(refused) <= allowed, "20 at once and 5 a second, for both together"
        for channel in (one, two):
            await stubs.OrchestratorServiceStub(channel).GetPipelineRun(request, metadata=bearer(VIEWER))


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:10.0.0.7:51234", "ipv4:10.0.0.7"),
        ("ipv6:[::1]:51234", "ipv6:[::1]"),
        ("unix:", "unix:"),
        ("unix:/run/x:1", "unix:/run/x:1"),
    ],
)
def test_an_address_is_a_peer_without_its_port(peer: str, address: str) -> None:
    assert address_of(peer) == address


async def test_only_so_many_streams_stay_open(served: str) -> None:
    async with aio_channel(served) as channel:
        stub = stubs.OrchestratorServiceStub(channel)
        watches = [stub.WatchPipelineRun(messages.WatchPipelineRunRequest(run_id="r")) for _ in range(6)]
        first = await asyncio.gather(*(watch.read() for watch in watches), return_exceptions=True)
        refused = [a for a in first if isinstance(a, grpc.aio.AioRpcError)]
        assert [error.code() for error in refused] == [grpc.StatusCode.RESOURCE_EXHAUSTED] * 2
        for watch in watches:
            watch.cancel()
        await asyncio.sleep(0.3)
        again = stub.WatchPipelineRun(messages.WatchPipelineRunRequest(run_id="r"))
        assert isinstance(await again.read(), messages.WatchPipelineRunResponse)
        again.cancel()


async def test_a_call_without_a_deadline_is_ended(served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fair_share, "CALL_S", 0.2)
    async with aio_channel(served) as channel:
        began = time.monotonic()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            stub = stubs.OrchestratorServiceStub(channel)
            await stub.GetPipelineRun(messages.GetPipelineRunRequest(run_id="slow"))
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert time.monotonic() - began < 5


def raw_frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def hpack(name: bytes, value: bytes) -> bytes:
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


async def test_a_request_that_never_comes_to_its_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """The head of a call and then nothing: neither the message nor the end of the stream."""
    monkeypatch.setattr(slow_request.SlowRequestInterceptor.__init__, "__defaults__", (0.3,))
    server = GrpcServer(
        bind="127.0.0.1:0",
        services={NAME: (stubs.add_OrchestratorServiceServicer_to_server, Servicer())},
        registry=CollectorRegistry(),
        access=OpenDoor(),
    )
    port = await server.start()
    head = b"".join(
        hpack(name, value)
        for name, value in (
            (b":method", b"POST"), (b":scheme", b"http"), (b":path", f"/{NAME}/GetPipelineRun".encode()),
            (b":authority", b"a"), (b"te", b"trailers"), (b"content-type", b"application/grpc"),
        )
    )  # fmt: skip

    def attack() -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as line:
            line.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + raw_frame(4, 0, 0, b"") + raw_frame(1, 4, 1, head))
            came, deadline = b"", time.monotonic() + 4
            while b"no whole request" not in came and time.monotonic() < deadline:
                came += line.recv(65_536)
            return came

    try:
        assert b"no whole request" in await asyncio.to_thread(attack)
    finally:
        await server.stop(0)


async def test_what_stands_before_the_waiting_for_a_request_is_asked_too() -> None:
    """Interceptors wrap handlers in any order: none is passed by because another one waits for the request."""
    seen = []

    def unary(behaviour):
        async def call(request, context):
            seen.append(request)
            return await behaviour(request, context)

        return call

    async def answer(request, context):
        return f"answer to {request}"

    async def requests():
        yield "a request"

    inner = grpc.unary_unary_rpc_method_handler(answer)
    outer = wrap(slow_request.WithinLimit(inner, 5.0), unary, lambda behaviour: behaviour)
    assert await outer.stream_unary(requests(), None) == "answer to a request"
    assert seen == ["a request"]
