"""The door of a real server: who is let in, what others are told, and what is written of it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import structlog
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from prometheus_client import CollectorRegistry

from retain.orchestrator.v1 import orchestrator_service_pb2 as pb
from retain.orchestrator.v1 import orchestrator_service_pb2_grpc as pb_grpc
from retain.orchestrator.v1 import stage_control_service_pb2 as control_pb
from retain.orchestrator.v1 import stage_control_service_pb2_grpc as control_grpc
from services.common.errors import Unavailable
from services.common.grpc.server import GrpcServer
from services.common.identity.access import AccessInterceptor, Guarded, OpenToAll
from services.common.identity.permissions import METHODS, PERMISSIONS, Permission
from services.common.identity.principal import Kind, Principal, Role, current_principal
from services.common.identity.tokens import Authenticator, FirstOf, KnownTokens
from services.common.limits import Rate
from tests.identity import ADMIN, KNOWN, OPERATOR, VIEWER, bearer

WORKER = "token-of-a-worker-in-the-tests-0123456789"
OF_A = KnownTokens(
    {
        WORKER: Principal(
            subject="worker of a, submission 2",
            kind=Kind.WORKER,
            roles=frozenset({Role.WORKER}),
            run_id="a",
            submission=2,
        )
    }
)


class Runs(pb_grpc.OrchestratorServiceServicer):
    """Remembers who called."""

    def __init__(self) -> None:
        self.callers: list[str] = []

    def _note(self) -> None:
        caller = current_principal()
        self.callers.append(caller.subject if caller else "nobody")

    async def GetPipelineRun(self, request: Any, context: Any) -> Any:
        self._note()
        return pb.GetPipelineRunResponse()

    async def CancelPipelineRun(self, request: Any, context: Any) -> Any:
        self._note()
        return pb.CancelPipelineRunResponse()

    async def WatchPipelineRun(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self._note()
        yield pb.WatchPipelineRunResponse()


class Stages(control_grpc.StageControlServiceServicer):
    async def BeginAttempt(self, request: Any, context: Any) -> Any:
        return control_pb.BeginAttemptResponse()


class Breaks(Authenticator):
    """A key server that does not answer, or a bug."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def authenticate(self, token: str) -> Principal | None:
        raise self._error


class Served:
    """A server behind the door, and a channel to it."""

    def __init__(self, port: int, runs: Runs, channel: grpc.aio.Channel) -> None:
        self.port, self.runs, self.channel = port, runs, channel
        self.stub: Any = pb_grpc.OrchestratorServiceStub(channel)
        self.stages: Any = control_grpc.StageControlServiceStub(channel)


async def serving(authenticator: Authenticator, **options: Any) -> AsyncIterator[Served]:
    runs = Runs()
    package = "retain.orchestrator.v1"
    server = GrpcServer(
        bind="127.0.0.1:0",
        services={
            f"{package}.OrchestratorService": (pb_grpc.add_OrchestratorServiceServicer_to_server, runs),
            f"{package}.StageControlService": (control_grpc.add_StageControlServiceServicer_to_server, Stages()),
        },
        registry=CollectorRegistry(),
        access=AccessInterceptor(Guarded(authenticator), **options),
    )
    port = await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Served(port, runs, channel)
    await server.stop(0)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async for one in serving(FirstOf([KNOWN, OF_A])):
        yield one


