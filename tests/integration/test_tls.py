"""TLS end to end: a real orchestrator with certificates of a real authority, renewed while it is called and while a
worker trains."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from deploy.certificates import Authority
from deploy.healthcheck import grpc_serving
from retain.orchestrator.v1 import identity_service_pb2 as identity_pb
from retain.orchestrator.v1 import identity_service_pb2_grpc as identity_grpc
from retain.orchestrator.v1 import orchestrator_service_pb2 as pb
from retain.orchestrator.v1 import orchestrator_service_pb2_grpc as pb_grpc
from retain.orchestrator.v1 import resources_pb2 as res
from services.common.tls.channel import open_channel
from services.common.tls.settings import ServerTls
from tests.fakes.platform import Platform, demo_spec
from tests.fakes.simulated_training import SimulatedTraining
from tests.identity import ADMIN, SERVICE, bearer
from tests.tls import EXPIRED, Folder, shown_by
from ui.client import Address
from ui.client.channel import open_channel as open_client_channel
from ui.client.client import RetainClient
from ui.client.errors import BadInput, Unreachable

pytestmark = pytest.mark.integration
AUTHORITY = Authority.new("of the tests")


class Installation:
    """A platform whose server, workers and people have certificates of one authority."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
        self.server = Folder(folder / "server", AUTHORITY)
        self.worker = Folder(folder / "worker", AUTHORITY, server=False)
        for name, value in self.worker.environment().items():
            monkeypatch.setenv(name, value)
        tls = ServerTls(files=self.server.files(), internal_bind="127.0.0.1:0")
        self.platform = Platform(f"sqlite:///{folder / 'retain.db'}", tls=tls, **options)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.platform.port}"

    @property
    def internal(self) -> str:
        return f"127.0.0.1:{self.platform.orchestrator.server.internal_port}"

    def person(self, *, ca: Path | None = None, host: str = "127.0.0.1") -> RetainClient:
        address = Address(
            orchestrator=f"{host}:{self.platform.port}", token=ADMIN, tls_ca=self.worker.ca if ca is None else ca
        )
        return RetainClient(address, patience_s=1.0)


@pytest.fixture
async def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Installation]:
    made = Installation(tmp_path, monkeypatch, simulated=SimulatedTraining(steps_per_s=40.0))
    await made.platform.start()
    try:
        yield made
    finally:
        await made.platform.stop()


def listed(client: RetainClient) -> list[str]:
    with client:
        return [run.id for run in client.list_runs()]


async def refused(client: RetainClient) -> str:
    with pytest.raises(Unreachable) as caught:
        await asyncio.to_thread(listed, client)
    assert caught.value.reason == "TLS"
    return caught.value.message


async def test_a_person_is_told_what_is_wrong_with_a_certificate(installation: Installation, tmp_path: Path) -> None:
    assert await asyncio.to_thread(listed, installation.person()) == []
    other = tmp_path / "other.pem"
    other.write_bytes(Authority.new("another").pem)
    assert "has a certificate that nobody in RETAIN_TLS_CA (--ca) signed" in await refused(
        installation.person(ca=other)
    )
    installation.server.renew(AUTHORITY, names=("retain.example",))
    assert "has a certificate for other names than this" in await refused(installation.person())
    installation.server.renew(AUTHORITY)
    assert await asyncio.to_thread(listed, installation.person(host="localhost")) == []


async def test_an_expired_certificate_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is taken from the server's own check, which would not start with it: the clock went on."""
    installation = Installation(tmp_path, monkeypatch)
    expired = AUTHORITY.issue("server", lifetime=EXPIRED)
    credentials = grpc.ssl_server_credentials([(expired.key, expired.certificate)])
    server = grpc.aio.server()
    installation.platform.port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        assert "has an expired certificate; whoever runs it must renew it" in await refused(installation.person())
    finally:
        await server.stop(0)


async def test_plain_text_and_tls_do_not_meet(installation: Installation, tmp_path: Path) -> None:
    plain = Address(orchestrator=installation.address, token=ADMIN)
    with pytest.raises(Unreachable, match="if it speaks TLS, name who signed its certificate"):
        await asyncio.to_thread(listed, RetainClient(plain))
    platform = Platform(f"sqlite:///{tmp_path / 'plain.db'}")
    port = await platform.start()
    try:
        address = Address(orchestrator=f"127.0.0.1:{port}", token=ADMIN, tls_ca=installation.worker.ca)
        assert "speaks plain text, and RETAIN_TLS_CA (--ca) asks for TLS" in await refused(RetainClient(address))
    finally:
        await platform.stop()


def test_no_token_leaves_for_another_machine_in_plain_text() -> None:
    with pytest.raises(BadInput, match=r"a token would travel to retain\.example:7070 in plain text"):
        open_client_channel("retain.example:7070", Address(token=ADMIN))


