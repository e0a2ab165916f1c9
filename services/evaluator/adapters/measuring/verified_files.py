"""Brings checkpoints and evaluation sets from the store to this disk, every byte verified.

Of a checkpoint only `model/` is fetched. Its manifest must have the SHA-256 that the caller got from the orchestrator's
database and every file must fit the manifest; whether the weights have the digest that the manifest claims is computed
when they are loaded (measurer.py). Folders are leased: nobody deletes what is being read.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model.checkpointing import checkpoint as files
from model.data.eval_set import EvalSet
from model.errors import RetainModelError
from retain.values import CheckpointRef, EvalSetRef
from retain.values.faults import mismatch
from services.common.cache.content_cache import ContentCache
from services.common.cache.fetch import twice
from services.common.concurrency.heart import beat
from services.common.errors import CheckpointDamaged, Corrupt, NotFound, Unavailable
from services.common.store.object_store import ObjectStore, get_folder, key_of

MODEL_PREFIX = f"{files.MODEL_FOLDER}/"


class VerifiedFiles:
    """Local folders of what is asked about. Raises CheckpointDamaged when files are cut, changed or missing, Corrupt
    for a set, Unavailable."""

    def __init__(self, store: ObjectStore, cache: ContentCache) -> None:
        self._store, self._cache = store, cache

    @contextmanager
    def model_folder(self, ref: CheckpointRef) -> Iterator[Path]:
        """Folder with config.json, tokenizer.json and weights of the checkpoint; beside it lies its manifest. It stays
        until the end of the block."""

        def fetch(folder: Path) -> None:
            twice(lambda: self._fetch(ref, folder), (CheckpointDamaged,))

        def verify(folder: Path) -> None:
            manifest = read_manifest(folder, ref)
            for name, entry in manifest.files.items():
                if name.startswith(MODEL_PREFIX):
                    beat(f"verifying {ref.uri}")
                    files.check_file(folder / name, entry)

        name = f"checkpoints/{ref.manifest_sha256}"
        with self._cache.lease(name, fetch=fetch, verify=verify, verified_on_arrival=True) as folder:
            yield folder / files.MODEL_FOLDER

    def eval_set(self, ref: EvalSetRef) -> EvalSet:
        """The frozen set, its digest computed again from its content."""
        key = key_of(self._store, ref.uri)

        def opened(folder: Path) -> EvalSet:
            try:
                eval_set = EvalSet.open(folder)
            except RetainModelError as error:
                raise Corrupt(f"{ref.uri}: {error}", reason=error.reason) from error
            if eval_set.digest != ref.digest:
                raise Corrupt(f"{ref.uri}: digest: {mismatch(eval_set.digest, ref.digest)}", reason="SET_DIFFERS")
            return eval_set

        def verify(folder: Path) -> None:
            opened(folder)

        def fetch(folder: Path) -> None:
            beat(f"downloading {ref.uri}")
            get_folder(self._store, key, folder)

        with self._cache.lease(f"sets/{ref.digest}", fetch=fetch, verify=verify) as folder:
            return opened(folder)

    def _fetch(self, ref: CheckpointRef, folder: Path) -> None:
        key = key_of(self._store, ref.uri)
        shutil.rmtree(folder / files.MODEL_FOLDER, ignore_errors=True)  # what an earlier try brought

        def download(name: str, path: Path) -> None:
            beat(f"downloading {ref.uri}/{name}")
            self._store.get_file(f"{key}/{name}", path)
            self._cache.work_done()
            if name == files.MANIFEST:  # kept beside the files, so that a later process can verify them
                shutil.copyfile(path, folder / files.MANIFEST)

        try:
            files.fetch(download, folder, ref.manifest_sha256, only=MODEL_PREFIX)
        except NotFound as error:
            if error.reason != NotFound.reason:
                raise Unavailable(error.message, reason=error.reason) from error  # no bucket: no word about its content
            raise damaged(ref, f"a file is missing: {error.message}") from error
        except RetainModelError as error:
            raise damaged(ref, str(error)) from error


def read_manifest(folder: Path, ref: CheckpointRef) -> files.Manifest:
    """The manifest of a cached checkpoint, which is the one asked for. Raises BadCheckpoint, OSError."""
    return files.Manifest.from_bytes((folder / files.MANIFEST).read_bytes(), expected_sha256=ref.manifest_sha256)


def damaged(ref: CheckpointRef, what: str) -> CheckpointDamaged:
    """The error for a checkpoint that is not what its manifest says."""
    where = {"uri": ref.uri, "manifest_sha256": ref.manifest_sha256}
    return CheckpointDamaged(f"{ref.uri}: {what}", metadata=where)
