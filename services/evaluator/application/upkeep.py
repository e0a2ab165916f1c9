"""What the evaluator shows of runs that it measured: brought back after a restart, taken away after the run's end.

An alert must not vanish with a process, so the last record of every run that has not ended is exported again at the
start. Whether a run has ended is the orchestrator's to say; while it cannot be asked, what is shown stays, for at most
`unknown_kept_s` after the last measurement.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from services.common.errors import Corrupt, RetainError
from services.common.logging import get_logger
from services.evaluator.application.ports import Exporter, History, RunStates

UPKEEP_S = 20.0
UNKNOWN_KEPT_S = 24 * 3600.0
log = get_logger(__name__)


@dataclass(kw_only=True)
class Upkeep:
    """Call `restore` once before serving; keep `run_forever` going."""

    history: History
    exporter: Exporter
    run_states: RunStates
    clock: Callable[[], float] = time.time
    every_s: float = UPKEEP_S
    unknown_kept_s: float = UNKNOWN_KEPT_S
    _seen_s: dict[str, float] = field(default_factory=dict)

    def restore(self) -> None:
        """Exports the last exported record of each run that has not ended."""
        for run, changed_s in self.history.runs():
            if self._has_ended(run, changed_s):
                continue
            try:
                records = [record for record in self.history.load(run) if record.exported]
            except Corrupt as error:
                log.error("a history cannot be read", run=run, error=error.message)
                continue
            if records:
                self._seen_s[run] = changed_s
                self.exporter.export(records[-1])

    def sweep(self) -> None:
        """Asks which runs ended and takes their series away when they are due."""
        for run in self.exporter.exported_runs():
            changed_s = self._seen_s.setdefault(run, self.clock())
            if self._has_ended(run, changed_s):
                self.exporter.run_ended(run)
            else:
                self.exporter.run_goes_on(run)
        self.exporter.sweep()

    async def run_forever(self) -> None:
        """Sweeps now and then until cancelled."""
        while True:
            await asyncio.sleep(self.every_s)
            try:
                await asyncio.to_thread(self.sweep)
            except RetainError as error:
                log.warning("upkeep was put off", error=error.message)

    def _has_ended(self, run: str, changed_s: float) -> bool:
        ended = self.run_states.ended(run)
        return self.clock() - changed_s > self.unknown_kept_s if ended is None else ended
