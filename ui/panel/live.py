"""Live runs: for each run that is looked at, one background thread watches it into a snapshot that fragments read.

Streamlit runs a page's script again and again, in changing threads; a stream cannot live in it. So the stream lives
here, behind a lock, and a page only takes the newest snapshot. What did not change is the same object from one snapshot
to the next: every open page compares them (`ui.panel.refresh.parts`).
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ui.client.errors import ClientError
from ui.client.views import Checkpoint, Decision, ForgettingRecord, MetricSeries, Run

if TYPE_CHECKING:
    from ui.client.client import RetainClient

FIRST_LOOK_S = 2.0
AGAIN_S = 1.0  # after an error the server is not asked at every look
RESUMABLE = ("FAILED", "CANCELLED")  # somebody else may have done it
IDLE_S = 100.0  # a run that nobody looks at any more is not watched; a hidden tab looks once a minute
FIGURES = ("train_loss_nats", "tokens_per_second", "learning_rate", "share", "curriculum_level")
POINTS = 300  # of each figure: more than a chart has pixels for beside another
CHECKPOINTS = 500  # the newest of a run; the page Checkpoints has them all
MEASURED_EVERY_S = 5.0  # a measurement can be exported a moment after the decision that it led to


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What is known of a run. `error` is what keeps the panel from knowing more; None when all is well."""

    run: Run | None = None
    decisions: tuple[Decision, ...] = field(default_factory=tuple)
    checkpoints: tuple[Checkpoint, ...] = field(default_factory=tuple)
    history: tuple[ForgettingRecord, ...] = field(default_factory=tuple)
    series: tuple[MetricSeries, ...] = field(default_factory=tuple)
    error: str | None = None


class LiveRuns:
    """Snapshots by run. Safe to use from any thread; one instance serves the whole panel."""

    def __init__(self, client: "RetainClient") -> None:
        self._client = client
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._snapshots: dict[str, Snapshot] = {}
        self._looked_at: dict[str, float] = {}
        self._watched: set[str] = set()
        self._failed_at: dict[str, float] = {}

    def look(self, run_id: str) -> Snapshot:
        """The newest snapshot. The first look at a run begins to watch it and waits a moment for what comes."""
        with self._lock:
            now_s = self._looked_at[run_id] = time.monotonic()
            snapshot = self._snapshots.get(run_id, Snapshot())
            ended = snapshot.run is not None and snapshot.run.is_terminal and snapshot.run.state not in RESUMABLE
            waits = now_s - self._failed_at.get(run_id, -AGAIN_S) < AGAIN_S
            if run_id not in self._watched and not waits and not (ended and snapshot.error is None):
                self._watched.add(run_id)
                threading.Thread(target=self._watch, args=(run_id,), name=f"watch-{run_id}", daemon=True).start()
                if snapshot.run is None:
                    self._changed.wait_for(lambda: run_id in self._snapshots, timeout=FIRST_LOOK_S)
            return self._snapshots.get(run_id, snapshot)

    def forget(self, run_id: str) -> None:
        """Drops what is known, so that the next look asks again (after a retry or an approval of an ended run)."""
        with self._lock:
            self._snapshots.pop(run_id, None)

    def _watch(self, run_id: str) -> None:
        last_mark, measured_s = None, 0.0
        try:
            for run in self._client.watch(run_id):
                mark = [
                    (s.state, s.attempt, s.retries, s.forgetting, s.lr_scale, s.latest, s.accepted) for s in run.stages
                ]
                known = run_id in self._snapshots
                stale = time.monotonic() - measured_s > MEASURED_EVERY_S or not known
                if known and not run.is_terminal:  # what is measured follows; once a run has ended nobody looks for it
                    self._store(run_id, run=run)
                if mark != last_mark or run.is_settled or stale:
                    last_mark, measured_s = mark, time.monotonic()
                    self._measure(run)
                if time.monotonic() - self._looked_at[run_id] > IDLE_S:
                    return
        except ClientError as error:
            self._failed_at[run_id] = time.monotonic()
            self._store(run_id, error=error.message)
        finally:
            with self._lock:
                self._watched.discard(run_id)

    def _measure(self, run: Run) -> None:
        """Decisions, figures and history beside the run, all at the same time; an evaluator that is away costs only the
        history."""
        ask: dict[str, Callable[[], Any]] = {
            "decisions": lambda: self._client.decisions(run.id),
            "checkpoints": lambda: self._client.checkpoints(run_id=run.id, limit=CHECKPOINTS),
            "series": lambda: self._client.metrics(run.id, names=FIGURES, max_points=POINTS),
            "history": lambda: self._client.history(run.id),
        }
        changes: dict[str, Any] = {"run": run, "error": None}
        with ThreadPoolExecutor(max_workers=len(ask), thread_name_prefix=f"measure-{run.id}") as pool:
            asked = {name: pool.submit(call) for name, call in ask.items()}
            for name, answer in asked.items():
                try:
                    changes[name] = tuple(answer.result())
                except ClientError as error:
                    changes["error"] = changes["error"] or error.message
        self._store(run.id, **changes)

    def _store(self, run_id: str, **changes: object) -> None:
        with self._lock:
            known = self._snapshots.get(run_id, Snapshot())
            differs = {name: value for name, value in changes.items() if value != getattr(known, name)}
            if differs or run_id not in self._snapshots:
                self._snapshots[run_id] = Snapshot(**{**vars(known), **differs})
            self._changed.notify_all()
