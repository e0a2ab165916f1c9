"""The connection to the database, with its migrations run: SQLite (WAL) by default, PostgreSQL by URL.

SQLite below 3.51.3 has a bug that corrupts a WAL written through two or more connections; there is one connection here,
and one thread that uses it. Commits are durable (`synchronous=FULL`): a checkpoint exists once its row is committed.
"""

import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy import event, exc

from retain.values.faults import mismatch
from services.common.errors import InvalidInput, Unavailable, Violation

MIGRATIONS = Path(__file__).with_name("migrations")
POSTGRES_CONNECTIONS = 4
MIGRATION_LOCK = zlib.crc32(b"retain orchestrator migrations")
# https://www.postgresql.org/docs/current/libpq-connect.html: connecting and keep-alives in seconds, the others in ms.
POSTGRES_LIMITS = {
    "connect_timeout": "10",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
    "options": "-c statement_timeout=30000 -c lock_timeout=20000",
}


def connect(url: str) -> sa.Engine:
    """An engine on a database whose tables are up to date. Raises Unavailable when the server does not answer."""
    engine = open_database(url)
    migrate(engine)
    return engine


def open_database(url: str) -> sa.Engine:
    """An engine; nothing is connected yet. Raises InvalidInput."""
    try:
        parsed = sa.make_url(url)
    except exc.ArgumentError as error:
        raise InvalidInput([_violation(url)]) from error
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed)
    if parsed.get_backend_name() != "postgresql":
        raise InvalidInput([_violation(url)])
    return sa.create_engine(
        parsed,
        pool_size=POSTGRES_CONNECTIONS,
        max_overflow=0,
        pool_pre_ping=True,
        pool_recycle=1800,
        connect_args=within_limits(parsed),
    )


def migrate(engine: sa.Engine, to: str = "head") -> None:
    """Bring the tables up to date, all steps that are missing in one transaction: DDL is transactional in both
    databases, so that a process that dies in the middle leaves them as they were. Raises Unavailable."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                # Copying a large table takes longer than any call; and of two processes one waits for the other.
                connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
                connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
            config.attributes["connection"] = connection
            command.upgrade(config, to)
    except exc.OperationalError as error:
        raise Unavailable(f"the database does not answer: {error.orig}", reason="DATABASE_UNAVAILABLE") from error


def executor(engine: sa.Engine) -> ThreadPoolExecutor:
    """The threads that may use an engine: one for SQLite, one a connection for PostgreSQL."""
    threads = 1 if engine.dialect.name == "sqlite" else POSTGRES_CONNECTIONS
    return ThreadPoolExecutor(threads, thread_name_prefix="database")


def within_limits(url: sa.URL) -> dict[str, str]:
    """No call waits for ever for a server that is gone without a word; what the URL itself says counts."""
    return {name: value for name, value in POSTGRES_LIMITS.items() if name not in url.query}


def _sqlite(url: sa.URL) -> sa.Engine:
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(
        url, poolclass=sa.QueuePool, pool_size=1, max_overflow=0, connect_args={"check_same_thread": False}
    )

    @event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _record: Any) -> None:
        # The driver would begin a transaction before the first INSERT only, and none for DDL: a migration that dies
        # half-way would stay half done. It is told to begin nothing, and `_begin` does.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("busy_timeout=5000", "journal_mode=WAL", "synchronous=FULL", "cache_size=-8000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _violation(url: str) -> Violation:
    scheme = url.partition(":")[0]
    return Violation(
        field="RETAIN_DATABASE_URL",
        description=mismatch(f"a URL with {scheme!r}", "sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME"),
    )