async def test_services_and_workers_show_a_certificate_and_people_do_not(installation: Installation) -> None:
    """A stolen service token, or a worker's, is good for nothing without the key of a certificate."""

    async def code(address: str, folder: Folder, token: str, *, own: bool = True) -> grpc.StatusCode:
        async with grpc.aio.secure_channel(address, folder.credentials(own=own)) as channel:
            stub = pb_grpc.OrchestratorServiceStub(channel)
            try:
                await stub.ListPipelineRuns(pb.ListPipelineRunsRequest(), timeout=10, metadata=bearer(token))
            except grpc.aio.AioRpcError as error:
                return error.code()
            return grpc.StatusCode.OK

    ok, refusal, away = (grpc.StatusCode.OK, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAVAILABLE)
    assert await code(installation.internal, installation.worker, SERVICE) is ok
    assert await code(installation.address, installation.worker, SERVICE, own=False) is refusal
    assert await code(installation.address, installation.worker, ADMIN, own=False) is ok
    assert await code(installation.internal, installation.worker, ADMIN, own=False) is away, "no certificate"
    other = Authority.new("another")
    installation.worker.renew(other)
    assert await code(installation.internal, installation.worker, SERVICE) is away, "one of another authority"
    installation.worker.renew(AUTHORITY, lifetime=EXPIRED)
    assert await code(installation.internal, installation.worker, SERVICE) is away, "an expired one"
    async with grpc.aio.secure_channel(installation.address, installation.worker.credentials(own=False)) as channel:
        request = identity_pb.JoinRunRequest(run_id="r", submission=1, code="c" * 43, token="t" * 43)
        with pytest.raises(grpc.aio.AioRpcError, match="services and workers come with a certificate"):
            await identity_grpc.IdentityServiceStub(channel).JoinRun(request, timeout=10)


async def test_the_probe_of_a_container_speaks_tls(installation: Installation) -> None:
    assert await asyncio.to_thread(grpc_serving, installation.address, ca=installation.worker.ca)
    assert not await asyncio.to_thread(grpc_serving, installation.address)


async def test_renewed_certificates_and_another_authority_interrupt_no_call_and_no_training(
    installation: Installation,
) -> None:
    """A Watch and unary calls under way, and a worker that trains, through two renewals and a change of authority."""
    calls: list[str] = []
    failures: list[str] = []
    over = asyncio.Event()
    channel: Any = await asyncio.to_thread(open_channel, installation.address, options=())
    with channel:
        stub = pb_grpc.OrchestratorServiceStub(channel)
        request = pb.CreatePipelineRunRequest(spec=demo_spec("ours"))
        made = await asyncio.to_thread(stub.CreatePipelineRun, request, metadata=bearer(), timeout=10)
        run_id = made.run.id

        def unary() -> None:
            while not over.is_set():
                try:
                    found = stub.GetPipelineRun(pb.GetPipelineRunRequest(run_id=run_id), metadata=bearer(), timeout=10)
                    calls.append(found.run.id)
                except grpc.RpcError as error:
                    failures.append(f"{error.code()}: {error.details()}")
                time.sleep(0.005)

        watched: list[int] = []

        def watch() -> None:
            """One stream, opened before the first renewal, to the end of the run."""
            for response in stub.WatchPipelineRun(
                pb.WatchPipelineRunRequest(run_id=run_id), metadata=bearer(), timeout=200
            ):
                watched.append(response.run.status.state)

        tasks = [asyncio.create_task(asyncio.to_thread(work)) for work in (unary, watch)]
        try:
            shown = [await asyncio.to_thread(shown_by, installation.address)]
            await _trained(stub, run_id, installation)
            for _ in range(2):
                for folder, server in ((installation.server, True), (installation.worker, False)):
                    await asyncio.to_thread(folder.renew, AUTHORITY, server=server)
                await _trained(stub, run_id, installation)
                shown.append(await asyncio.to_thread(shown_by, installation.address))
            await _another_authority(installation, lambda: _trained(stub, run_id, installation))
            shown.append(await asyncio.to_thread(shown_by, installation.address))
            await asyncio.wait_for(tasks[1], 200)
        finally:
            over.set()
            with contextlib.suppress(grpc.RpcError):
                await asyncio.gather(*tasks)
        last = pb.GetPipelineRunRequest(run_id=run_id)
        ended = (await asyncio.to_thread(stub.GetPipelineRun, last, metadata=bearer(), timeout=10)).run
    assert failures == []
    assert len(calls) > 50
    assert len(set(shown)) == 4, "each new connection saw the newest certificate"
    assert watched[-1] == ended.status.state == res.RUN_STATE_SUCCEEDED
    launcher = installation.platform.launcher
    assert launcher.submissions == [f"retain-{run_id}-1"], "the worker group was never replaced"
    (worker,) = launcher.workers.values()
    assert worker.failed_calls == []


async def _trained(stub: Any, run_id: str, installation: Installation) -> None:
    """The worker made progress from now on."""
    (worker,) = installation.platform.launcher.workers.values() or (None,)
    before = len(worker.steps_done) if worker else 0
    async with asyncio.timeout(60):
        while not worker or len(worker.steps_done) <= before + 2:
            await asyncio.sleep(0.02)
            (worker,) = installation.platform.launcher.workers.values() or (None,)


async def _another_authority(installation: Installation, trained: Any) -> None:
    """First both are trusted, then the new one signs, then it alone is trusted."""
    new = Authority.new("the next")
    folders = (installation.server, installation.worker)
    for folder in folders:
        folder.trust(AUTHORITY.pem + new.pem)
    await trained()
    for folder in folders:
        folder.renew(new, server=folder is installation.server)
    await trained()
    for folder in folders:
        folder.trust(new.pem)
    await trained()
