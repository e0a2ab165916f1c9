"""Locks between the processes of one machine, on files: what a killed process held is free at once.

The system drops a lock with the process that held it, so that nobody has to guess from a process number whether it
still lives. A lock file may be deleted by whoever holds its lock; everybody else notices that the file that they
locked is not the one under the name any more, and begins again.
"""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType


class FileLock:
    """A lock that is held. `release` (or the end of a `with` block) lets go; doing it twice is no fault."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor: int | None = descriptor

    @property
    def descriptor(self) -> int:
        """The open file, for facts that belong to the lock (its times, its content)."""
        assert self._descriptor is not None, "the lock was released"
        return self._descriptor

    def release(self, *, remove: bool = False) -> None:
        """Let go; `remove` deletes the file first, which only the holder of an exclusive lock may do."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            if remove:
                self.path.unlink(missing_ok=True)
            os.close(descriptor)

    def __enter__(self) -> "FileLock":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()


def try_lock(path: Path, *, shared: bool = False) -> FileLock | None:
    """The lock, or None when somebody else holds it. The file is made when it is not there, its folder is not."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        if _is_the_file_at(path, descriptor):
            return FileLock(path, descriptor)
        os.close(descriptor)


def lock(path: Path, pause: Callable[[], None], *, shared: bool = False) -> FileLock:
    """The lock, waited for. `pause` is called between two tries: it sleeps, and may raise to give up."""
    while True:
        held = try_lock(path, shared=shared)
        if held is not None:
            return held
        pause()


def _is_the_file_at(path: Path, descriptor: int) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    mine = os.fstat(descriptor)
    return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)
