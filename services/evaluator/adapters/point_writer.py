"""Puts a point of a line into the store: weights and tokenizer, the manifest last."""

import tempfile
from pathlib import Path

from model.checkpoint import MANIFEST, Manifest, write_imported
from model.errors import RetainModelError
from model.tokenizer import Tokenizer
from services.common.errors import FailedPrecondition
from services.common.object_store import ObjectStore, key_of, put_folder
from services.evaluator.adapters.measurer import TorchMeasurer
from services.evaluator.adapters.verified import VerifiedFiles
from services.evaluator.application.ports import PointWriter
from services.evaluator.domain.question import CheckpointRef, PointOrder, WrittenPoint


class TorchPointWriter(PointWriter):
    """Takes the weights from the measurer, which has just measured them.

    There is no optimizer's state in what is written: moments belong to weights that were trained, and a stage that goes
    on from a point begins with fresh ones.
    """

    def __init__(self, measurer: TorchMeasurer, files: VerifiedFiles, store: ObjectStore) -> None:
        self._measurer, self._files, self._store = measurer, files, store

    def write(self, order: PointOrder) -> WrittenPoint:
        result = order.model.checkpoint
        source, key = self._files.model_folder(result), key_of(self._store, order.output_uri)
        grown = Manifest.from_bytes((source.parent / MANIFEST).read_bytes(), expected_sha256=result.manifest_sha256)
        try:
            with tempfile.TemporaryDirectory(prefix="retain-point-") as made:
                manifest = write_imported(
                    Path(made),
                    model=self._measurer.weights(order.model),
                    tokenizer=Tokenizer.load(source),
                    parent=result.manifest_sha256,
                    spec_digest=grown.spec_digest,
                    step=grown.step,
                    tokens=grown.tokens,
                )
                put_folder(self._store, Path(made), key, last=MANIFEST)
        except RetainModelError as error:
            raise FailedPrecondition(f"{order.output_uri}: {error}", reason=error.reason) from error
        ref = CheckpointRef(
            uri=order.output_uri,
            manifest_sha256=manifest.sha256,
            weights_digest=manifest.weights_digest,
            step=grown.step,
            tokens=grown.tokens,
        )
        return WrittenPoint(checkpoint=ref, bytes=manifest.size_bytes)
