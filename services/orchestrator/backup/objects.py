"""The bucket as a folder: every object by its key, and an index of sizes and SHA-256, written last.

    {folder}/objects/{key}
    {folder}/objects.jsonl     {"key": ..., "bytes": ..., "sha256": ..., "etag": ...}

An object that an earlier backup in the same folder has, with the same size and etag, is not fetched again.
"""

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from services.common.errors import Corrupt, FailedPrecondition, NotFound
from services.common.store.object_store import PARALLEL_FILES, ObjectInfo, ObjectStore, inside

OBJECTS, INDEX = "objects", "objects.jsonl"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One object of a backup."""

    key: str
    bytes: int
    sha256: str
    etag: str


def save_objects(store: ObjectStore, folder: Path) -> tuple[Entry, ...]:
    """Copy the bucket into the folder. What vanishes meanwhile was given up by its owner, and is left out."""
    known = {entry.key: entry for entry in read_index(folder)} if (folder / INDEX).is_file() else {}

    def fetch(info: ObjectInfo) -> Entry | None:
        path = _place(folder, info.key)
        before = known.get(info.key)
        if before and path.is_file() and (before.etag, before.bytes) == (info.etag, info.size_bytes):
            return before
        try:
            store.get_file(info.key, path)
        except NotFound:
            return None
        return Entry(key=info.key, bytes=path.stat().st_size, sha256=sha256_of(path), etag=info.etag)

    with ThreadPoolExecutor(PARALLEL_FILES, thread_name_prefix="backup") as pool:
        entries = tuple(entry for entry in pool.map(fetch, store.scan()) if entry is not None)
    half = folder / f".{INDEX}"
    half.write_text("".join(json.dumps(asdict(entry)) + "\n" for entry in sorted(entries, key=lambda e: e.key)))
    half.replace(folder / INDEX)
    for gone in known.keys() - {entry.key for entry in entries}:
        _place(folder, gone).unlink(missing_ok=True)
    return entries


def restore_objects(store: ObjectStore, folder: Path) -> tuple[Entry, ...]:
    """Put every object back, each hashed before it is sent. Raises FailedPrecondition for a bucket that holds anything,
    Corrupt for a folder that is not what was saved."""
    if next(iter(store.scan()), None) is not None:
        raise FailedPrecondition(
            f"the bucket {store.bucket} holds objects; expected a new one", reason="BUCKET_NOT_EMPTY"
        )
    entries = tuple(read_index(folder))

    def send(entry: Entry) -> None:
        path = _place(folder, entry.key)
        if not path.is_file() or sha256_of(path) != entry.sha256:
            raise Corrupt(f"{path} is not what was saved; expected SHA-256 {entry.sha256}", reason="BACKUP_DAMAGED")
        store.put_file(entry.key, path)

    with ThreadPoolExecutor(PARALLEL_FILES, thread_name_prefix="restore") as pool:
        list(pool.map(send, entries))
    return entries


def read_index(folder: Path) -> Iterator[Entry]:
    """What the folder holds. Raises Corrupt."""
    try:
        with (folder / INDEX).open(encoding="utf-8") as file:
            for line in file:
                yield Entry(**json.loads(line))
    except (OSError, ValueError, TypeError) as error:
        raise Corrupt(f"{folder / INDEX}: {error}", reason="BACKUP_DAMAGED") from error


def sha256_of(path: Path) -> str:
    """SHA-256 (hex) of a file, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _place(folder: Path, key: str) -> Path:
    return inside(folder / OBJECTS, key)
