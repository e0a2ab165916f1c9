"""What the store holds under a digest, as folders on this machine's disk (services/common/cache/content_cache.py).

    {root}/content/shards/{digest}/  tokenizers/{digest}/  checkpoints/{manifest sha256}/

Several ranks on one machine share the folders: the first one in fetches, the others wait for it. What a rank has made
itself (a checkpoint that it uploads, a shard that it prepared) is put in too, so that the next stage finds it without
any download. What an assignment uses is leased until its end (`assignment`).

What comes out of the store broken is fetched once more, since the way may be at fault; when it is broken again, the
store's copy is. A checkpoint then is `DamagedCheckpoint`, which the orchestrator answers with the one before; prepared
data is `DamagedData`, which is marked in the store so that it is prepared anew.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from model.checkpointing import checkpoint
from model.data.eval_set import EvalSet
from model.data.shards import TokenShard
from model.errors import RetainModelError
from model.tokenization.tokenizer import Tokenizer
from retain.types.v1 import values_pb2
from retain.values.faults import mismatch
from services.common.cache.content_cache import ContentCache, Lease
from services.common.cache.fetch import twice
from services.common.errors import Corrupt, InvalidInput, NotFound, Violation
from services.common.logging import get_logger
from services.common.store.layout import DAMAGED
from services.common.store.object_store import ObjectStore, get_folder, key_of
from services.worker.attempt.damage import DamagedCheckpoint, DamagedData

log = get_logger(__name__)

KEPT_CHECKPOINTS = 6
# Share of the file system that the cache may fill when RETAIN_CACHE_BYTES does not say.
SHARE_OF_DISK = 0.25
BROKEN = (RetainModelError, Corrupt, NotFound, InvalidInput)


class LocalCache:
    """Copies under `root` (RETAIN_CACHE, else a folder of this user in the system's temporary folder), of at most
    `max_bytes` (RETAIN_CACHE_BYTES, else a quarter of the file system)."""

    def __init__(
        self, store: ObjectStore, root: Path, *, max_bytes: int | None = None, beat: Callable[[], None] = lambda: None
    ) -> None:
        self._store = store
        self.content = ContentCache(root, max_bytes=max_bytes or default_max_bytes(root), beat=beat)
        self._leases: list[Lease] = []
        self.check: Callable[[], None] = lambda: None  # may raise to end what is under way

    @contextmanager
    def assignment(self) -> Iterator[None]:
        """What is opened inside the block stays on the disk until its end."""
        try:
            yield
        finally:
            leases, self._leases = self._leases, []
            for lease in leases:
                lease.release()

    def shard(self, folder: values_pb2.PreparedFolder) -> TokenShard:
        """A token shard, every hash of its files verified. Raises DamagedData."""

        def verify(place: Path) -> None:
            found = TokenShard.open(place, verify=True).meta.digest
            if found != folder.digest:
                raise Corrupt(f"the shard at {folder.uri} has the digest {found}; it is to be {folder.digest}")

        return TokenShard.open(self._prepared("shards", folder, verify))

    def tokenizer(self, folder: values_pb2.PreparedFolder) -> Tokenizer:
        """A tokenizer, which must have the fingerprint that it is asked for by (runs that were prepared before there
        were fingerprints ask by the digest). Raises DamagedData."""

        def verify(place: Path) -> None:
            found = Tokenizer.load(place)
            if folder.digest not in (found.fingerprint, found.digest):
                said = f"the fingerprint {found.fingerprint}"
                raise Corrupt(f"the tokenizer at {folder.uri} has {said}; it is to be {folder.digest}")

        return Tokenizer.load(self._prepared("tokenizers", folder, verify))

    def eval_set(self, ref: values_pb2.EvalSetRef) -> EvalSet:
        """A frozen set, its digest computed again. Raises DamagedData."""

        def verify(place: Path) -> None:
            found = EvalSet.open(place).digest
            if found != ref.digest:
                raise Corrupt(f"the set at {ref.uri} has the digest {found}; it is to be {ref.digest}")

        folder = values_pb2.PreparedFolder(name=ref.name, uri=ref.uri, digest=ref.digest)
        return EvalSet.open(self._prepared("sets", folder, verify))

    def checkpoint(self, ref: values_pb2.CheckpointRef) -> Path:
        """The folder of a checkpoint, every hash verified against the manifest and the manifest against the
        reference. Raises DamagedCheckpoint when the store's copy is not that."""
        key = key_of(self._store, ref.uri)

        def download(name: str, path: Path) -> None:
            self.check()
            self._store.get_file(f"{key}/{name}", path)
            self.content.work_done()

        def fetch(folder: Path) -> None:
            try:
                twice(
                    lambda: checkpoint.fetch(download, folder, ref.manifest_sha256, beat=self.content.work_done), BROKEN
                )
            except BROKEN as error:
                if isinstance(error, NotFound) and error.reason == "NO_BUCKET":
                    raise
                raise DamagedCheckpoint(ref, str(error)) from error

        def verify(folder: Path) -> None:
            checkpoint.verify(folder, ref.manifest_sha256, beat=self.content.work_done)

        return self._keep(
            self.content.lease(
                f"checkpoints/{ref.manifest_sha256}",
                fetch=fetch,
                verify=verify,
                verified_on_arrival=True,
            )
        )

    def keep_checkpoint(self, folder: Path, manifest_sha256: str) -> Path:
        """Take over a folder that was written here, and forget the oldest ones."""
        place = self._keep(self.content.adopt(f"checkpoints/{manifest_sha256}", folder))
        self.content.keep_newest("checkpoints", KEPT_CHECKPOINTS)
        return place

    def keep_shard(self, folder: Path, digest: str) -> None:
        """Take over a shard that was prepared here."""
        self._keep(self.content.adopt(f"shards/{digest}", folder))

    def work_folder(self) -> AbstractContextManager[Path]:
        """A new empty folder on the same file system, for the length of a block."""
        return self.content.work_folder()

    def _prepared(self, kind: str, folder: values_pb2.PreparedFolder, verify: Callable[[Path], None]) -> Path:
        key = key_of(self._store, folder.uri)

        def bring(arriving: Path) -> None:
            for old in arriving.iterdir():  # what an earlier try brought
                shutil.rmtree(old) if old.is_dir() else old.unlink()
            if not get_folder(self._store, key, arriving):
                raise NotFound(f"there is nothing under {folder.uri}")
            (arriving / DAMAGED).unlink(missing_ok=True)
            self.content.work_done()
            verify(arriving)

        def fetch(arriving: Path) -> None:
            try:
                twice(lambda: bring(arriving), BROKEN)
            except BROKEN as error:
                if isinstance(error, NotFound) and error.reason == "NO_BUCKET":
                    raise
                self._store.put_bytes(f"{key}/{DAMAGED}", str(error).encode())
                raise DamagedData(folder.uri, str(error)) from error

        return self._keep(
            self.content.lease(f"{kind}/{folder.digest}", fetch=fetch, verify=verify, verified_on_arrival=True)
        )

    def _keep(self, lease: Lease) -> Path:
        self._leases.append(lease)
        return lease.path


def default_max_bytes(root: Path) -> int:
    """RETAIN_CACHE_BYTES, or a share of the file system. Raises InvalidInput."""
    said = os.environ.get("RETAIN_CACHE_BYTES")
    if said:
        if not said.isdigit() or not int(said):
            what = mismatch(repr(said), "a positive number of bytes")
            raise InvalidInput([Violation(field="RETAIN_CACHE_BYTES", description=what)])
        return int(said)
    root.parent.mkdir(parents=True, exist_ok=True)
    return int(shutil.disk_usage(root.parent).total * SHARE_OF_DISK)
