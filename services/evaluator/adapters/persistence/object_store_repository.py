"""Evaluations, measurements and noise floors in the object store.

    evaluations/{weights digest}/{set digest}.{method}.json
                                        a measurement with its units: asking twice measures once
    floors/{set digest}/{name}.json     a noise floor, by shape of the model and method
    evaluator/evaluations/{id}.json     a request, and its result once there is one
    evaluator/runs/{run}/{ms}-{id}      names the evaluations of a run; "-" for those of none. Written before the
                                        evaluation and deleted after it, so that none is without
    evaluator/unfinished/{id}           marks what a restart must take up: written after the request, deleted after the
                                        result; holds how many processes began to measure it
    evaluator/damaged/...               a document that could not be read, put aside

There is one evaluator, so a document has one writer; every write replaces a whole object. Histories:
history_repository.py.
"""

import hashlib
from collections.abc import Sequence

from retain.values import Evaluation
from services.common.errors import Corrupt, NotFound
from services.common.store.object_store import ObjectStore
from services.evaluator.adapters.persistence import documents
from services.evaluator.adapters.persistence.aside import Aside
from services.evaluator.application.ports import (
    EvaluationKey,
    Evaluations,
    FloorName,
    Floors,
    MeasurementName,
    Measurements,
)
from services.evaluator.domain.result import Measurement, NoiseFloor

_EVALUATIONS, _UNFINISHED, _RUNS = "evaluator/evaluations/", "evaluator/unfinished/", "evaluator/runs/"
_NO_RUN = "-"


class StoredMeasurements(Measurements):
    """Measurements by content. A damaged one is put aside and measured again."""

    def __init__(self, store: ObjectStore, aside: Aside) -> None:
        self._store, self._aside = store, aside

    def get(self, name: MeasurementName) -> Measurement | None:
        key = measurement_key(name)
        try:
            data = self._store.get_bytes(key)
        except NotFound:
            return None
        try:
            return documents.decode_measurement(data, name, key)
        except Corrupt as error:
            self._aside.put(key, data, error, kind="result")
            return None

    def put(self, name: MeasurementName, measured: Measurement) -> None:
        data = documents.encode_measurement(measured, name)
        self._store.put_bytes(measurement_key(name), data, content_type="application/json")


def measurement_key(name: MeasurementName) -> str:
    """Where a measurement lies. The method is in it by its hash: its text is in the document."""
    method = hashlib.sha256(name.method.encode()).hexdigest()[:16]
    return f"evaluations/{name.weights_digest}/{name.set_digest}.{method}.json"


class StoredFloors(Floors):
    """Noise floors. A damaged one is put aside and measured again."""

    def __init__(self, store: ObjectStore, aside: Aside) -> None:
        self._store, self._aside = store, aside

    def get(self, name: FloorName) -> NoiseFloor | None:
        key = floor_key(name)
        try:
            data = self._store.get_bytes(key)
        except NotFound:
            return None
        try:
            return documents.decode_floor(data, name, key)
        except Corrupt as error:
            self._aside.put(key, data, error, kind="floor")
            return None

    def put(self, name: FloorName, floor: NoiseFloor) -> None:
        data = documents.encode_floor(floor, name)
        self._store.put_bytes(floor_key(name), data, content_type="application/json")


def floor_key(name: FloorName) -> str:
    """Where a floor lies: below the digest of its set, so that it goes when nothing names the set any more."""
    rest = hashlib.sha256(f"{name.shape} {name.set_content} {name.method}".encode()).hexdigest()
    return f"floors/{name.set_digest}/{rest[:32]}.json"


class StoredEvaluations(Evaluations):
    """Evaluations by id. One that cannot be read is put aside, and is not there any more."""

    def __init__(self, store: ObjectStore, aside: Aside) -> None:
        self._store, self._aside = store, aside
        self._begun: dict[str, int] = {}  # unfinished evaluation -> processes that began it

    def create(self, evaluation: Evaluation) -> Evaluation:
        stored = self.load(evaluation.id)
        if stored is None:
            self._store.put_bytes(_run_key(evaluation), b"")
            written = self._store.put_if_absent(_key(evaluation.id), documents.encode_evaluation(evaluation))
            # Not written: the reply to an earlier try of this call was lost, or another caller was faster.
            stored = evaluation if written else self.load(evaluation.id) or evaluation
        if not stored.state.ended:
            self._store.put_bytes(_UNFINISHED + evaluation.id, b"")
        return stored

    def save(self, evaluation: Evaluation) -> None:
        data = documents.encode_evaluation(evaluation)
        self._store.put_bytes(_key(evaluation.id), data, content_type="application/json")
        if evaluation.state.ended:
            self._store.delete(_UNFINISHED + evaluation.id)
            self._begun.pop(evaluation.id, None)

    def begin(self, evaluation_id: str) -> int:
        count = self._begun.get(evaluation_id, 0) + 1
        self._store.put_bytes(_UNFINISHED + evaluation_id, str(count).encode())
        self._begun[evaluation_id] = count
        return count

    def leave(self, evaluation_id: str) -> None:
        if self._begun.get(evaluation_id):
            self._store.put_bytes(_UNFINISHED + evaluation_id, str(self._begun[evaluation_id] - 1).encode())

    def load(self, evaluation_id: str) -> Evaluation | None:
        key = _key(evaluation_id)
        try:
            data = self._store.get_bytes(key)
        except NotFound:
            return None
        try:
            return documents.decode_evaluation(data, key)
        except Corrupt as error:
            self._aside.put(key, data, error, kind="evaluation")
            return None

    def unfinished(self) -> Sequence[Evaluation]:
        found = []
        for info in self._store.list(_UNFINISHED):
            evaluation = self.load(info.key.removeprefix(_UNFINISHED))
            if evaluation is None or evaluation.state.ended:
                self._store.delete(info.key)  # the result was written and the mark not yet deleted, or put aside
            else:
                found.append(evaluation)
                mark = self._store.get_bytes(info.key)
                self._begun[evaluation.id] = int(mark) if mark.isdigit() and len(mark) < 10 else 0
        return sorted(found, key=lambda evaluation: evaluation.create_time_s)

    def keys(self, run: str | None) -> Sequence[EvaluationKey]:
        prefix = _RUNS if run is None else f"{_RUNS}{run}/"
        found: dict[str, EvaluationKey] = {}
        for info in self._store.list(prefix):
            name, _, rest = info.key.removeprefix(_RUNS).partition("/")
            created_ms, _, evaluation_id = rest.partition("-")
            if created_ms.isdecimal() and evaluation_id:
                known = EvaluationKey(id=evaluation_id, run="" if name == _NO_RUN else name, created_ms=int(created_ms))
                found[evaluation_id] = known  # named twice after a lost reply: the later one
        return list(found.values())

    def delete_run(self, run: str) -> None:
        for info in list(self._store.list(f"{_RUNS}{run}/")):
            evaluation_id = info.key.removeprefix(f"{_RUNS}{run}/").partition("-")[2]
            if evaluation_id:
                self._store.delete(_UNFINISHED + evaluation_id)
                self._store.delete(_key(evaluation_id))
            self._store.delete(info.key)  # last: what is half deleted is still found


def _key(evaluation_id: str) -> str:
    return f"{_EVALUATIONS}{evaluation_id}.json"


def _run_key(evaluation: Evaluation) -> str:
    created_ms = int(evaluation.create_time_s * 1000)
    return f"{_RUNS}{evaluation.request.run_id or _NO_RUN}/{created_ms:015d}-{evaluation.id}"
