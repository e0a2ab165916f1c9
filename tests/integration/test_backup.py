"""A backup, restored into a new database (PostgreSQL) and another store: the run continues there, every digest is
verified, and what PostgreSQL then holds is saved and restored in its turn."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from retain.orchestrator.v1 import resources_pb2 as res
from services.common.errors import Corrupt, FailedPrecondition
from services.common.store.minio_store import MinioStore
from services.orchestrator.adapters.database import connect as connect_database
from services.orchestrator.adapters.database import open_database
from services.orchestrator.adapters.tables import metadata
from services.orchestrator.backup.objects import read_index, save_objects
from services.orchestrator.backup.rows import restore_rows, save_rows
from tests.contract import postgres
from tests.contract.object_store_servers import ACCESS_KEY, SECRET_KEY, Server, minio_server, running, seaweedfs_server
from tests.contract.test_object_store import connect
from tests.fakes.object_store import FakeObjectStore
from tests.fakes.simulated_training import SimulatedTraining
from tests.integration.orchestrator.harness import orchestrator, sqlite_url, without_forgetting

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def stores(shared_tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    """The store of the installation that is lost, and that of the new one: another make, with nothing in it."""
    old, new = tmp_path_factory.mktemp("old"), tmp_path_factory.mktemp("new")
    with running(seaweedfs_server(old)) as first, running(minio_server(new, shared_tools)) as second:
        connect(first).ensure_bucket()
        yield first, second


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """URL of a PostgreSQL server of its own."""
    with postgres.server() as url:
        yield url


def backup(*words: str, store: Server, database: str) -> subprocess.CompletedProcess[str]:
    """The command, as an operator calls it."""
    environment = {
        **os.environ,
        "RETAIN_DATABASE_URL": database,
        "RETAIN_S3_ENDPOINT": store.endpoint,
        "RETAIN_S3_BUCKET": "retain",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    }
    command = [sys.executable, "-m", "services.orchestrator.backup", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)


def rows(url: str) -> dict[str, list[dict[str, Any]]]:
    """Everything that a database holds, by table, in an order of its own."""
    engine = open_database(url)
    with engine.connect() as reading:
        held = {
            table.name: sorted((dict(row) for row in reading.execute(sa.select(table)).mappings()), key=repr)
            for table in metadata.sorted_tables
        }
    engine.dispose()
    return held


def rows_after_another_backup(url: str, folder: Path, server: str) -> dict[str, list[dict[str, Any]]]:
    """What PostgreSQL holds, through a backup into SQLite and through another into PostgreSQL."""
    for number, target in enumerate((f"sqlite:///{folder / 'third.db'}", postgres.fresh_database(server, "fourth"))):
        lines = folder / f"{number}.jsonl"
        assert save_rows(url, lines)["runs"] == 1
        engine = connect_database(target)
        restore_rows(engine, lines)
        engine.dispose()
        url = target
    return rows(url)


async def test_a_run_continues_in_a_new_installation(
    tmp_path: Path, stores: tuple[Server, Server], server: str
) -> None:
    first, second = stores
    before, after, folder = tmp_path / "before", tmp_path / "after", tmp_path / "backup"
    new = postgres.fresh_database(server, "restored")
    training = SimulatedTraining(steps_per_s=10.0)
    real: MinioStore = connect(first)
    async with orchestrator(before, simulated=training, store=real) as client:
        spec = without_forgetting()
        for stage in spec.stages:
            stage.duration.steps = 40
        run = await client.create(spec)
        await client.until(run.id, lambda seen: seen.status.stages[1].step >= 10, within_s=120)
        saved = await asyncio.to_thread(backup, "save", str(folder), store=first, database=sqlite_url(before))
        assert saved.returncode == 0, saved.stderr
        assert (await client.get(run.id)).status.state == res.RUN_STATE_RUNNING, "it continues while it is saved"
        made = {one.id: one.ref.manifest_sha256 for one in await client.lineage(run.id)}
    assert SECRET_KEY not in (folder / "database.jsonl").read_text()
    restored = backup("restore", str(folder), store=second, database=new)
    assert restored.returncode == 0, restored.stderr
    assert "checkpoints have the SHA-256 that database and manifests say" in restored.stdout
    again = backup("restore", str(folder), store=second, database=new)
    assert (again.returncode, "DATABASE_NOT_EMPTY" in again.stderr) == (1, True)
    async with orchestrator(after, database=new, simulated=training, store=connect(second)) as client:
        ended = await client.end(run.id, within_s=120)
        assert ended.status.state == res.RUN_STATE_SUCCEEDED, ended.status
        assert ended.status.submission == 2, "a new worker group: the old one's job is nowhere"
        lineage = {one.id: one.ref.manifest_sha256 for one in await client.lineage(run.id)}
    kept = lineage.keys() & made.keys()
    assert kept
    assert {name: lineage[name] for name in kept if made[name] == lineage[name]}, (
        "what was trained before is still there"
    )
    verified = backup("verify", store=second, database=new)
    assert verified.returncode == 0, verified.stderr
    assert rows_after_another_backup(new, tmp_path, server) == rows(new)
    last = ended.status.stages[-1].accepted.uri.removeprefix("s3://retain/")
    connect(second).put_bytes(f"{last}/model/config.json", b"{}")
    changed = backup("verify", store=second, database=new)
    assert changed.returncode == 1
    assert "model/config.json has another SHA-256" in changed.stderr


def test_a_damaged_backup_is_refused(tmp_path: Path) -> None:
    """Also one of another version of the tables, and a database that is not new."""
    url = f"sqlite:///{tmp_path / 'a.db'}"
    engine = connect_database(url)
    with engine.begin() as writing:
        writing.execute(sa.text("INSERT INTO garbage (uri) VALUES ('s3://retain/x')"))
    lines = tmp_path / "database.jsonl"
    assert save_rows(url, lines)["garbage"] == 1
    other = connect_database(f"sqlite:///{tmp_path / 'b.db'}")
    text = lines.read_text()
    lines.write_text(text + "{")
    with pytest.raises(Corrupt):
        restore_rows(other, lines)
    lines.write_text(text.replace('"version": "', '"version": "x'))
    with pytest.raises(FailedPrecondition, match="expected 0"):
        restore_rows(other, lines)
    lines.write_text(text)
    assert restore_rows(other, lines)["garbage"] == 1, "what failed before has left nothing"
    for one in (engine, other):
        one.dispose()


def test_a_second_backup_fetches_what_is_new_alone(tmp_path: Path) -> None:
    store = FakeObjectStore()
    for name in ("a", "b"):
        store.put_bytes(f"runs/r/{name}", name.encode())
    save_objects(store, tmp_path)
    store.calls.clear()
    store.put_bytes("runs/r/c", b"c")
    store.delete("runs/r/b")
    save_objects(store, tmp_path)
    assert [key for verb, key in store.calls if verb == "get_file"] == ["runs/r/c"]
    assert [entry.key for entry in read_index(tmp_path)] == ["runs/r/a", "runs/r/c"]
    assert not (tmp_path / "objects/runs/r/b").exists()
