"""What the evaluator shows of runs that it measured: brought back after a restart, taken away after the run's end.

An alert must not vanish with a process, so the last record of every run that has not ended is exported again at the
start. Which runs had series is stored as marks in the store, so that a start costs as much as there is at work, however
many runs there ever were. Whether a run has ended is the orchestrator's to say; while it cannot be asked, what is shown
stays, for at most `unknown_kept_s` after the last measurement.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from services.common.errors import RetainError
from services.common.logging import get_logger
from services.evaluator.application.ports import Exporter, History, RunStates, ShownRuns

SWEEP_S = 20.0
UNKNOWN_KEPT_S = 24 * 3600.0
log = get_logger(__name__)


@dataclass(kw_only=True)
class MetricsRetention:
    """Call `restore` once before serving; keep `run_forever` going. `clock` counts intervals, `wall_clock` tells the
    age of what an earlier process left."""

    history: History
    shown: ShownRuns
    exporter: Exporter
    run_states: RunStates
    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time
    every_s: float = SWEEP_S
    unknown_kept_s: float = UNKNOWN_KEPT_S
    _since_s: dict[str, float] = field(default_factory=dict)  # by `clock`: since when nothing is known of the run

    def restore(self) -> None:
        """Exports the last exported record of each run that has series and has not ended."""
        for run, marked_s in self.shown.list():
            if self.run_states.ended(run):
                self.shown.remove(run)
                continue
            records = [row.record for row in self.history.load(run) if row.exported]
            changed_s = records[-1].time_s if records else marked_s
            self._since_s[run] = self.clock() - max(0.0, self.wall_clock() - changed_s)
            if not records or self._has_ended(run):
                self._since_s.pop(run)
                self.shown.remove(run)
            else:
                self.exporter.export(records[-1])

    def sweep(self) -> None:
        """Asks which runs ended and takes their series away when they are due."""
        for run in self.exporter.exported_runs():
            if self._has_ended(run):
                self.exporter.run_ended(run)
            else:
                self.exporter.run_continues(run)
        for run in self.exporter.sweep():
            self._since_s.pop(run, None)
            self.shown.remove(run)

    async def run_forever(self) -> None:
        """Sweeps now and then until cancelled."""
        while True:
            await asyncio.sleep(self.every_s)
            try:
                await asyncio.to_thread(self.sweep)
            except RetainError as error:
                log.warning("metrics retention was put off", error=error.message)

    def _has_ended(self, run: str) -> bool:
        since_s = self._since_s.setdefault(run, self.clock())
        ended = self.run_states.ended(run)
        return self.clock() - since_s > self.unknown_kept_s if ended is None else ended
