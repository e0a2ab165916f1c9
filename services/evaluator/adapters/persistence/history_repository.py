"""The forgetting history of each run, and which runs have series, in the object store.

    history/{run}.json         one document per run
    evaluator/shown/{run}      the run has series: written before the first one, deleted after the last one
    evaluator/shown.complete   every run that has series is marked: without it (an installation of before) the marks are
                               made from one listing of the histories

A start reads the marks: as many as there are runs at work, however many there ever were.
"""

import heapq
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from services.common.errors import Corrupt, NotFound
from services.common.store.object_store import ObjectStore
from services.evaluator.adapters.persistence import documents
from services.evaluator.adapters.persistence.aside import Aside
from services.evaluator.application.ports import History, ShownRuns
from services.evaluator.domain.result import HistoryRow

_HISTORY, _SHOWN, _COMPLETE = "history/", "evaluator/shown/", "evaluator/shown.complete"
IN_MEMORY = 16  # histories that were read or written last
MARKED_AT_MOST = 200  # runs that get their marks from histories


class StoredHistory(History):
    """One document per run. There is no other writer, so what is in memory is what is stored. Every method holds one
    lock: a reader in between could bring back a history of before the last row."""

    def __init__(self, store: ObjectStore, aside: Aside) -> None:
        self._store, self._aside = store, aside
        self._known: OrderedDict[str, list[HistoryRow]] = OrderedDict()
        self._lock = threading.RLock()

    def append(self, row: HistoryRow) -> None:
        record = row.record
        with self._lock:
            rows = list(self.load(record.run_id))
            if any(known.evaluation_id == row.evaluation_id for known in rows):
                return
            place = len(rows)
            if record.baseline:
                place = next((at for at, known in enumerate(rows) if known.record.stage == record.stage), place)
            rows.insert(place, row)
            self._write(record.run_id, rows)

    def load(self, run: str) -> Sequence[HistoryRow]:
        with self._lock:
            if run not in self._known:
                self._remember(run, self._read(run))
            self._known.move_to_end(run)
            return list(self._known[run])

    def delete(self, run: str) -> None:
        with self._lock:
            self._store.delete(_history_key(run))
            self._known.pop(run, None)

    def _read(self, run: str) -> list[HistoryRow]:
        key = _history_key(run)
        try:
            data = self._store.get_bytes(key)
        except NotFound:
            return []
        try:
            records, faults = documents.decode_history(data, key)
        except Corrupt as error:
            self._aside.put(key, data, error, kind="history")
            return []
        if faults:
            self._aside.put(key, data, "; ".join(faults), kind="history", delete=False)
            self._write(run, records)  # the rows that can be read
        return records

    def _write(self, run: str, records: list[HistoryRow]) -> None:
        data = documents.encode_history(records)
        self._store.put_bytes(_history_key(run), data, content_type="application/json")
        self._remember(run, records)

    def _remember(self, run: str, records: list[HistoryRow]) -> None:
        self._known[run] = records
        self._known.move_to_end(run)
        while len(self._known) > IN_MEMORY:
            self._known.popitem(last=False)


class StoredShownRuns(ShownRuns):
    """Marks, one empty object per run."""

    def __init__(self, store: ObjectStore, *, clock: Callable[[], float] = time.time) -> None:
        self._store, self._clock = store, clock

    def add(self, run: str) -> None:
        self._store.put_bytes(_SHOWN + run, b"")

    def remove(self, run: str) -> None:
        self._store.delete(_SHOWN + run)

    def list(self) -> Sequence[tuple[str, float]]:
        if self._store.stat(_COMPLETE) is None:
            self._from_histories()
        return [
            (info.key.removeprefix(_SHOWN), info.modified.timestamp() if info.modified else self._clock())
            for info in self._store.list(_SHOWN)
        ]

    def _from_histories(self) -> None:
        """The runs that were measured last: more are not at work at once."""
        last = heapq.nlargest(
            MARKED_AT_MOST,
            self._store.list(_HISTORY),
            key=lambda info: info.modified.timestamp() if info.modified else 0.0,
        )
        for info in last:
            self.add(info.key.removeprefix(_HISTORY).removesuffix(".json"))
        self._store.put_bytes(_COMPLETE, b"")


def _history_key(run: str) -> str:
    return f"{_HISTORY}{run}.json"
