"""The names of evaluations that wait for their turn: in order, and each not before its time."""

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable


class EvaluationQueue:
    """For one taker. Everything happens in the event loop; nothing here waits without a limit."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due: list[tuple[float, int, str]] = []
        self._numbers = itertools.count()
        self._news = asyncio.Event()

    def put(self, name: str, *, after_s: float = 0.0) -> None:
        """At the end, to be taken in `after_s` seconds at the earliest. Twice is once, the first counts."""
        if all(known != name for _, _, known in self._due):
            heapq.heappush(self._due, (self._clock() + after_s if after_s else 0.0, next(self._numbers), name))
            self._news.set()

    def drop(self, name: str) -> None:
        """Out of the queue; a name that is not there is no fault."""
        self._due = [entry for entry in self._due if entry[2] != name]
        heapq.heapify(self._due)

    async def take(self, timeout_s: float) -> str | None:
        """The next name whose time has come; None when none came within `timeout_s`."""
        end_s = self._clock() + timeout_s
        while True:
            now_s = self._clock()
            if self._due and self._due[0][0] <= now_s:
                return heapq.heappop(self._due)[2]
            until_s = min(end_s, self._due[0][0]) if self._due else end_s
            if now_s >= end_s:
                return None
            self._news.clear()
            try:
                async with asyncio.timeout(max(0.0, until_s - now_s)):
                    await self._news.wait()
            except TimeoutError:
                continue
