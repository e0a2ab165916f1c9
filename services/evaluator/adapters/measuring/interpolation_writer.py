"""Puts an interpolation into the store: weights and tokenizer, the manifest last, and nothing over anything else."""

from collections.abc import Mapping
from pathlib import Path

from model.checkpointing.checkpoint import MANIFEST, FileEntry, Manifest, write_imported
from model.data.held_out import HeldOut
from model.errors import RetainModelError
from model.tokenization.tokenizer import Tokenizer
from retain.values import CheckpointRef, WritePointRequest, WritePointResponse
from services.common.cache.content_cache import ContentCache
from services.common.cache.disk_space import is_disk_full
from services.common.concurrency.heart import beat
from services.common.errors import FailedPrecondition, StorageFull
from services.common.store.object_store import ObjectStore, key_of
from services.evaluator.adapters.measuring.measurer import TorchMeasurer
from services.evaluator.adapters.measuring.verified_files import VerifiedFiles, read_manifest
from services.evaluator.application.ports import InterpolationWriter
from services.evaluator.domain.request import Model


class TorchInterpolationWriter(InterpolationWriter):
    """Takes the weights from the measurer, which has just measured them.

    There is no optimizer's state in what is written: moments belong to weights that were trained, and a stage that goes
    on from a point begins with fresh ones.
    """

    def __init__(self, measurer: TorchMeasurer, files: VerifiedFiles, store: ObjectStore, cache: ContentCache) -> None:
        self._measurer, self._files, self._store, self._cache = measurer, files, store, cache

    def write(self, order: WritePointRequest) -> WritePointResponse:
        key = key_of(self._store, order.output_uri)
        try:
            with self._cache.work_folder() as made:
                manifest = self._make(order, made)
                self._put(made, key, manifest)
        except RetainModelError as error:
            raise FailedPrecondition(f"{order.output_uri}: {error}", reason=error.reason) from error
        except Exception as error:
            if is_disk_full(error) and not isinstance(error, StorageFull):
                raise StorageFull(f"disk full at {self._cache.root}") from error
            raise
        ref = CheckpointRef(
            uri=order.output_uri,
            manifest_sha256=manifest.sha256,
            weights_digest=manifest.weights_digest,
            step=manifest.step,
            tokens=manifest.tokens,
        )
        return WritePointResponse(checkpoint=ref, bytes=manifest.size_bytes)

    def _make(self, order: WritePointRequest, made: Path) -> Manifest:
        result = order.checkpoint
        weights = self._measurer.weights(Model.of(order))
        with self._files.model_folder(result) as source:
            grown = read_manifest(source.parent, result)
            tokenizer, held_out = Tokenizer.load(source), HeldOut.read(source)
        beat(f"writing {order.output_uri}")
        return write_imported(
            made,
            model=weights,
            tokenizer=tokenizer,
            parent=result.manifest_sha256,
            spec_digest=grown.spec_digest,
            step=grown.step,
            tokens=grown.tokens,
            held_out=held_out,
            sampled=grown.sampled,
        )

    def _put(self, made: Path, key: str, manifest: Manifest) -> None:
        """Only what is not there yet is written. Something else at the place is nobody's to overwrite: an accepted
        checkpoint may lie there, or what another order wrote."""
        there = {info.key.removeprefix(f"{key}/"): info.size_bytes for info in self._store.list(f"{key}/")}
        self._refuse_others(key, there, manifest)
        for name, entry in manifest.files.items():
            if there.get(name) != entry.size or MANIFEST not in there:
                beat(f"uploading {key}/{name}")
                self._store.put_file(f"{key}/{name}", made / name)
        data = (made / MANIFEST).read_bytes()
        if MANIFEST not in there and not self._store.put_if_absent(f"{key}/{MANIFEST}", data):
            self._refuse_others(key, {MANIFEST: len(data)}, manifest)

    def _refuse_others(self, key: str, there: Mapping[str, int], manifest: Manifest) -> None:
        wanted: Mapping[str, FileEntry] = manifest.files
        other = next((name for name in sorted(there) if name != MANIFEST and name not in wanted), None)
        if other is None and MANIFEST in there:
            if self._store.get_bytes(f"{key}/{MANIFEST}") == manifest.to_bytes():
                return
            other = MANIFEST
        if other is not None:
            raise FailedPrecondition(
                f"{key} holds another {other} than this point has; it is not overwritten",
                reason="PLACE_TAKEN",
                metadata={"key": key, "file": other},
            )
