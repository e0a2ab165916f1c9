"""Local copies of what the store holds under a digest, verified once on arrival.

    {root}/shards/{digest}/  tokenizers/{digest}/  checkpoints/{manifest sha256}/

A copy appears whole (made beside its place, verified, renamed) or not at all. Several ranks on one machine share the
folder: the first one in fetches, the others wait for it. What a rank has written itself (a checkpoint that it uploads)
is put in too, so that the next stage finds its parent without any download.
"""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from model import checkpoint
from model.checkpoint import Manifest
from model.shards import TokenShard
from model.tokenizer import Tokenizer
from retain.types.v1 import values_pb2
from services.common.errors import Corrupt
from services.common.object_store import ObjectStore, get_folder, key_of

KEPT_CHECKPOINTS = 6


class LocalCache:
    """Copies under `root` (RETAIN_CACHE, else a folder of this user in the system's temporary folder)."""

    def __init__(self, store: ObjectStore, root: Path, *, beat: Callable[[], None] = lambda: None) -> None:
        self._store, self.root, self.beat = store, root, beat
        root.mkdir(parents=True, exist_ok=True)

    @classmethod
    def default_root(cls) -> Path:
        """RETAIN_CACHE, or a folder of one's own."""
        return Path(os.environ.get("RETAIN_CACHE") or Path(tempfile.gettempdir()) / f"retain-cache-{os.getuid()}")

    def shard(self, folder: values_pb2.PreparedFolder) -> TokenShard:
        """A token shard, every hash of its files verified when it arrived."""
        path = self.root / "shards" / folder.digest

        def fetch(arriving: Path) -> None:
            self._get(folder.uri, arriving)
            TokenShard.open(arriving, verify=True)

        self._once(path, fetch)
        return TokenShard.open(path)

    def tokenizer(self, folder: values_pb2.PreparedFolder) -> Tokenizer:
        """A tokenizer, which must have the digest that it is asked for by."""
        path = self.root / "tokenizers" / folder.digest

        def fetch(arriving: Path) -> None:
            self._get(folder.uri, arriving)
            found = Tokenizer.load(arriving).digest
            if found != folder.digest:
                raise Corrupt(f"the tokenizer at {folder.uri} has the digest {found}; it is to be {folder.digest}")

        self._once(path, fetch)
        return Tokenizer.load(path)

    def checkpoint(self, ref: values_pb2.CheckpointRef) -> Path:
        """The folder of a checkpoint, every hash verified against the manifest and the manifest against the
        reference."""
        path = self.root / "checkpoints" / ref.manifest_sha256

        def fetch(arriving: Path) -> None:
            self.fetch_checkpoint(ref.uri, arriving, ref.manifest_sha256)

        self._once(path, fetch)
        os.utime(path)
        return path

    def fetch_checkpoint(self, uri: str, folder: Path, manifest_sha256: str) -> Manifest:
        """Download a checkpoint into `folder`."""
        key = key_of(self._store, uri)

        def download(name: str, path: Path) -> None:
            self._store.get_file(f"{key}/{name}", path)
            self.beat()

        return checkpoint.fetch(download, folder, manifest_sha256)

    def keep_checkpoint(self, folder: Path, manifest_sha256: str) -> Path:
        """Take over a folder that was written here, and forget the oldest ones."""
        place = self.root / "checkpoints" / manifest_sha256
        with self._lock(place):
            if place.exists():
                shutil.rmtree(folder)
            else:
                folder.rename(place)
        held = sorted((p for p in place.parent.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime, reverse=True)
        for old in held[KEPT_CHECKPOINTS:]:
            shutil.rmtree(old, ignore_errors=True)
        return place

    def work_folder(self) -> Path:
        """A new empty folder on the same file system, for something that is to be renamed into place."""
        (self.root / "work").mkdir(exist_ok=True)
        return Path(tempfile.mkdtemp(dir=self.root / "work"))

    def _get(self, uri: str, folder: Path) -> None:
        get_folder(self._store, key_of(self._store, uri), folder)
        self.beat()

    def _once(self, path: Path, fetch: Callable[[Path], None]) -> None:
        with self._lock(path):
            if path.exists():
                return
            arriving = self.work_folder()
            try:
                fetch(arriving)
                arriving.rename(path)
            finally:
                shutil.rmtree(arriving, ignore_errors=True)

    @contextmanager
    def _lock(self, path: Path) -> Iterator[None]:
        path.parent.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(str(path).encode()).hexdigest()[:24]
        (self.root / "locks").mkdir(exist_ok=True)
        with (self.root / "locks" / name).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
