"""Signs of life of work in a thread: whoever waits for it sees whether it continues, and can give it up.

A thread cannot be ended from outside. What can be done is to stop waiting for it, and to let it end by itself at its
next sign of life: `beat` raises `GivenUp` there, so that work that nobody waits for any more neither continues nor
writes anything.

    heart = Heart()
    # in the thread
    with heart.here():
        for batch in batches:
            beat("measuring general")
    # outside
    if heart.silent_s > limit_s:
        heart.give_up()
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PAUSE_SLICE_S = 0.2

_here = threading.local()


class GivenUp(Exception):
    """Nobody waits for this work any more."""


class Heart:
    """Of one piece of work. Safe to use from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._last_s = clock, clock()
        self._doing = "beginning"
        self._given_up = threading.Event()

    def beat(self, doing: str | None = None) -> None:
        """A bit of work was done. Raises GivenUp when nobody waits for more."""
        if self._given_up.is_set():
            raise GivenUp(self._doing)
        self._last_s = self._clock()
        if doing is not None:
            self._doing = doing

    @property
    def silent_s(self) -> float:
        """Seconds since the last sign of life."""
        return self._clock() - self._last_s

    @property
    def doing(self) -> str:
        """What was being done at the last sign of life, for people."""
        return self._doing

    @property
    def given_up(self) -> bool:
        return self._given_up.is_set()

    def give_up(self) -> None:
        """Nobody waits any more: the work ends at its next beat."""
        self._given_up.set()

    @contextmanager
    def here(self) -> Iterator[None]:
        """Makes this the heart of the calling thread: `beat` of this module finds it."""
        before = heart_here()
        _here.heart = self
        try:
            yield
        finally:
            _here.heart = before


def heart_here() -> Heart | None:
    """The heart of the calling thread's work; None where nobody watches."""
    return getattr(_here, "heart", None)


def beat(doing: str | None = None) -> None:
    """A bit of work was done in this thread. Raises GivenUp when nobody waits for more."""
    heart = heart_here()
    if heart is not None:
        heart.beat(doing)


def pause(seconds: float) -> None:
    """Sleeps, unless the work is given up meanwhile. A pause is no sign of life. Raises GivenUp."""
    end_s, heart = time.monotonic() + seconds, heart_here()
    while (left_s := end_s - time.monotonic()) > 0:
        if heart is not None and heart.given_up:
            raise GivenUp(heart.doing)
        time.sleep(min(left_s, PAUSE_SLICE_S))
