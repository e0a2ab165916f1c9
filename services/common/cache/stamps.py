"""A stamp says as what a folder was verified: whoever finds the same boot of the machine and the same files (size,
times, inode) need not read them again.

A file that is written to, replaced or cut changes its times or its inode, whatever the writer does to hide it: the
time of the last change of its inode (ctime) cannot be set. What a disk loses by itself is found after the next boot.
"""

import json
import mmap
import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

SYNC_BYTES = 64 * 1024 * 1024
_BOOT = Path("/proc/sys/kernel/random/boot_id")
# Where the system does not say which boot this is, a stamp holds for the process that wrote it.
_PROCESS = f"process-{uuid.uuid4().hex}"


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """What a verified folder looked like. files: relative name -> size, mtime, ctime (ns), inode."""

    name: str
    boot: str
    files: Mapping[str, tuple[int, int, int, int]]

    @property
    def size_bytes(self) -> int:
        """Size of all files."""
        return sum(facts[0] for facts in self.files.values())

    @classmethod
    def of(cls, folder: Path, name: str = "") -> "Stamp":
        """The stamp that a folder has now."""
        files = {}
        for path in sorted(folder.rglob("*")):
            facts = path.lstat()
            if not path.is_dir() or path.is_symlink():
                times = (facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino)
                files[path.relative_to(folder).as_posix()] = times
        return cls(name=name, boot=boot_id(), files=files)

    @classmethod
    def read(cls, path: Path) -> "Stamp | None":
        """A stored stamp; None when there is none, or none that can be read."""
        try:
            raw = json.loads(path.read_bytes())
            files = {str(name): tuple(map(int, facts)) for name, facts in raw["files"].items()}
            return cls(name=str(raw["name"]), boot=str(raw["boot"]), files=files)  # type: ignore[arg-type]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def write(self, path: Path) -> None:
        """Store it, whole or not at all."""
        partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            partial.write_text(json.dumps(asdict(self)))
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    def holds_for(self, folder: Path) -> bool:
        """Whether the folder is as it was verified, in this boot."""
        return self.boot == boot_id() and self == Stamp.of(folder, self.name)


def boot_id() -> str:
    """Names this boot of the machine."""
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return _PROCESS


def sync_folder(folder: Path, beat: Callable[[], None], *, files: bool = True) -> None:
    """Write a folder, and with `files` all that is in it, through to the disk. `beat` is called for every few dozen
    megabytes of a file: a slow disk may take minutes for one."""
    for path in [*folder.rglob("*"), folder] if files else [folder]:
        is_file = path.is_file()
        descriptor = os.open(path, (os.O_RDWR if is_file else os.O_RDONLY) | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            if is_file:
                _sync_pieces(descriptor, beat)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        beat()


def _sync_pieces(descriptor: int, beat: Callable[[], None]) -> None:
    """Piece by piece, as only a mapping of a file can be written through in part (msync)."""
    size = os.fstat(descriptor).st_size
    if size <= SYNC_BYTES:
        return
    with mmap.mmap(descriptor, size, access=mmap.ACCESS_WRITE) as mapped:
        for begin in range(0, size, SYNC_BYTES):
            mapped.flush(begin, min(SYNC_BYTES, size - begin))
            beat()
