"""Told to leave: a machine is drained, a spot instance is taken back, a pod is deleted. SIGTERM says so.

Whoever waits or is about to begin something leaves at once, with `ToldToLeave`; who trains finishes the step and stores
an interim checkpoint first (model/training/loop.py). Being told is no fault: the orchestrator hears INTERRUPTED, which
counts neither as a retry nor as a restart, and the next group resumes from there.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from services.common.errors import RetainError
from services.common.logging import get_logger


class ToldToLeave(RetainError):
    """The workers were told to leave; what is under way is given up, or was stored as an interim checkpoint."""

    code = "UNAVAILABLE"
    reason = "TOLD_TO_LEAVE"


class Leaving:
    """Whether this process was told. Thread-safe; `ask` may be called from a signal handler."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self.working = False

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """The train function runs: there may be something to finish."""
        self.working = True
        try:
            yield
        finally:
            self.working = False

    def ask(self) -> None:
        """Tell it."""
        self._asked.set()

    @property
    def asked(self) -> bool:
        """Whether it was told."""
        return self._asked.is_set()

    def check(self) -> None:
        """Raise ToldToLeave if it was told."""
        if self.asked:
            raise ToldToLeave("the workers were told to leave")

    def pause(self, seconds: float) -> None:
        """Sleep; raises ToldToLeave as soon as it is told."""
        self._asked.wait(seconds)
        self.check()

    def reset(self) -> None:
        """A new group in an old process (tests): nobody has told it anything."""
        self._asked.clear()


# One process is told once, whoever asks in it: the signal handler is set up before the train function begins.
PROCESS = Leaving()


def leave_on_sigterm() -> None:
    """Let SIGTERM tell this process. Only the main thread may call this; on Ray that is where actor calls run, not the
    train function (services/worker/ray_backend.py).

    Outside of the train function there is nothing to finish: the signal then does what it did before, which is to end
    the process.
    """
    global _before
    usual = signal.getsignal(signal.SIGTERM)
    if usual is not _told:
        _before = usual
    signal.signal(signal.SIGTERM, _told)
    get_logger(__name__).info("SIGTERM will be heard", pid=os.getpid())


_before: Any = signal.SIG_DFL


def _told(number: int, frame: FrameType | None) -> None:
    PROCESS.ask()
    if PROCESS.working:
        return
    if callable(_before):
        _before(number, frame)
    elif _before == signal.SIG_DFL:
        raise SystemExit(128 + number)