async def refused(call: Any) -> tuple[grpc.StatusCode, str, str]:
    """Code, reason and message of a refusal."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return told(caught.value)


def told(error: grpc.RpcError) -> tuple[grpc.StatusCode, str, str]:
    info = error_details_pb2.ErrorInfo()
    status = rpc_status.from_call(error)
    assert status.details[0].Unpack(info)
    return error.code(), info.reason, error.details()


GET, CANCEL = pb.GetPipelineRunRequest(run_id="a"), pb.CancelPipelineRunRequest(run_id="a")


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ((), "TOKEN_MISSING"),
        ((("authorization", ""),), "TOKEN_MALFORMED"),
        ((("authorization", VIEWER),), "TOKEN_MALFORMED"),
        ((("authorization", "Basic YTpi"),), "TOKEN_MALFORMED"),
        ((("authorization", "Bearer " + "x" * 9000),), "TOKEN_MALFORMED"),
        ((("authorization", "Bearer "),), "TOKEN_UNKNOWN"),
        ((("authorization", "Bearer " + VIEWER[:-1]),), "TOKEN_UNKNOWN"),
        ((("authorization", "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9."),), "TOKEN_UNKNOWN"),
    ],
    ids=["none", "empty", "bare", "basic", "long", "blank", "nearly", "unsigned"],
)
async def test_nobody_is_let_in_without_a_token_that_is_known(served: Served, metadata: Any, reason: str) -> None:
    code, said, _ = await refused(served.stub.GetPipelineRun(GET, metadata=metadata))
    assert (code, said) == (grpc.StatusCode.UNAUTHENTICATED, reason)
    assert served.runs.callers == []


async def test_whoever_is_known_is_let_in_under_their_name(served: Served) -> None:
    for token in (VIEWER, OPERATOR, ADMIN):
        await served.stub.GetPipelineRun(GET, metadata=bearer(token))
    await served.stub.CancelPipelineRun(CANCEL, metadata=(("authorization", f"bearer {OPERATOR}"),))
    assert served.runs.callers == ["viewer", "operator", "admin", "operator"]


async def test_a_role_that_does_not_suffice_is_told_what_would(served: Served) -> None:
    code, reason, message = await refused(served.stub.CancelPipelineRun(CANCEL, metadata=bearer(VIEWER)))
    assert (code, reason) == (grpc.StatusCode.PERMISSION_DENIED, "ROLE_REFUSED")
    assert "viewer may not call CancelPipelineRun: it needs runs.write (role operator or admin)" in message
    assert served.runs.callers == []


async def test_streams_are_refused_before_they_begin(served: Served) -> None:
    for metadata, code in (((), grpc.StatusCode.UNAUTHENTICATED), (bearer(WORKER), grpc.StatusCode.PERMISSION_DENIED)):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in served.stub.WatchPipelineRun(pb.WatchPipelineRunRequest(run_id="a"), metadata=metadata):
                pass
        assert caught.value.code() is code
    assert served.runs.callers == []
    answers = [r async for r in served.stub.WatchPipelineRun(pb.WatchPipelineRunRequest(), metadata=bearer(VIEWER))]
    assert len(answers) == 1


async def test_every_method_is_refused_without_a_token_and_to_roles_that_lack_it(served: Served) -> None:
    """By name, over the wire: what a server does not serve is refused like what it does."""
    for method, needed in METHODS.items():
        if needed is Permission.PUBLIC:
            continue
        call = served.channel.unary_unary(method)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"", timeout=5)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED, method
        if needed not in PERMISSIONS[Role.VIEWER]:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(b"", timeout=5, metadata=bearer(VIEWER))
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED, method


async def test_health_is_for_probes_and_reflection_for_those_who_may_read(served: Served) -> None:
    health: Any = health_pb2_grpc.HealthStub(served.channel)
    assert (await health.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING
    reflection: Any = reflection_pb2_grpc.ServerReflectionStub(served.channel)
    asked = [reflection_pb2.ServerReflectionRequest(list_services="")]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in reflection.ServerReflectionInfo(iter(asked)):
            pass
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    answers = [a async for a in reflection.ServerReflectionInfo(iter(asked), metadata=bearer(VIEWER))]
    assert len(answers[0].list_services_response.service) == 4


async def test_a_method_that_nobody_serves_is_unimplemented_to_those_who_are_known(served: Served) -> None:
    call = served.channel.unary_unary("/retain.orchestrator.v1.OrchestratorService/OfTheNextVersion")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"", metadata=bearer(ADMIN))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"")
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_method_that_is_served_and_not_in_the_table_is_refused_to_everybody(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(METHODS, "/retain.orchestrator.v1.OrchestratorService/GetPipelineRun")  # type: ignore[arg-type]
    code, reason, _ = await refused(served.stub.GetPipelineRun(GET, metadata=bearer(ADMIN)))
    assert (code, reason) == (grpc.StatusCode.PERMISSION_DENIED, "METHOD_UNKNOWN")


@pytest.mark.parametrize(("run_id", "submission"), [("b", 2), ("a", 1), ("a", 3), ("", 0)])
async def test_a_worker_speaks_for_its_own_run_and_submission(served: Served, run_id: str, submission: int) -> None:
    own = control_pb.BeginAttemptRequest(run_id="a", submission=2)
    await served.stages.BeginAttempt(own, metadata=bearer(WORKER))
    other = control_pb.BeginAttemptRequest(run_id=run_id, submission=submission)
    code, reason, _ = await refused(served.stages.BeginAttempt(other, metadata=bearer(WORKER)))
    assert (code, reason) == (grpc.StatusCode.PERMISSION_DENIED, "ANOTHER_RUN")


async def test_people_are_no_workers_and_workers_no_people(served: Served) -> None:
    request = control_pb.BeginAttemptRequest(run_id="a", submission=2)
    assert (await refused(served.stages.BeginAttempt(request, metadata=bearer(ADMIN))))[1] == "ROLE_REFUSED"
    assert (await refused(served.stub.GetPipelineRun(GET, metadata=bearer(WORKER))))[1] == "ROLE_REFUSED"


async def test_each_refusal_is_logged_once_and_no_token_is(served: Served) -> None:
    wrong = "nearly-a-token-0123456789-0123456789"
    with structlog.testing.capture_logs() as logged:
        _, _, unknown = await refused(served.stub.GetPipelineRun(GET, metadata=bearer(wrong)))
        _, _, lacking = await refused(served.stub.CancelPipelineRun(CANCEL, metadata=bearer(VIEWER)))
    lines = [str(line) for line in logged if line["event"] == "call refused"]
    assert len(lines) == 2
    for text in (*lines, unknown, lacking):
        assert wrong not in text
        assert VIEWER not in text


@pytest.mark.parametrize(
    "error", [Unavailable("the identity provider does not answer"), KeyError("a bug of ours")], ids=["away", "bug"]
)
async def test_who_cannot_be_checked_is_not_let_in(error: Exception) -> None:
    async for served in serving(Breaks(error)):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.stub.GetPipelineRun(GET, metadata=bearer("x" * 40))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "bug" not in caught.value.details()
        assert served.runs.callers == []


async def test_calls_that_are_answered_together_do_not_see_each_others_callers(served: Served) -> None:
    tokens = [VIEWER, OPERATOR, ADMIN] * 20
    await asyncio.gather(*(served.stub.GetPipelineRun(GET, metadata=bearer(token)) for token in tokens))
    assert Counter(served.runs.callers) == {"viewer": 20, "operator": 20, "admin": 20}
    assert current_principal() is None


async def test_a_door_that_is_open_lets_everybody_in_as_the_same() -> None:
    anybody = Principal(subject="anybody", kind=Kind.USER)
    assert await OpenToAll(anybody).admitted("/any/Method", None) is anybody


async def test_refused_logins_are_counted_and_an_address_has_a_share_of_them() -> None:
    registry = CollectorRegistry()
    request = pb.GetPipelineRunRequest()
    async for one in serving(KNOWN, registry=registry, logins=Rate(calls_per_s=0.01, burst=5)):
        codes = Counter()
        with structlog.testing.capture_logs() as lines:
            for number in range(12):
                try:
                    await one.stub.GetPipelineRun(request, metadata=bearer(f"{'wrong' * 8}{number}"))
                except grpc.aio.AioRpcError as error:
                    codes[error.code()] += 1
        assert codes == {grpc.StatusCode.UNAUTHENTICATED: 5, grpc.StatusCode.RESOURCE_EXHAUSTED: 7}
        assert len(lines) == 5 + 1, "each refusal a line, and the flood one"
        await one.stub.GetPipelineRun(request, metadata=bearer(VIEWER))  # a good token of the same address
    counted = {
        sample.labels["reason"]: sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "retain_refused_logins_total"
    }
    assert counted == {"TOKEN_UNKNOWN": 12.0}
