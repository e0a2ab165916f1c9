"""The database as lines of JSON: one per row, so that what SQLite held goes into PostgreSQL, too, and back.

A database that is restored into must be empty, and is brought to the version of
this program first; a backup of another version is refused (restore with that version, then upgrade).
"""

import json
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.migration import MigrationContext

from retain.values.faults import mismatch
from services.common.errors import Corrupt, FailedPrecondition, NotFound
from services.orchestrator.adapters.database import open_database
from services.orchestrator.adapters.tables import metadata

ROWS_AT_ONCE = 500
# What migrations put into a new database: a backup holds it too, as it was changed since.
MADE_BY_MIGRATIONS = {"projects": sa.column("name") == "default"}


def save_rows(url: str, path: Path) -> dict[str, int]:
    """Write every row to `path`, as of one moment; returns how many of each table. Who uses the database continues."""
    counts: dict[str, int] = {}
    with _snapshot(url) as reading, path.open("w", encoding="utf-8") as file:
        file.write(json.dumps({"version": _version(reading)}) + "\n")
        for table in metadata.sorted_tables:
            counts[table.name] = 0
            for row in reading.execute(sa.select(table)).mappings():
                file.write(json.dumps({"table": table.name, "row": dict(row)}) + "\n")
                counts[table.name] += 1
    return counts


def check_empty(engine: sa.Engine) -> None:
    """Raises FailedPrecondition for a database that holds anything."""
    with engine.connect() as reading:
        for table in metadata.sorted_tables:
            own = sa.not_(MADE_BY_MIGRATIONS.get(table.name, sa.false()))
            if reading.execute(sa.select(sa.func.count()).select_from(table).where(own)).scalar_one():
                raise FailedPrecondition(
                    f"the table {table.name} holds rows; expected a new database", reason="DATABASE_NOT_EMPTY"
                )


def restore_rows(engine: sa.Engine, path: Path) -> dict[str, int]:
    """Insert every row into an empty database, all of them or none. Raises FailedPrecondition, Corrupt."""
    counts = dict.fromkeys((table.name for table in metadata.sorted_tables), 0)
    with engine.begin() as writing:
        lines = _lines(path)
        said, have = next(lines, {}).get("version"), _version(writing)
        if said != have:
            raise FailedPrecondition(
                mismatch(f"a backup of version {said} of the tables", have), reason="OTHER_VERSION"
            )
        for table, made in MADE_BY_MIGRATIONS.items():
            writing.execute(sa.delete(metadata.tables[table]).where(made))
        waiting: list[Mapping[str, Any]] = []
        name = ""
        for line in lines:
            if line["table"] != name or len(waiting) == ROWS_AT_ONCE:
                _insert(writing, name, waiting)
                name, waiting = line["table"], []
            waiting.append(line["row"])
            counts[name] += 1
        _insert(writing, name, waiting)
        _continue_counting(writing)
    return counts


@contextmanager
def _snapshot(url: str) -> Iterator[sa.Connection]:
    """A connection that sees one moment. Of SQLite's file a copy is read, which its online backup makes: a second
    connection on the file itself would keep the orchestrator from writing."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite":
        engine = open_database(url)
        with engine.connect() as reading:
            reading.execution_options(isolation_level="REPEATABLE READ")
            reading.exec_driver_sql("SET LOCAL statement_timeout = 0")
            yield reading
        engine.dispose()
        return
    if not parsed.database or not Path(parsed.database).is_file():
        raise NotFound(f"there is no database at {parsed.database}", reason="NO_DATABASE")
    with tempfile.TemporaryDirectory(prefix="retain-backup-") as folder:
        copy = Path(folder) / "copy.db"
        with (
            closing(sqlite3.connect(f"{Path(parsed.database).resolve().as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
        engine = sa.create_engine(f"sqlite:///{copy}")
        with engine.connect() as reading:
            yield reading
        engine.dispose()


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                yield json.loads(line)
            except ValueError as error:
                raise Corrupt(f"{path}, line {number}: {error}", reason="BACKUP_DAMAGED") from error


def _insert(writing: sa.Connection, table: str, rows: list[Mapping[str, Any]]) -> None:
    if rows:
        writing.execute(sa.insert(metadata.tables[table]), [dict(row) for row in rows])


def _continue_counting(writing: sa.Connection) -> None:
    """Rows came with their numbers; PostgreSQL's sequences do not know of them."""
    if writing.dialect.name != "postgresql":
        return
    for table in metadata.sorted_tables:
        column = table.autoincrement_column
        if column is not None:
            writing.exec_driver_sql(
                f"SELECT setval(pg_get_serial_sequence('{table.name}', '{column.name}'), "
                f"COALESCE((SELECT MAX({column.name}) FROM {table.name}), 0) + 1, false)"
            )


def _version(connection: sa.Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
