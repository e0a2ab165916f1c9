"""An object store on a dictionary, with the same answers as the real ones (the contract suite runs on it too).

`fail_next(n)` makes the next n calls raise Unavailable before they do anything, `fail_after(n)` all but the next n;
`lose_reply_of_next(n)` lets them take
effect and then raise, which is what a lost reply looks like from outside.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from services.common.errors import NotFound, Unavailable
from services.common.store.object_store import ObjectInfo, ObjectStore, SignedPut

T = TypeVar("T")


class FakeObjectStore(ObjectStore):
    """Objects in memory."""

    def __init__(self, bucket: str = "retain") -> None:
        self.bucket = bucket
        self.objects: dict[str, bytes] = {}
        self.calls: list[tuple[str, str]] = []
        self._modified: dict[str, datetime] = {}
        self._lock = threading.RLock()
        self._failures = 0
        self._lost_replies = 0
        self._left: int | None = None

    def fail_next(self, count: int = 1) -> None:
        """Let the next calls fail without effect."""
        self._failures = count

    def fail_after(self, count: int | None) -> None:
        """Let `count` more calls pass and every later one fail without effect; None: let all pass again."""
        self._left = count

    def lose_reply_of_next(self, count: int = 1) -> None:
        """Let the next calls take effect and then fail."""
        self._lost_replies = count

    def ensure_bucket(self) -> None:
        self._do("ensure_bucket", "", lambda: None)

    def put_file(self, key: str, path: Path) -> None:
        data = path.read_bytes()
        self._do("put_file", key, lambda: self._store(key, data))

    def get_file(self, key: str, path: Path) -> None:
        data = self._do("get_file", key, lambda: self._load(key))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def put_bytes(self, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> None:
        self._do("put_bytes", key, lambda: self._store(key, bytes(data)))

    def get_bytes(self, key: str) -> bytes:
        return self._do("get_bytes", key, lambda: self._load(key))

    def put_if_absent(self, key: str, data: bytes) -> bool:
        def put() -> bool:
            if key in self.objects:
                return False
            self._store(key, bytes(data))
            return True

        return self._do("put_if_absent", key, put)

    def stat(self, key: str) -> ObjectInfo | None:
        return self._do("stat", key, lambda: self._info(key) if key in self.objects else None)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        keys = self._do("list", prefix, lambda: sorted(key for key in self.objects if key.startswith(prefix)))
        return iter([self._info(key) for key in keys])

    def scan(self, prefix: str = "") -> Iterator[ObjectInfo]:
        for key in self._do("scan", prefix, lambda: sorted(key for key in self.objects if key.startswith(prefix))):
            if key in self.objects:
                yield self._info(key)

    def age(self, seconds: float) -> None:
        """Let everything that is there be older by so much."""
        with self._lock:
            for key in self._modified:
                self._modified[key] -= timedelta(seconds=seconds)

    def delete(self, key: str) -> None:
        self._do("delete", key, lambda: self.objects.pop(key, None))

    def presign_get(self, key: str, *, expires_s: int = 3600) -> str:
        return f"http://object-store.invalid/{self.bucket}/{key}?method=GET&expires={expires_s}"

    def sign_put(self, key: str, *, sha256: str, size_bytes: int, expires_s: int = 3600) -> SignedPut:
        url = f"http://object-store.invalid/{self.bucket}/{key}?method=PUT&expires={expires_s}"
        return SignedPut(url=url, headers={"x-amz-checksum-sha256": sha256})

    def _store(self, key: str, data: bytes) -> None:
        self.objects[key] = data
        self._modified[key] = datetime.now(UTC)

    def _load(self, key: str) -> bytes:
        if key not in self.objects:
            raise NotFound(f"there is no object {key} in the bucket {self.bucket}")
        return self.objects[key]

    def _info(self, key: str) -> ObjectInfo:
        data = self.objects[key]
        return ObjectInfo(
            key=key, size_bytes=len(data), etag=hashlib.md5(data).hexdigest(), modified=self._modified[key]
        )

    def _do(self, name: str, key: str, call: Callable[[], T]) -> T:
        with self._lock:
            self.calls.append((name, key))
            if self._left is not None:
                self._left -= 1
                if self._left < 0:
                    raise Unavailable("the object store is away", reason="STORE_UNAVAILABLE")
            if self._failures > 0:
                self._failures -= 1
                raise Unavailable("the object store is away", reason="STORE_UNAVAILABLE")
            result = call()
            if self._lost_replies > 0:
                self._lost_replies -= 1
                raise Unavailable("the reply was lost", reason="STORE_UNAVAILABLE")
            return result
