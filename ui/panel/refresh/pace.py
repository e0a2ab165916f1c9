"""How often an open page looks for news: often where few look, seldom where many share the panel's one process."""

import threading
import time
from collections.abc import Callable, Hashable

LOOKS_PER_S = 70.0  # of all pages together; a look that finds nothing costs 2 ms of the processor
STEPS_S = (0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0)
CALM = 1.5  # so much room there must be before a page looks more often again, or it would turn to and fro
MISSED_LOOKS, SLACK_S = 3, 5.0  # after so many looks that did not come, and this, a page is closed or hidden


def pace_s(pages: float, *, before_s: float | None = None, least_s: float = STEPS_S[0]) -> float:
    """Seconds between two looks of a page where so many are open. `before_s`: as it is now, which a small change of
    their number leaves as it is; `least_s`: it is never more often."""
    allowed = [step for step in STEPS_S if step >= least_s] or [least_s]
    wanted = _step(allowed, pages / LOOKS_PER_S)
    if before_s is None or wanted >= before_s:
        return wanted
    return min(before_s, _step(allowed, CALM * pages / LOOKS_PER_S))


def _step(allowed: list[float], seconds: float) -> float:
    return next((step for step in allowed if step >= seconds), allowed[-1])


class OpenPages:
    """The pages that look for news in this process. One whose tab is closed no longer looks; a browser hardly runs the
    timers of one that is hidden: neither counts. `is_there`: whether a page may still look, which tells of a closed
    one before it has missed a look. Safe to use from any thread."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, is_there: Callable[[Hashable], bool] = lambda page: True
    ) -> None:
        self._clock, self._is_there = clock, is_there
        self._lock = threading.Lock()
        self._until_s: dict[Hashable, float] = {}

    def look(self, page: Hashable, every_s: float) -> int:
        """Notes that a page looks, and will again in so many seconds. Returns how many are open."""
        now_s = self._clock()
        with self._lock:
            self._until_s[page] = now_s + MISSED_LOOKS * every_s + SLACK_S
            self._until_s = {
                one: until_s for one, until_s in self._until_s.items() if until_s >= now_s and self._is_there(one)
            }
            return len(self._until_s)
