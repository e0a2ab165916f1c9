"""Admission: runs wait in one FIFO until their workers fit. Ray is never the queue."""

from bisect import bisect_left, insort
from collections.abc import Iterable

from services.orchestrator.application.ports import Overview, StoredRun
from services.orchestrator.application.run_store import News, Observer
from services.orchestrator.domain.run.commands import Record
from services.orchestrator.domain.run.state import PipelineRun, RunState
from services.orchestrator.domain.spec.plan import slots_of


class Queue(Observer):
    """Who waits, and who holds worker slots. Kept up by every change, and put right from the database in every pass.

    A run holds its slots while it is RUNNING, and longer while a job of it may still live.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._waiting: list[tuple[int, str]] = []
        self._wants: dict[str, tuple[int, int]] = {}  # run -> (queue number, slots)
        self._holds: dict[str, int] = {}
        self._last_number = 0

    def load(self, runs: Iterable[StoredRun]) -> None:
        """Take over the runs that wait or are at work."""
        for state in runs:
            self.changed(None, state, ())

    def next_number(self) -> int:
        """A new place at the end of the queue."""
        self._last_number += 1
        return self._last_number

    def position(self, run_id: str) -> int:
        """Place in the queue, from 1; 0 for a run that does not wait."""
        wants = self._wants.get(run_id)
        return 0 if wants is None else bisect_left(self._waiting, (wants[0], run_id)) + 1

    def head(self) -> str | None:
        """The run whose turn it is, if its workers fit now. Nobody overtakes: small runs cannot starve a large one."""
        if not self._waiting:
            return None
        run_id = self._waiting[0][1]
        free = self.slots - sum(held for other, held in self._holds.items() if other != run_id)
        return run_id if self._wants[run_id][1] <= free or not self._others_hold(run_id) else None

    def waiting(self, limit: int) -> tuple[str, ...]:
        """The first runs of the queue."""
        return tuple(run_id for _, run_id in self._waiting[:limit])

    def forget(self, run_id: str) -> None:
        """A run was deleted."""
        self._leave(run_id)
        self._holds.pop(run_id, None)

    def changed(self, before: PipelineRun | None, after: StoredRun, records: tuple[Record, ...]) -> None:
        """Keep up with a change of a run."""
        slots = slots_of(after.spec.compute)
        self._last_number = max(self._last_number, after.queue_number)
        if after.status is RunState.RUNNING or after.jobs:
            self._holds[after.id] = slots
        else:
            self._holds.pop(after.id, None)
        if after.status is RunState.PENDING:
            if self._wants.get(after.id) != (after.queue_number, slots):
                self._leave(after.id)
                self._wants[after.id] = (after.queue_number, slots)
                insort(self._waiting, (after.queue_number, after.id))
        else:
            self._leave(after.id)

    def looked(self, overview: Overview, news: News) -> None:
        """Forget whom the database does not know as waiting or at work, and take over who is at work there."""
        waiting = {w.run_id: w.queue_number for w in overview.waiting}
        for run_id in [r for r, (number, _) in self._wants.items() if waiting.get(r) != number and r not in news.runs]:
            self._leave(run_id)
        at_work = {state.id for state in overview.attention} | news.runs
        for run_id in self._holds.keys() - at_work:
            del self._holds[run_id]
        for state in overview.attention:
            if state.id not in news.runs:
                self.changed(None, state, ())

    def unknown(self, overview: Overview) -> tuple[str, ...]:
        """Runs that wait by the database and not here: nobody was told of them."""
        return tuple(w.run_id for w in overview.waiting if w.run_id not in self._wants)

    def _others_hold(self, run_id: str) -> bool:
        return any(held for other, held in self._holds.items() if other != run_id)

    def _leave(self, run_id: str) -> None:
        wants = self._wants.pop(run_id, None)
        if wants is not None:
            self._waiting.remove((wants[0], run_id))
