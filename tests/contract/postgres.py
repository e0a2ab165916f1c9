"""A private PostgreSQL server for tests: Debian's binaries, a folder of its own, a free port, gone afterwards."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.ports import free_port

BINARIES = Path("/usr/lib/postgresql")


def binaries() -> Path:
    """Folder of initdb and postgres; a skip with its reason where there is none."""
    found = sorted(BINARIES.glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    if on_path is None:
        pytest.skip("required: PostgreSQL's initdb and postgres (Debian package postgresql)")
    return Path(on_path).parent


@contextlib.contextmanager
def server() -> Iterator[str]:
    """URL of the database `postgres` of a fresh server. It never runs as root: it refuses to."""
    bin_folder = binaries()
    with tempfile.TemporaryDirectory(prefix="retain-pg-") as name:
        folder, options = Path(name), {}
        if os.getuid() == 0:
            try:
                user = pwd.getpwnam("postgres")
            except KeyError:
                user = pwd.getpwnam("nobody")
            os.chown(folder, user.pw_uid, user.pw_gid)
            options = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        data = folder / "data"
        port = free_port()
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
        subprocess.run(
            [bin_folder / "initdb", "-D", data, "-U", "retain", "--auth=trust", "--no-sync", "-E", "UTF8"],
            check=True, **quiet, **options,
        )  # fmt: skip
        process = subprocess.Popen(
            [bin_folder / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", folder, "-F"],
            **quiet, **options,
        )  # fmt: skip
        try:
            ready = [bin_folder / "pg_isready", "-h", "127.0.0.1", "-p", str(port), "-t", "20", "-q"]
            for _ in range(100):
                if subprocess.run(ready, check=False).returncode == 0:
                    break
                assert process.poll() is None, "postgres ended while it was started"
            yield f"postgresql+psycopg://retain@127.0.0.1:{port}/postgres"
        finally:
            process.terminate()
            process.wait(timeout=30)


def fresh_database(url: str, name: str) -> str:
    """URL of a new, empty database on the server that `url` names."""
    admin = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    admin.dispose()
    return url.rpartition("/")[0] + f"/{name}"
