"""Migrations that die at any statement, and one leader at a time: on SQLite and on a real PostgreSQL server."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
import sqlalchemy as sa
from grpc_health.v1 import health_pb2, health_pb2_grpc

from retain.orchestrator.v1 import orchestrator_service_pb2 as pb
from retain.orchestrator.v1 import orchestrator_service_pb2_grpc as pb_grpc
from services.common.errors import Unavailable
from services.orchestrator.adapters import codec
from services.orchestrator.adapters.database import connect, migrate, open_database
from services.orchestrator.adapters.identity_records import SqlIdentity
from services.orchestrator.adapters.leadership import leadership_of
from services.orchestrator.adapters.persistence.projects import SqlProjects
from services.orchestrator.adapters.repository import SqlRepository
from services.orchestrator.adapters.tables import metadata
from services.orchestrator.application.leading import Leading
from services.orchestrator.application.projects.project import Project
from tests.contract.postgres import fresh_database, server
from tests.contract.test_repository import checkpoint, new
from tests.identity import ADMIN, SERVICE, aio_channel
from tests.ports import free_ports

KILLED = 9


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    with server() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Makes a URL of an empty database, again and again."""
    count = 0

    def make() -> str:
        nonlocal count
        count += 1
        if request.param == "sqlite":
            return f"sqlite:///{tmp_path / f'{count}.db'}"
        return fresh_database(request.getfixturevalue("postgres_url"), "migrated")

    return make


def die_at(number: int, url: str, work: Callable[[sa.Engine], Any]) -> bool:
    """Do some work in a child process that is gone without a word at its n-th statement; whether it got that far."""
    child = os.fork()
    if child == 0:
        count = 0

        def watch(*_: Any) -> None:
            nonlocal count
            count += 1
            if count == number:
                os._exit(KILLED)

        code = 1
        try:
            engine = open_database(url)
            sa.event.listen(engine, "before_cursor_execute", watch)
            sa.event.listen(engine, "commit", watch)
            work(engine)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, KILLED), f"statement {number}: the child ended with {code}"
    return code == KILLED


def check_whole(url: str) -> None:
    engine = connect(url)
    repository = SqlRepository(engine)
    repository.create(new(1, "after"))
    assert repository.get("run-1").id == "run-1"
    assert set(sa.inspect(engine).get_table_names()) == {*metadata.tables, "alembic_version"}
    engine.dispose()


def test_a_first_migration_that_dies_at_any_statement_is_made_by_the_next_start(fresh: Callable[[], str]) -> None:
    for number in range(1, 200):
        url = fresh()
        died = die_at(number, url, migrate)
        check_whole(url)
        if not died:
            break
    assert 10 < number < 199, "every statement was tried"


def test_a_later_migration_that_dies_at_any_statement_loses_nothing(fresh: Callable[[], str]) -> None:
    for number in range(1, 200):
        url = fresh()
        engine = open_database(url)
        migrate(engine, "0001")
        with engine.begin() as connection:
            connection.execute(
                sa.text("INSERT INTO uploads (folder, file_name, sha256, bytes) VALUES ('f', 'a', 's', 7)")
            )
        engine.dispose()
        died = die_at(number, url, migrate)
        check_whole(url)
        engine = open_database(url)
        assert [(u.file_name, u.bytes, u.asked_s) for u in SqlRepository(engine).uploads("f")] == [("a", 7, 0.0)]
        engine.dispose()
        if not died:
            break
    assert 5 < number < 199, "every statement was tried"


def test_what_was_there_before_projects_is_in_the_default_one(fresh: Callable[[], str]) -> None:
    url = fresh()
    engine = open_database(url)
    migrate(engine, "0003")
    bodies = [codec.dumps(replace(checkpoint("run-1", 10), bytes=70)), "{"]
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO runs (id, version, status, queue_number, attention, request_id, request_digest, body)"
                " VALUES ('run-1', 1, 'PENDING', 1, FALSE, 'before', 'd', :body)"
            ),
            {"body": codec.dumps(new(1).state)},
        )
        for number, body in enumerate(bodies):
            connection.execute(
                sa.text(
                    "INSERT INTO checkpoints (id, run_id, uri, manifest_sha256, status, created_s, body)"
                    " VALUES (:id, 'run-1', 'u', 'm', 'LIVE', 0, :body)"
                ),
                {"id": f"c{number}", "body": body},
            )
        connection.execute(sa.text("INSERT INTO uploads (folder, file_name, sha256, bytes) VALUES ('f', 'a', 's', 7)"))
        connection.execute(
            sa.text(
                "INSERT INTO api_tokens (name, digest, roles, created_by, created_s, expires_s)"
                " VALUES ('ci', 'd', 'viewer', 'admin', 0, 9)"
            )
        )
    migrate(engine)
    repository, projects = SqlRepository(engine), SqlProjects(engine)
    assert projects.projects() == (Project(name="default"),)
    mine, others = frozenset({"default"}), frozenset({"a"})
    assert repository.get("run-1").project == "default"
    assert len(repository.list_runs(limit=5, projects=mine, words="RUN-1").items) == 1, "searched since 0007"
    assert len(repository.list_runs(limit=5, projects=mine).items) == 1
    assert repository.list_runs(limit=5, projects=others).items == ()
    assert len(repository.list_checkpoints(limit=5, projects=mine).items) == 2
    assert projects.stored_bytes("default") == 70 + 7
    assert repository.request("before") is not None
    assert repository.request("before", project="a") is None
    assert SqlIdentity(engine).api_tokens()[0].projects == ("default",)
    engine.dispose()


