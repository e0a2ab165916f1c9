"""`Leadership` by locks that end with their holder: PostgreSQL's advisory lock, or a locked file beside SQLite's.

The advisory lock lives as long as its connection, which is used for nothing else and looked at every few seconds. When
the connection is lost the lock is, and its former holder must stop; the server notices a holder that vanished without a
word within half a minute (keep-alives). A pool of connections between here and the server that gives a session to
several clients (PgBouncer's transaction pooling) breaks this: name the server itself.
"""

import zlib
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import exc

from services.common.cache.file_lock import FileLock, try_lock
from services.common.errors import Unavailable
from services.orchestrator.adapters.database import within_limits
from services.orchestrator.application.ports import Leadership

LOCK_KEY = zlib.crc32(b"retain orchestrator")
KEEP_ALIVE = ("SET tcp_keepalives_idle = 10", "SET tcp_keepalives_interval = 5", "SET tcp_keepalives_count = 3")


def leadership_of(url: sa.URL) -> Leadership:
    """The leadership that goes with a database."""
    if url.get_backend_name() == "postgresql":
        return PostgresLeadership(url)
    return FileLeadership(Path(f"{url.database}.leader") if url.database and url.database != ":memory:" else None)


class FileLeadership(Leadership):
    """One process of this machine; None is a database in memory, which nobody else can see."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock: FileLock | None = None

    def take(self) -> bool:
        if self._path is None or self._lock is not None:
            return True
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = try_lock(self._path)
        return self._lock is not None

    def held(self) -> bool:
        return self._path is None or self._lock is not None

    def give_back(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()


class PostgresLeadership(Leadership):
    """One process of all that use the database."""

    def __init__(self, url: sa.URL) -> None:
        self._engine = sa.create_engine(
            url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT", connect_args=within_limits(url)
        )
        self._connection: sa.Connection | None = None

    def take(self) -> bool:
        try:
            connection = self._engine.connect()
        except exc.DBAPIError as error:
            raise Unavailable(f"the database does not answer: {error.orig}", reason="DATABASE_UNAVAILABLE") from error
        try:
            for setting in KEEP_ALIVE:
                connection.exec_driver_sql(setting)
            taken = bool(connection.execute(sa.select(sa.func.pg_try_advisory_lock(LOCK_KEY))).scalar_one())
        except exc.DBAPIError as error:
            connection.close()
            raise Unavailable(f"the database does not answer: {error.orig}", reason="DATABASE_UNAVAILABLE") from error
        if taken:
            self._connection = connection
        else:
            connection.close()
        return taken

    def held(self) -> bool:
        if self._connection is None:
            return False
        try:
            self._connection.exec_driver_sql("SELECT 1")
        except exc.DBAPIError:
            self.give_back()
            return False
        return True

    def give_back(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()  # closes it for good: the lock ends with the session
            connection.close()
