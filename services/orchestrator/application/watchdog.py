"""Keeps the liveness of every worker group in memory: a restarted orchestrator gives each of them a fresh start."""

from collections.abc import Collection

from services.orchestrator.application.run_store import Clock
from services.orchestrator.domain.run.events import ProgressReported
from services.orchestrator.domain.run.liveness import Liveness


class Watchdog:
    """When each run's present group was last heard, and when it last got on."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._groups: dict[str, Liveness] = {}

    def called(self, run_id: str, submission: int) -> None:
        """A call of the present group came in."""
        self._groups[run_id] = self._group(run_id, submission).called(self._clock.monotonic_s())

    def reported(self, run_id: str, event: ProgressReported, heartbeat: int) -> None:
        """A progress report of the present group came in."""
        self._groups[run_id] = self._group(run_id, event.submission).reported(
            self._clock.monotonic_s(),
            phase=event.phase,
            heartbeat=(event.stage_index, event.attempt, heartbeat),
            waits=bool(event.waiting_for),
        )

    def overdue(self, run_id: str, submission: int, *, stall_timeout_s: float, start_timeout_s: float) -> str | None:
        """Why the present group counts as hung, or None."""
        group = self._group(run_id, submission)
        self._groups[run_id] = group
        return group.overdue(
            self._clock.monotonic_s(), stall_timeout_s=stall_timeout_s, start_timeout_s=start_timeout_s
        )

    def seen(self, run_id: str, submission: int) -> None:
        """A call came that could not be carried out, since the database is away: a sign of life all the same.

        Nobody can tell then whether the caller is fenced off, so only a group that is known already counts.
        """
        group = self._groups.get(run_id)
        if group is not None and group.submission == submission:
            self._groups[run_id] = group.seen(self._clock.monotonic_s())

    def blind(self) -> None:
        """This process could not see for a while: every group gets a fresh clock."""
        now_s = self._clock.monotonic_s()
        self._groups = {run_id: group.seen(now_s) for run_id, group in self._groups.items()}

    def keep(self, run_ids: Collection[str]) -> None:
        """Forget every other run."""
        self._groups = {run_id: group for run_id, group in self._groups.items() if run_id in run_ids}

    def forget(self, run_id: str) -> None:
        """A run ended."""
        self._groups.pop(run_id, None)

    def _group(self, run_id: str, submission: int) -> Liveness:
        group = self._groups.get(run_id)
        if group is None or group.submission != submission:
            group = Liveness.starting(submission, self._clock.monotonic_s())
        return group
