"""Folders on this machine's disk, each named by the digest of what it holds. Worker and evaluator share it.

    {root}/.retain-cache          says that the folder is a cache of ours; anything else is refused by name
    {root}/content/{name}/        e.g. checkpoints/{manifest sha256}/
    {root}/stamps/{name}.json     when and as what it was verified
    {root}/work/                  folders in the making
    {root}/locks/                 who makes, who reads

A folder appears whole (made beside its place, verified, written through to the disk, renamed) or not at all. A disk is
no more to be trusted than a bucket: a folder is verified before its first use after every boot, and again whenever a
file's size, times or inode are not those of its stamp; what does not verify is fetched again. Whoever uses a folder
holds a lease on it, and what is leased, by any process, is never deleted. What nobody leases goes when the cache holds
more than `max_bytes`, the least recently used first, or at once when the disk is full (`free`). What a killed process
left half made is removed at the next start; the folder of a living one is not touched.
"""

import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from retain.values.faults import mismatch
from services.common.cache.cache_folder import claim
from services.common.cache.disk_space import when_there_is_room
from services.common.cache.file_lock import FileLock, lock, try_lock
from services.common.cache.stamps import Stamp, sync_folder
from services.common.errors import RetainError
from services.common.logging import get_logger

log = get_logger(__name__)

LOCK_POLL_S = 0.1
# What a check of content raises when it does not fit: the services' own errors, the torch core's (ValueErrors), and
# files that are not there or cannot be read.
WRONG = (RetainError, ValueError, OSError)


class Lease:
    """A folder that stays as long as this is held. Use it as a context manager, or call `release`."""

    def __init__(self, path: Path, held: FileLock) -> None:
        self.path, self._held = path, held

    def release(self) -> None:
        """The folder may go from now on."""
        self._held.release()

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()


@dataclass(frozen=True, kw_only=True)
class Freed:
    """What was deleted."""

    folders: int
    size_bytes: int


