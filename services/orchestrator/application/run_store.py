"""Applies events to runs: load, step, save, tell who waits. One event of a run at a time."""

import asyncio
import time
import weakref
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import tenacity

from retain.values.faults import mismatch
from services.common.errors import Stale, Unavailable
from services.common.logging import get_logger
from services.common.retry import RetryPolicy
from services.orchestrator.application.ports import Overview, Repository, StoredRun
from services.orchestrator.domain.run.commands import Record, RecordDecision
from services.orchestrator.domain.run.events import Event
from services.orchestrator.domain.run.state import PipelineRun
from services.orchestrator.domain.step import Step, step

T = TypeVar("T")
SAVE_TRIES = 6
SAVES = RetryPolicy(
    interval_s=0.2, maximum_s=3.2, tries=SAVE_TRIES, is_retried=lambda error: isinstance(error, Unavailable)
)


class Clock(Protocol):
    """Where time comes from."""

    def now_s(self) -> float:
        """Unix seconds, for records."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that never go back, for time-outs."""
        ...


class SystemClock(Clock):
    """The machine's clocks."""

    def now_s(self) -> float:
        return time.time()

    def monotonic_s(self) -> float:
        return time.monotonic()


class Observer(Protocol):
    """Hears of every change after it was saved: metrics, the queue, the reconcile loop."""

    def changed(self, before: PipelineRun | None, after: StoredRun, records: tuple[Record, ...]) -> None:
        """A run went from one state to the next, and that is stored."""
        ...

    def looked(self, overview: Overview, news: "News") -> None:
        """What the database holds was read whole; `news` are newer than that. Without memory there is nothing to do."""
        return


@dataclass(kw_only=True)
class News:
    """What was told while the database was being read. `statuses`: the number of runs in each state may differ."""

    runs: set[str]
    statuses: bool = False


class RunStore:
    """The only writer of runs."""

    def __init__(self, repository: Repository, executor: Executor, clock: Clock) -> None:
        self.repository = repository
        self.clock = clock
        self._executor = executor
        self._observers: list[Observer] = []
        # Held by whoever uses or awaits one, so that a lock is gone with its last user, also that of an unknown run.
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._listening: list[News] = []
        # Held while a run, an upload or an import comes to refer to shared data, and while such data is thrown away.
        self.choosing = asyncio.Lock()
        self._waiters: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    def subscribe(self, observer: Observer) -> None:
        """Tell this observer of every change from now on."""
        self._observers.append(observer)

    async def call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run a blocking call of the repository on the database's own threads."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, lambda: function(*args, **kwargs))

    async def read(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """As `call`, tried again while the database is away: for reads and for writes that may be repeated."""
        return await tenacity.AsyncRetrying(**SAVES.options())(self.call, function, *args, **kwargs)

    async def get(self, run_id: str) -> StoredRun:
        """The state of a run. Raises NotFound."""
        return await self.read(self.repository.get, run_id)

    async def apply(self, run_id: str, event: Event, *, etag: str = "") -> StoredRun:
        """Apply an event and return the state after it.

        A commit whose reply was lost is recognized: the stored state is the one that was to be written; observers hear
        of it like of any other. Raises Stale for an old etag, and what the core raises for an event that the state
        forbids.
        """
        async with self._locks.setdefault(run_id, asyncio.Lock()):
            sent: tuple[PipelineRun, Step] | None = None
            for number in range(1, SAVE_TRIES + 1):
                state = await self.get(run_id)
                if sent is not None and _same_version(state, sent[1].run):
                    before, made = sent
                    self._tell(before, state, made.records)
                    return state
                if etag and etag != state.etag:
                    raise stale(run_id, got=etag, present=state.etag)
                made = step(state, event)
                if made.run is state or made.run == state:
                    return state
                try:
                    stored = await self.call(self.repository.save, made, expected_sequence=state.sequence)
                except (Unavailable, Stale):
                    sent = (state, made)
                    if number == SAVE_TRIES:
                        raise
                    await asyncio.sleep(SAVES.pause_s(number))
                    continue
                finally:
                    # Also after a lost reply: who waits looks again, and finds what there is.
                    self._wake(run_id)
                self._tell(state, stored, made.records)
                return stored
        raise AssertionError("unreachable: the last try returns or raises")

    def created(self, state: StoredRun) -> None:
        """Tell the observers of a new run."""
        self._tell(None, state, ())

    async def look(self) -> Overview:
        """Read what there is to look at, and let every observer put right what it knows from it.

        So nothing stays wrong that a change was never told of: one whose commit succeeded after all tries to hear of it
        had failed.
        """
        news = News(runs=set())
        self._listening.append(news)
        try:
            overview = await self.read(self.repository.overview)
        finally:
            self._listening.remove(news)
        for observer in self._observers:
            observer.looked(overview, news)
        return overview

    async def wait_for_change(self, run_id: str, sequence: int, timeout_s: float) -> StoredRun:
        """The run as soon as its sequence is above `sequence`, or as it is after the time-out."""
        event = asyncio.Event()
        self._waiters[run_id].add(event)
        try:
            state = await self.get(run_id)
            if state.sequence <= sequence:
                # asyncio.timeout and not wait_for: that one swallows a cancellation that comes together with the event.
                try:
                    async with asyncio.timeout(timeout_s):
                        await event.wait()
                except TimeoutError:
                    return state
                state = await self.get(run_id)
            return state
        finally:
            self._waiters[run_id].discard(event)
            if not self._waiters[run_id]:
                del self._waiters[run_id]

    def watched(self, run_id: str) -> bool:
        """Whether anybody waits for changes of a run."""
        return run_id in self._waiters

    def deleted(self, run_id: str) -> None:
        """A run is gone: whoever waits for it looks again."""
        for news in self._listening:
            news.runs.add(run_id)
            news.statuses = True
        self._wake(run_id)

    def _wake(self, run_id: str) -> None:
        for event in tuple(self._waiters.get(run_id, ())):
            event.set()

    def _tell(self, before: PipelineRun | None, after: StoredRun, records: tuple[Record, ...]) -> None:
        for news in self._listening:
            news.runs.add(after.id)
            news.statuses = news.statuses or before is None or before.status is not after.status
        for observer in self._observers:
            observer.changed(before, after, records)
        for record in records:
            if isinstance(record, RecordDecision):
                decision = record.decision
                get_logger().info(
                    "decision", run=after.id, number=decision.number, stage=decision.stage, step=decision.step,
                    verdict=decision.verdict.value, message=decision.message,
                )  # fmt: skip
        if before is not None and before.status is not after.status:
            get_logger().info(
                "run changed state", run=after.id, before=before.status.value, after=after.status.value,
                reason=after.reason, message=after.message,
            )  # fmt: skip


def stale(run_id: str, *, got: str, present: str) -> Stale:
    """What somebody is told who looked too long ago."""
    said = mismatch(f"the etag {got}", f"the present one, {present}: look again")
    return Stale(f"run {run_id}: {said}", reason="STALE_ETAG")


def _same_version(stored: PipelineRun, sent: PipelineRun) -> bool:
    """Whether a stored state is the one that was sent. Not by comparing all of it: a NaN differs from itself."""
    return (stored.sequence, stored.updated_s) == (sent.sequence, sent.updated_s)