def test_a_database_that_an_earlier_program_left_half_migrated_is_mended(tmp_path: Path) -> None:
    """Its driver began no transaction for DDL: some of the first tables are there, and no version."""
    url = f"sqlite:///{tmp_path / 'half.db'}"
    engine = open_database(url)
    migrate(engine, "0001")
    with engine.begin() as connection:
        for table in ("checkpoints", "decisions", "uploads", "garbage"):
            connection.exec_driver_sql(f"DROP TABLE {table}")
        connection.exec_driver_sql("DELETE FROM alembic_version")
    engine.dispose()
    check_whole(url)


def test_two_that_migrate_at_the_same_time_wait_for_each_other(fresh: Callable[[], str]) -> None:
    url = fresh()
    code = f"from services.orchestrator.adapters.database import connect; connect({url!r})"
    children = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [child.wait(timeout=60) for child in children] == [0, 0, 0]
    check_whole(url)


def test_one_leads_and_the_next_one_when_it_is_gone(fresh: Callable[[], str]) -> None:
    url = sa.make_url(fresh())
    first, second = leadership_of(url), leadership_of(url)
    assert first.take()
    assert first.held()
    assert not second.take()
    assert not second.held()
    first.give_back()
    assert not first.held()
    assert second.take()
    assert not first.take()
    second.give_back()


@pytest.mark.integration
async def test_a_lock_whose_connection_is_lost_is_noticed(postgres_url: str) -> None:
    url = sa.make_url(fresh_database(postgres_url, "lost"))
    first, second = Leading(leadership_of(url), ask_every_s=0.05), Leading(leadership_of(url), ask_every_s=0.05)
    await first.taken()
    waiting = asyncio.create_task(second.taken())
    lost = asyncio.create_task(first.lost())
    await asyncio.sleep(0.3)
    assert not waiting.done()
    assert not lost.done()
    admin = sa.create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(
            sa.text("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted")
        )
    admin.dispose()
    await asyncio.wait_for(lost, 10)
    await asyncio.wait_for(waiting, 10)
    first.close()
    second.close()


def test_a_database_that_is_away_is_unavailable_to_whoever_wants_to_lead() -> None:
    url = sa.make_url("postgresql+psycopg://nobody@127.0.0.1:1/none?connect_timeout=1")
    with pytest.raises(Unavailable):
        leadership_of(url).take()


@pytest.mark.integration
async def test_of_two_orchestrators_one_serves_and_the_other_waits_and_says_so(postgres_url: str) -> None:
    url = fresh_database(postgres_url, "led")
    ports = free_ports(4)
    processes = [_orchestrator(url, ports[0], ports[1])]
    try:
        first, second = (aio_channel(f"127.0.0.1:{port}") for port in (ports[0], ports[2]))
        assert await _until(first, "", health_pb2.HealthCheckResponse.SERVING)
        processes.append(_orchestrator(url, ports[2], ports[3]))
        assert await _until(second, "live", health_pb2.HealthCheckResponse.SERVING)
        await asyncio.sleep(3)
        assert await _health(second, "") == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError, match="another one leads") as caught:
            await pb_grpc.OrchestratorServiceStub(second).ListPipelineRuns(pb.ListPipelineRunsRequest())
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        await pb_grpc.OrchestratorServiceStub(first).ListPipelineRuns(pb.ListPipelineRunsRequest())
        processes[0].kill()
        assert await _until(second, "", health_pb2.HealthCheckResponse.SERVING)
        await pb_grpc.OrchestratorServiceStub(second).ListPipelineRuns(pb.ListPipelineRunsRequest())
        processes[1].terminate()
        assert processes[1].wait(timeout=30) == 0
        await first.close()
        await second.close()
    finally:
        for process in processes:
            process.kill()
            process.wait(timeout=10)


def _orchestrator(url: str, port: int, metrics_port: int) -> subprocess.Popen[bytes]:
    env = {
        **os.environ,
        "RETAIN_DATABASE_URL": url,
        "RETAIN_ADMIN_TOKEN": ADMIN,
        "RETAIN_SERVICE_TOKEN": SERVICE,
        "RETAIN_BIND": f"127.0.0.1:{port}",
        "RETAIN_METRICS_BIND": f"127.0.0.1:{metrics_port}",
        "RETAIN_RAY_ADDRESS": "http://127.0.0.1:1",
        "RETAIN_S3_ENDPOINT": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test-secret",
    }
    return subprocess.Popen([sys.executable, "-m", "services.orchestrator.main"], env=env)


async def _health(channel: grpc.aio.Channel, service: str) -> int | None:
    try:
        request = health_pb2.HealthCheckRequest(service=service)
        return (await health_pb2_grpc.HealthStub(channel).Check(request, timeout=5)).status
    except grpc.aio.AioRpcError:
        return None


async def _until(channel: grpc.aio.Channel, service: str, status: int) -> bool:
    for _ in range(300):
        if await _health(channel, service) == status:
            return True
        await asyncio.sleep(0.1)
    return False
