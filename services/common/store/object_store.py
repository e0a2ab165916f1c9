"""The port to the object store: what the services need of any S3 server, and the URIs that they exchange.

A key is a path inside the one bucket of an installation (`runs/r1/pretrain/attempt-1/step-000000100/manifest.json`);
a URI is `s3://{bucket}/{key}`. Adapter: services/common/store/minio_store.py; a fake on a dictionary lives in
tests/fakes.

Every method blocks; asyncio code calls it through `asyncio.to_thread`. Errors are those of services/common/errors.py:
`NotFound` (there is no such object), `Unavailable` (the server stayed away for minutes), `Refused` (credentials).
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from retain.values.faults import mismatch
from services.common.errors import InvalidInput, Violation

# Files of one folder that travel at once: enough to fill a link with small files, few enough for two cores.
PARALLEL_FILES = 4


@dataclass(frozen=True, kw_only=True)
class SignedPut:
    """PUT the file with these headers to the URL. Its length is signed, too; every client sends it by itself."""

    url: str
    headers: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class ObjectInfo:
    """One object as the store lists it. `etag` is the store's own and says nothing about the content."""

    key: str
    size_bytes: int
    etag: str
    modified: datetime | None = None

    @property
    def modified_s(self) -> float | None:
        """When it was written, in Unix seconds."""
        return None if self.modified is None else self.modified.timestamp()


class ObjectStore(Protocol):
    """What is asked of an object store. Writing a key replaces it; readers see the old object or the new one, whole."""

    bucket: str

    def ensure_bucket(self) -> None:
        """Create the bucket unless it is there."""
        ...

    def put_file(self, key: str, path: Path) -> None:
        """Upload a file, large ones in parallel parts."""
        ...

    def get_file(self, key: str, path: Path) -> None:
        """Download to `path`, which appears whole or not at all. Raises NotFound."""
        ...

    def put_bytes(self, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> None:
        """Write a small object."""
        ...

    def get_bytes(self, key: str) -> bytes:
        """Read a small object. Raises NotFound."""
        ...

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write only if there is no such object, atomically. Returns whether this call's bytes are the ones stored."""
        ...

    def stat(self, key: str) -> ObjectInfo | None:
        """The object's size, or None when there is none."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object whose key starts with `prefix`, in the order of the keys."""
        ...

    def scan(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Every object, page by page in the store's own order, in which those of one folder follow one another: for
        listings that do not fit into memory. Raises Unavailable in the middle when the store goes away."""
        ...

    def delete(self, key: str) -> None:
        """Delete; an absent object is no error."""
        ...

    def presign_get(self, key: str, *, expires_s: int = 3600) -> str:
        """A URL from which anyone can read the object for a while."""
        ...

    def sign_put(self, key: str, *, sha256: str, size_bytes: int, expires_s: int = 3600) -> SignedPut:
        """A request by which anyone can write this content (its SHA-256 in hex) for a while, and once. Raises
        InvalidInput."""
        ...


def parse_s3_uri(uri: str) -> tuple[str, str]:
    """Split `s3://bucket/key` into bucket and key (no slash at the end). Raises InvalidInput for anything else."""
    scheme, separator, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not separator or not bucket:
        raise InvalidInput([Violation(field="uri", description=mismatch(repr(uri), "s3://BUCKET/KEY"))])
    return bucket, key.strip("/")


def s3_uri(store: ObjectStore, key: str) -> str:
    """The URI of a key in the store's bucket, without a slash at the end."""
    return f"s3://{store.bucket}/{key.strip('/')}"


def key_of(store: ObjectStore, uri: str) -> str:
    """The key of a URI that must lie in the store's bucket. Raises InvalidInput when it names another bucket."""
    bucket, key = parse_s3_uri(uri)
    if bucket != store.bucket:
        raise InvalidInput([Violation(field="uri", description=mismatch(repr(uri), f"the bucket {store.bucket!r}"))])
    return key


def put_folder(store: ObjectStore, folder: Path, key: str, *, last: str | None = None) -> int:
    """Upload every file of a folder under `key`, several at a time, and return the bytes sent.

    `last` names the file (relative to the folder) that is written after all others: the commit marker.
    """
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    first = [name for name in names if name != last]
    with ThreadPoolExecutor(PARALLEL_FILES, thread_name_prefix="put-folder") as pool:
        list(pool.map(lambda name: store.put_file(f"{key}/{name}", folder / name), first))
    if last is not None:
        store.put_file(f"{key}/{last}", folder / last)
    return sum((folder / name).stat().st_size for name in names)


def get_folder(store: ObjectStore, key: str, folder: Path) -> list[str]:
    """Download every object under `key/` into a folder, several at a time; returns the relative names."""
    prefix = key.strip("/") + "/"
    names = [info.key.removeprefix(prefix) for info in store.list(prefix)]
    with ThreadPoolExecutor(PARALLEL_FILES, thread_name_prefix="get-folder") as pool:
        list(pool.map(lambda name: store.get_file(prefix + name, inside(folder, name)), names))
    return names


def inside(folder: Path, name: str) -> Path:
    """`folder / name`, refused when the name would leave the folder: names from the store are not trusted.

    Raises InvalidInput.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InvalidInput([Violation(field="key", description=mismatch(repr(name), "names inside the folder"))])
    return path
