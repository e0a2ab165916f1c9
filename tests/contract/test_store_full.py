"""Real stores on a real disk that is full: waited for, said, and continued when there is room."""

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

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
    ("start", "megabytes", "said"),
    [
        (lambda folder, tools: minio_server(folder, tools), 60, "object store full at {}"),
        (
            lambda folder, tools: seaweedfs_server(folder),
            180,
            "object store at {} fails to write: its disk may be full",
        ),
    ],
    ids=["minio", "seaweedfs"],
)
def test_a_full_store_is_waited_for(
    start: Callable[[Path, Path], Server], megabytes: int, said: str, shared_tools: Path, tmp_path: Path
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
        patient = connect(server, patience_s=0.0)

        def hear(text: str) -> None:
            told.append(text)
            waits.set()

        patient.on_waiting = hear
        writing = threading.Thread(target=patient.put_bytes, args=("late", DATA))
        writing.start()
        assert waits.wait(60)
        disk.resize(megabytes * 3)
        # SeaweedFS looks at its disk once a minute: one that saw it full closes every volume until another.
        writing.join(220)
        assert not writing.is_alive()
        assert set(told[:-1]) == {said.format(server.endpoint)}
        assert told[-1] == ""
        assert patient.get_bytes("late") == DATA
