"""Follows a run into a tracker: reads, hands on what is new, waits, until the run has ended."""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from ui.client.errors import Unreachable
from ui.client.views import Decision, MetricSeries, Run
from ui.tracking.port import Facts, Identity, Tracker, TrackerAway
from ui.tracking.translate import facts_of, points_of

EVERY_S = 10.0
PATIENCE_S = 1800.0  # for a platform or a tracker that is away
MOST_POINTS = 2000  # of a series, the most that the server gives
_PAUSES_S = (1.0, 2.0, 5.0, 10.0, 30.0)


class Source(Protocol):
    """What the follower asks of the platform."""

    def get_run(self, run_id: str) -> Run: ...
    def decisions(self, run_id: str) -> list[Decision]: ...
    def metrics(
        self, run_id: str, *, names: Sequence[str] = (), stage: str = "", max_points: int = 0
    ) -> list[MetricSeries]: ...


class Follower:
    """Hands a run on. `follow` returns the run once it has ended (or, with `once`, as it is); it may be called
    again."""

    def __init__(
        self,
        source: Source,
        tracker: Tracker,
        *,
        say: Callable[[str], None] = lambda line: None,
        sleep: Callable[[float], None] = time.sleep,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._source, self._tracker, self._say, self._sleep = source, tracker, say, sleep
        self._patience_s = patience_s
        self._known: set[Identity] | None = None
        self._described: Facts | None = None
        self.sent = 0

    def follow(self, run_id: str, *, every_s: float = EVERY_S, once: bool = False) -> Run:
        """Raises Unreachable or TrackerAway when one of both is away for longer than the patience."""
        failures, waited_s = 0, 0.0
        while True:
            try:
                run = self._hand_on(run_id)
            except (TrackerAway, Unreachable) as error:
                pause_s = _PAUSES_S[min(failures, len(_PAUSES_S) - 1)]
                if waited_s + pause_s > self._patience_s:
                    raise
                self._say(f"{error}; tried again in {pause_s:g} s, nothing is lost meanwhile")
                failures, waited_s = failures + 1, waited_s + pause_s
                # What of the last batch arrived is asked of the tracker, not guessed.
                self._known = self._described = None
                self._sleep(pause_s)
                continue
            failures, waited_s = 0, 0.0
            if run.is_terminal or once:
                self._tracker.close(succeeded=run.state == "SUCCEEDED" if run.is_terminal else None)
                return run
            self._sleep(every_s)

    def _hand_on(self, run_id: str) -> Run:
        """The run is read before its series: once it has ended, no more of them come."""
        run = self._source.get_run(run_id)
        decisions = self._source.decisions(run_id)
        series = self._source.metrics(run_id, max_points=MOST_POINTS)
        facts = facts_of(run, decisions)
        if self._known is None:
            self._say(f"run {run_id} goes to {self._tracker.open(facts)}")
            self._known = self._tracker.known()
        new = [point for point in points_of(run, series) if point.identity not in self._known]
        if new:
            self._tracker.log(new)
            self._known |= {point.identity for point in new}
            self.sent += len(new)
        if facts != self._described:
            self._tracker.describe(facts)
            self._described = facts
        return run
