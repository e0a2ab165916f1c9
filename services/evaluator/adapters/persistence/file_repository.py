"""Results of uploaded files in the object store: evaluations/{weights digest}/file.{name}.json, beside the measurements
of the same weights, so that they go when those go."""

import hashlib

from retain.values import FileResult
from services.common.errors import Corrupt, NotFound
from services.common.store.object_store import ObjectStore
from services.evaluator.adapters.persistence import documents
from services.evaluator.adapters.persistence.aside import Aside
from services.evaluator.application.ports import FileName, FileResults


class StoredFileResults(FileResults):
    """Results by content. A damaged one is put aside and measured again."""

    def __init__(self, store: ObjectStore, aside: Aside) -> None:
        self._store, self._aside = store, aside

    def get(self, name: FileName) -> FileResult | None:
        key = file_key(name)
        try:
            data = self._store.get_bytes(key)
        except NotFound:
            return None
        try:
            return documents.decode_file_result(data, name, key)
        except Corrupt as error:
            self._aside.put(key, data, error, kind="result")
            return None

    def put(self, name: FileName, result: FileResult) -> None:
        data = documents.encode_file_result(result, name)
        self._store.put_bytes(file_key(name), data, content_type="application/json")


def file_key(name: FileName) -> str:
    """Where a result lies."""
    parts = f"{name.sha256} {name.read_as} {name.context} {name.documents} {name.method}"
    return f"evaluations/{name.weights_digest}/file.{hashlib.sha256(parts.encode()).hexdigest()[:32]}.json"
