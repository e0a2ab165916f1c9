"""Long calls that say nothing until their end: training a tokenizer, compiling the first step, drawing random weights.

While such a call runs, this process's own computing is the sign of work: a thread beats as long as CPU time is spent,
by this process or by its children (the compiler starts some). A call that waits for something that never comes spends
none, and is noticed like any other hang. A loop without an end is noticed too, later: computing alone counts for at
most `LIMIT_S`.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

LOOK_S = 2.0
# Idle threads of this process (reports, connections) take a percent or two of a core.
BUSY_SHARE = 0.1
LIMIT_S = 1800.0


class ComputingWatch:
    """Beats while CPU time is spent, from `start` to `stop`."""

    def __init__(
        self,
        beat: Callable[[], None],
        *,
        look_s: float = LOOK_S,
        limit_s: float = LIMIT_S,
        cpu_s: Callable[[], float] | None = None,
    ) -> None:
        self._beat, self._look_s, self._limit_s = beat, look_s, limit_s
        self._cpu_s = cpu_s or family_cpu_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="computing", daemon=True)

    def start(self) -> "ComputingWatch":
        """Begin."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End; doing it twice is no fault."""
        self._stopping.set()

    def _run(self) -> None:
        began_s = seen_s = time.monotonic()
        spent_s = self._cpu_s()
        while not self._stopping.wait(self._look_s) and time.monotonic() - began_s < self._limit_s:
            now_s, now_spent_s = time.monotonic(), self._cpu_s()
            if now_spent_s - spent_s >= BUSY_SHARE * (now_s - seen_s):
                self._beat()
            seen_s, spent_s = now_s, now_spent_s


@contextmanager
def computing(beat: Callable[[], None]) -> Iterator[None]:
    """Beat inside the block while something is computed."""
    watch = ComputingWatch(beat).start()
    try:
        yield
    finally:
        watch.stop()


def family_cpu_s() -> float:
    """CPU seconds of this process and of the children that live now."""
    total = time.process_time()
    for child in psutil.Process().children(recursive=True):
        try:
            spent = child.cpu_times()
        except psutil.Error:
            continue
        total += spent.user + spent.system
    return total