class ContentCache:
    """See the module. Safe to use from several threads and processes at once.

    beat: called for every bit of work seen, also while another process fetches what is waited for. told: called with
    what is waited for ("disk full at PATH"), and with "" when it is over. pause: sleeps; may raise to end a wait.
    """

    def __init__(
        self,
        root: Path,
        *,
        max_bytes: int,
        beat: Callable[[], None] = lambda: None,
        told: Callable[[str], None] = lambda text: None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.root, self.max_bytes = root, max_bytes
        self.beat, self.told, self.pause = beat, told, pause
        self._locks, self._stamps, self._work = claim(root, "locks", "stamps", "work")
        self._content = claim(root, "content")[0]
        self._making: set[FileLock] = set()
        self._making_lock = threading.Lock()
        self.clean()

    def work_done(self) -> None:
        """A bit of a `fetch` was done (a few megabytes, a file): beats, here and for those who wait for the folder."""
        with self._making_lock:
            for held in self._making:
                os.utime(held.descriptor)
        self.beat()

    def lease(
        self,
        name: str,
        *,
        fetch: Callable[[Path], None],
        verify: Callable[[Path], None],
        verified_on_arrival: bool = False,
    ) -> Lease:
        """A lease on the folder of this name, fetched unless a good copy is here.

        fetch: fills an empty folder, calling `work_done` on the way. verify: raises a RetainError, ValueError or
        OSError unless the folder is right. verified_on_arrival: `fetch` has verified all it brought, so that it is not
        read once more. Raises what they raise; a full disk is waited for.
        """
        path = self._place(name)

        def bring() -> None:
            with self.work_folder() as folder:
                fetch(folder)
                if not verified_on_arrival:
                    verify(folder)
                sync_folder(folder, self.work_done)
                self._put_in_place(name, folder, path)
                sync_folder(path.parent, self.work_done, files=False)

        with self._exclusive(name):
            if self._is_good(name, path, verify):
                self._used(name)
                return self._leased(name, path)
            self._discard(name, path)
            when_there_is_room(bring, self.root, told=self.told, pause=self._pause_full, free=self.free)
            lease = self._leased(name, path)
        self.evict()
        return lease

    def adopt(self, name: str, folder: Path) -> Lease:
        """Take over a folder that was made here (in `work_folder`) and that its maker has verified. If one of that
        name is here, the new one is dropped. It is not forced onto the disk: after a crash of the machine it is
        verified again anyhow."""
        path = self._place(name)
        with self._exclusive(name):
            if path.is_dir():
                shutil.rmtree(folder, ignore_errors=True)
            else:
                self._put_in_place(name, folder, path)
            self._used(name)
            lease = self._leased(name, path)
        self.evict()
        return lease

    @contextmanager
    def work_folder(self) -> Iterator[Path]:
        """A new empty folder on the same file system, for something that is to be renamed into place. It is gone at
        the end of the block, or at the next start after this process was killed."""
        token = uuid.uuid4().hex
        held = try_lock(self._work / f"{token}.lock")
        assert held is not None, "nobody else knows this name"
        folder = self._work / token
        try:
            folder.mkdir(mode=0o700)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            held.release(remove=True)

    def clean(self) -> None:
        """Delete what killed processes left half made; what a living one is making stays."""
        for path in [*self._work.iterdir()]:
            token = path.name.removesuffix(".lock")
            held = try_lock(self._work / f"{token}.lock")
            if held is not None:
                shutil.rmtree(self._work / token, ignore_errors=True)
                held.release(remove=True)

    def evict(self) -> Freed:
        """Delete the least recently used folders that nobody leases until the rest has `max_bytes`. The newest stays,
        whatever its size."""
        entries = sorted(self._entries(), key=lambda entry: entry[1])
        total = sum(size for _, _, size in entries)
        freed = Freed(folders=0, size_bytes=0)
        for name, _, size in entries[:-1]:
            if total - freed.size_bytes <= self.max_bytes:
                break
            if self._delete_unless_leased(name):
                freed = Freed(folders=freed.folders + 1, size_bytes=freed.size_bytes + size)
        return freed

    def free(self) -> Freed:
        """Delete everything that nobody leases."""
        freed = Freed(folders=0, size_bytes=0)
        for name, _, size in self._entries():
            if self._delete_unless_leased(name):
                freed = Freed(folders=freed.folders + 1, size_bytes=freed.size_bytes + size)
        if freed.folders:
            log.info("freed the local cache", folders=freed.folders, bytes=freed.size_bytes)
        return freed

    def keep_newest(self, kind: str, count: int) -> None:
        """Delete all but the `count` most recently used folders of one kind (the part of the name before a slash)."""
        entries = sorted((e for e in self._entries() if e[0].startswith(f"{kind}/")), key=lambda e: e[1], reverse=True)
        for name, _, _ in entries[count:]:
            self._delete_unless_leased(name)

    # What it is made of

    def _place(self, name: str) -> Path:
        parts = name.split("/")
        if not all(part and part.strip(".") and "\0" not in part for part in parts):
            said = mismatch(repr(name), "parts with letters or digits between slashes")
            raise ValueError(f"a name in the cache: {said}")
        return self._content.joinpath(*parts)

    def _stamp(self, name: str) -> Path:
        return self._stamps / f"{name.replace('/', '.')}.json"

    def _lock_path(self, name: str, kind: str) -> Path:
        return self._locks / f"{name.replace('/', '.')}.{kind}"

    def _is_good(self, name: str, path: Path, verify: Callable[[Path], None]) -> bool:
        if not path.is_dir():
            return False
        stamp = Stamp.read(self._stamp(name))
        if stamp is not None and stamp.holds_for(path):
            return True
        try:
            verify(path)
        except WRONG as error:
            log.warning("a folder of the local cache is damaged and fetched again", folder=name, error=str(error))
            return False
        try:
            Stamp.of(path, name).write(self._stamp(name))
        except OSError as error:  # a full disk: it is verified once more the next time
            log.warning("a verified folder could not be stamped", folder=name, error=str(error))
        return True

    def _put_in_place(self, name: str, folder: Path, path: Path) -> None:
        """The stamp first: a folder without one would never be found to be deleted."""
        path.parent.mkdir(parents=True, exist_ok=True)
        Stamp.of(folder, name).write(self._stamp(name))
        folder.rename(path)

    def _discard(self, name: str, path: Path) -> None:
        """Out of the way: a reader that has its files open keeps them."""
        self._stamp(name).unlink(missing_ok=True)
        if path.exists():
            with self.work_folder() as folder:
                path.rename(folder / "old")

    def _used(self, name: str) -> None:
        with suppress(FileNotFoundError):  # a folder that was adopted by nobody's process in this boot has none yet
            os.utime(self._stamp(name))

    def _leased(self, name: str, path: Path) -> Lease:
        # Who deletes holds the lock on making: nobody can be in between.
        return Lease(path, lock(self._lock_path(name, "lease"), lambda: self.pause(LOCK_POLL_S), shared=True))

    def _delete_unless_leased(self, name: str) -> bool:
        making = try_lock(self._lock_path(name, "make"))
        if making is None:
            return False
        with making:
            reading = try_lock(self._lock_path(name, "lease"))
            if reading is None:
                return False
            with reading:
                self._discard(name, self._place(name))
                reading.release(remove=True)
            making.release(remove=True)
        return True

    def _entries(self) -> list[tuple[str, int, int]]:
        """Name, time of the last use, bytes of every folder that is stamped."""
        found = []
        for path in self._stamps.glob("*.json"):
            stamp = Stamp.read(path)
            try:
                used = path.stat().st_mtime_ns
            except FileNotFoundError:
                continue
            if stamp is not None:
                found.append((stamp.name, used, stamp.size_bytes))
        return found

    def _pause_full(self, seconds: float) -> None:
        self.beat()
        self.pause(seconds)

    @contextmanager
    def _exclusive(self, name: str) -> Iterator[None]:
        """The lock on making a folder. While another process holds it, its signs of work count as ours."""
        path, seen = self._lock_path(name, "make"), 0

        def pause() -> None:
            nonlocal seen
            with suppress(FileNotFoundError):
                changed = path.stat().st_mtime_ns
                if changed != seen:
                    seen = changed
                    self.beat()
            self.pause(LOCK_POLL_S)

        with lock(path, pause) as held:
            with self._making_lock:
                self._making.add(held)
            try:
                yield
            finally:
                with self._making_lock:
                    self._making.discard(held)
