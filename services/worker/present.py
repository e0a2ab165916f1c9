"""Which worker processes are at work on this machine: a file each in the local cache, locked while its process lives.

`python -m services.worker.drain` reads them to tell the processes of a machine to leave. The lock says whether a
process lives, not its number, which the system may have given to another one since.

    {cache}/workers/{namespace of numbers}.{pid}.{run}

All is in the name, and the file is empty: a full disk keeps nobody from being found.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import quote, unquote

from services.common.cache.cache_folder import claim
from services.common.cache.content_cache import ContentCache
from services.common.cache.file_lock import FileLock, try_lock
from services.common.errors import Stale

FOLDER = "workers"
_NAMESPACE = Path("/proc/self/ns/pid")


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A living worker process."""

    pid: int
    run_id: str
    path: Path


class Present:
    """This process is at work, inside the block."""

    def __init__(self, content: ContentCache, *, run_id: str) -> None:
        name = f"{namespace()}.{os.getpid()}.{quote(run_id, safe='')}"
        self._path = claim(content.root, FOLDER)[0] / name
        self._held: FileLock | None = None

    def __enter__(self) -> "Present":
        held = try_lock(self._path)
        if held is None:
            raise Stale(f"{self._path} is held: this process has a worker already")
        self._held = held
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._held is not None:
            self._held.release(remove=True)


def present(root: Path) -> list[Worker]:
    """The workers that live now and whose numbers mean something here; what dead ones left is removed."""
    found = []
    for path in sorted((root / FOLDER).glob("*")):
        dead = try_lock(path)
        if dead is not None:
            dead.release(remove=True)
            continue
        there, pid, run_id = path.name.split(".", 2)
        if there == namespace():
            found.append(Worker(pid=int(pid), run_id=unquote(run_id), path=path))
    return found


def gone(worker: Worker) -> bool:
    """Whether the process has left."""
    if not worker.path.exists():
        return True
    held = try_lock(worker.path)
    if held is None:
        return False
    held.release(remove=True)
    return True


def namespace() -> str:
    """Names the set of process numbers that this process lives in: containers that share a disk have their own."""
    try:
        return str(_NAMESPACE.stat().st_ino)
    except OSError:
        return "0"
