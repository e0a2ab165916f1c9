"""Answers to the probe in the object store: evaluations/{weights digest}/probe.{name}.json, beside the measurements of
the same weights, so that they go when those go."""

import hashlib
from collections.abc import Mapping

from services.common.errors import Corrupt, NotFound
from services.common.store.object_store import ObjectStore
from services.evaluator.adapters.persistence import documents
from services.evaluator.adapters.persistence.aside import Aside
from services.evaluator.application.ports import ProbeName, Probes


class StoredProbes(Probes):
    """Answers by content. A damaged document is put aside, and the model is asked again."""

    def __init__(self, store: ObjectStore, aside: Aside) -> None:
        self._store, self._aside = store, aside

    def get(self, name: ProbeName) -> Mapping[str, bool] | None:
        key = probe_key(name)
        try:
            data = self._store.get_bytes(key)
        except NotFound:
            return None
        try:
            return documents.decode_probe(data, name, key)
        except Corrupt as error:
            self._aside.put(key, data, error, kind="probe")
            return None

    def put(self, name: ProbeName, answers: Mapping[str, bool]) -> None:
        data = documents.encode_probe(answers, name)
        self._store.put_bytes(probe_key(name), data, content_type="application/json")


def probe_key(name: ProbeName) -> str:
    """Where answers lie."""
    rest = hashlib.sha256(f"{name.answer_tokens} {name.asked} {name.method}".encode()).hexdigest()
    return f"evaluations/{name.weights_digest}/probe.{rest[:32]}.json"
