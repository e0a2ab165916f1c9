"""Real stores on a real disk that is full: waited for, said, and continued when there is room."""

import hashlib
import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.local.seaweedfs import JammedNames
from services.common.errors import Unavailable
from services.common.store.minio_store import MinioStore
from tests.contract.object_store_servers import (
    ACCESS_KEY,
    SECRET_KEY,
    Server,
    minio_server,
    running,
    seaweedfs_server,
)
from tests.small_disk import small_disk

pytestmark = [pytest.mark.integration, pytest.mark.slow]
DATA = hashlib.shake_256(b"x").digest(10_000_000)


def connect(server: Server, *, patience_s: float) -> MinioStore:
    return MinioStore(server.endpoint, "retain", access_key=ACCESS_KEY, secret_key=SECRET_KEY, patience_s=patience_s)


@pytest.mark.parametrize(
    ("start", "megabytes", "patience_s", "said"),
    [
        (lambda folder, tools: minio_server(folder, tools), 60, 0.0, "object store full at {}"),
        (
            lambda folder, tools: seaweedfs_server(folder),
            180,
            120.0,  # while it is started again nobody answers, which is no full disk
            "object store at {} fails to write: its disk may be full",
        ),
    ],
    ids=["minio", "seaweedfs"],
)
def test_a_full_store_is_waited_for(
    start: Callable[[Path, Path], Server],
    megabytes: int,
    patience_s: float,
    said: str,
    shared_tools: Path,
    tmp_path: Path,
) -> None:
    with (
        small_disk(tmp_path / "disk", megabytes=megabytes) as disk,
        running(start(disk.folder, shared_tools)) as server,
    ):
        hasty = connect(server, patience_s=0.5)
        hasty.ensure_bucket()
        with pytest.raises(Unavailable):
            for number in range(100):
                hasty.put_bytes(f"filler/{number}", DATA)
        told: list[str] = []
        waits = threading.Event()
        patient = connect(server, patience_s=patience_s)

        def hear(text: str) -> None:
            told.append(text)
            waits.set()

        patient.on_waiting = hear
        writing = threading.Thread(target=patient.put_bytes, args=("late", DATA))
        writing.start()
        assert waits.wait(60)
        disk.resize(megabytes * 3)
        # SeaweedFS looks at its disk once a minute: one that saw it full closes every volume until another. Whether its
        # file of names met the full disk too is chance; then it is started again, as the local stack does.
        jammed, deadline = JammedNames(server.log, disk.folder), time.monotonic() + 220
        while writing.is_alive() and time.monotonic() < deadline:
            writing.join(1)
            if jammed():
                server.stop()
                jammed.begin()
                server.start()
        assert not writing.is_alive()
        assert set(told[:-1]) == {said.format(server.endpoint)}
        assert told[-1] == ""
        assert patient.get_bytes("late") == DATA


def test_a_seaweedfs_whose_names_met_a_full_disk_writes_again_once_it_is_started_anew(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=180) as disk, running(seaweedfs_server(disk.folder)) as server:
        store = connect(server, patience_s=0.5)
        store.ensure_bucket()
        store.put_bytes("before", DATA)
        jammed = JammedNames(server.log, disk.folder)
        filler, written = disk.fill(), list[str]()
        with pytest.raises(Unavailable):
            for number in itertools.count():
                store.put_bytes(f"name/{number}", b"")
                written.append(f"name/{number}")
        assert jammed() == "", "another start does not make room"
        filler.unlink()
        with pytest.raises(Unavailable):
            store.put_bytes("name/late", b"")
        assert f"{disk.folder} has room again" in jammed()
        server.stop()
        jammed.begin()
        server.start()
        # It answers before all its parts have found each other.
        patient = connect(server, patience_s=60)
        patient.put_bytes("name/late", b"")
        assert patient.get_bytes("before") == DATA
        assert all(patient.stat(name) is not None for name in written)
        assert jammed() == ""
