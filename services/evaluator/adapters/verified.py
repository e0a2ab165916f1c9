"""Brings checkpoints and evaluation sets from the store to this disk, every byte verified.

Of a checkpoint only `model/` is fetched. Its manifest must have the SHA-256 that the caller got from the orchestrator's
database, every file must fit the manifest, and the manifest's digest of the weights must be the one asked about:
otherwise a result would be kept under the name of weights that were never measured.
"""

import shutil
from pathlib import Path

from model import checkpoint as files
from model.errors import RetainModelError
from model.evalset import EvalSet
from services.common.errors import Corrupt
from services.common.object_store import ObjectStore, get_folder, key_of
from services.evaluator.adapters.disk_cache import DiskCache
from services.evaluator.domain.question import CheckpointRef, SetRef

MODEL_PREFIX = f"{files.MODEL_FOLDER}/"


class VerifiedFiles:
    """Local folders of what is asked about. Raises Corrupt when a hash does not fit, NotFound, Unavailable."""

    def __init__(self, store: ObjectStore, cache: DiskCache) -> None:
        self._store, self._cache = store, cache

    def model_folder(self, ref: CheckpointRef) -> Path:
        """Folder with config.json, tokenizer.json and weights of the checkpoint."""
        key = key_of(self._store, ref.uri)

        def fetch(folder: Path) -> None:
            def download(name: str, path: Path) -> None:
                self._store.get_file(f"{key}/{name}", path)
                if name == files.MANIFEST:  # kept beside the files, so that a later process can verify them
                    shutil.copyfile(path, folder / files.MANIFEST)

            try:
                files.fetch(download, folder, ref.manifest_sha256, only=MODEL_PREFIX)
            except RetainModelError as error:
                raise Corrupt(f"{ref.uri}: {error}", reason=error.reason) from error

        def verify(folder: Path) -> None:
            try:
                manifest = files.Manifest.from_bytes(
                    (folder / files.MANIFEST).read_bytes(), expected_sha256=ref.manifest_sha256
                )
                for name, entry in manifest.files.items():
                    if name.startswith(MODEL_PREFIX):
                        files.check_file(folder / name, entry)
            except (OSError, RetainModelError) as error:
                raise Corrupt(f"{ref.uri}: {error}", reason="CHECKPOINT_CORRUPT") from error
            if manifest.weights_digest != ref.weights_digest:
                came = f"the manifest says {manifest.weights_digest}, the question {ref.weights_digest}"
                raise Corrupt(f"{ref.uri}: weights digest: {came}", reason="WEIGHTS_DIFFER")

        name = f"checkpoint-{ref.manifest_sha256[:32]}-{ref.weights_digest[:16]}"
        return self._cache.folder(name, fetch=fetch, verify=verify) / files.MODEL_FOLDER

    def eval_set(self, ref: SetRef) -> EvalSet:
        """The frozen set, its digest computed again from its content."""
        key = key_of(self._store, ref.uri)
        opened: list[EvalSet] = []

        def verify(folder: Path) -> None:
            try:
                eval_set = EvalSet.open(folder)
            except RetainModelError as error:
                raise Corrupt(f"{ref.uri}: {error}", reason=error.reason) from error
            if eval_set.digest != ref.digest:
                raise Corrupt(f"{ref.uri}: digest {eval_set.digest}; allowed is {ref.digest}", reason="SET_DIFFERS")
            opened.append(eval_set)

        def fetch(folder: Path) -> None:
            get_folder(self._store, key, folder)

        folder = self._cache.folder(f"set-{ref.digest}", fetch=fetch, verify=verify)
        return opened[-1] if opened else EvalSet.open(folder)
