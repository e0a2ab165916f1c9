"""What the evaluator keeps, in the object store: results, evaluations, histories.

    evaluations/{weights digest}/{set digest}.json   a measurement with its units: asking twice measures once
    evaluator/evaluations/{id}.json                  a question, and its answer once there is one
    evaluator/runs/{run}/{created ms}-{id}           names the evaluations of a run; "-" for those of none
    evaluator/unfinished/{id}                        marks what a restart must take up: written after the question,
                                                     deleted after the answer
    history/{run}.json                               the forgetting history of a run
    evaluator/damaged/...                            a document that could not be read, put aside

There is one evaluator, so a document has one writer; every write replaces a whole object.
"""

from collections.abc import Sequence

from services.common.errors import Corrupt, NotFound
from services.common.logging import get_logger
from services.common.object_store import ObjectStore
from services.evaluator.adapters import documents
from services.evaluator.application.ports import EvaluationKey, Evaluations, History, Results
from services.evaluator.domain.answer import Evaluation, Measurement, Record

log = get_logger(__name__)
_EVALUATIONS, _UNFINISHED, _RUNS = "evaluator/evaluations/", "evaluator/unfinished/", "evaluator/runs/"
_HISTORY, _NO_RUN = "history/", "-"


class StoredResults(Results):
    """Measurements by content. A damaged one is measured again."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def get(self, weights_digest: str, set_digest: str) -> Measurement | None:
        key = self._key(weights_digest, set_digest)
        try:
            return documents.decode_measurement(self._store.get_bytes(key), key)
        except NotFound:
            return None
        except Corrupt as error:
            log.warning("a stored result is measured again", key=key, error=error.message)
            return None

    def put(self, weights_digest: str, set_digest: str, measured: Measurement) -> None:
        key = self._key(weights_digest, set_digest)
        self._store.put_bytes(key, documents.encode(measured), content_type="application/json")

    @staticmethod
    def _key(weights_digest: str, set_digest: str) -> str:
        return f"evaluations/{weights_digest}/{set_digest}.json"


class StoredEvaluations(Evaluations):
    """Evaluations by id."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def create(self, evaluation: Evaluation) -> Evaluation:
        key = self._key(evaluation.id)
        kept = evaluation
        if not self._store.put_if_absent(key, documents.encode(evaluation)):
            kept = documents.decode_evaluation(self._store.get_bytes(key), key)
        if not kept.state.ended:
            self._store.put_bytes(_UNFINISHED + evaluation.id, b"")
            self._store.put_bytes(self._run_key(kept), b"")
        return kept

    def save(self, evaluation: Evaluation) -> None:
        self._store.put_bytes(self._key(evaluation.id), documents.encode(evaluation), content_type="application/json")
        if evaluation.state.ended:
            self._store.delete(_UNFINISHED + evaluation.id)

    def load(self, evaluation_id: str) -> Evaluation | None:
        key = self._key(evaluation_id)
        try:
            return documents.decode_evaluation(self._store.get_bytes(key), key)
        except NotFound:
            return None

    def unfinished(self) -> Sequence[Evaluation]:
        found = []
        for info in self._store.list(_UNFINISHED):
            evaluation_id = info.key.removeprefix(_UNFINISHED)
            try:
                evaluation = self.load(evaluation_id)
            except Corrupt as error:
                log.error("an unfinished evaluation cannot be read", evaluation=evaluation_id, error=error.message)
                continue  # it stays marked; the others are taken up
            if evaluation is None or evaluation.state.ended:
                self._store.delete(info.key)  # the answer was written, the mark not yet deleted
            else:
                found.append(evaluation)
        return sorted(found, key=lambda evaluation: evaluation.create_time_s)

    def keys(self, run: str | None) -> Sequence[EvaluationKey]:
        prefix = _RUNS if run is None else f"{_RUNS}{run}/"
        found = []
        for info in self._store.list(prefix):
            name, _, rest = info.key.removeprefix(_RUNS).partition("/")
            created_ms, _, evaluation_id = rest.partition("-")
            found.append(
                EvaluationKey(id=evaluation_id, run="" if name == _NO_RUN else name, created_ms=int(created_ms))
            )
        return found

    @staticmethod
    def _key(evaluation_id: str) -> str:
        return f"{_EVALUATIONS}{evaluation_id}.json"

    @staticmethod
    def _run_key(evaluation: Evaluation) -> str:
        created_ms = int(evaluation.create_time_s * 1000)
        return f"{_RUNS}{evaluation.question.run or _NO_RUN}/{created_ms:015d}-{evaluation.id}"


class StoredHistory(History):
    """One document per run. What was read or written last is kept in memory: there is no other writer."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._known: dict[str, list[Record]] = {}

    def append(self, record: Record) -> None:
        try:
            records = list(self.load(record.run))
        except Corrupt as error:
            log.error("a damaged history is put aside", run=record.run, error=error.message)
            self._store.put_bytes(
                f"evaluator/damaged/{self._key(record.run)}", self._store.get_bytes(self._key(record.run))
            )
            records = []
        if any(known.evaluation_id == record.evaluation_id for known in records):
            return
        records.append(record)
        data = documents.encode_history(records)
        self._store.put_bytes(self._key(record.run), data, content_type="application/json")
        self._known = {record.run: records}

    def load(self, run: str) -> Sequence[Record]:
        if run not in self._known:
            key = self._key(run)
            try:
                return documents.decode_history(self._store.get_bytes(key), key)
            except NotFound:
                return []
        return list(self._known[run])

    def runs(self) -> Sequence[tuple[str, float]]:
        return [
            (info.key.removeprefix(_HISTORY).removesuffix(".json"), info.modified.timestamp() if info.modified else 0.0)
            for info in self._store.list(_HISTORY)
        ]

    @staticmethod
    def _key(run: str) -> str:
        return f"{_HISTORY}{run}.json"
