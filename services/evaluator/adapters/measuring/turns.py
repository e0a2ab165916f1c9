"""Who may compute beside whom: many together, or one alone. The number of torch's threads belongs to the process and
decides the last bits, so that whoever changes it must be alone."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from services.common.concurrency.heart import beat

_LOOK_S = 1.0


class Turns:
    """Whoever wants to be alone comes before those who come later. Waiting shows signs of life."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._together = self._wanted = 0
        self._alone = False

    @contextmanager
    def together(self) -> Iterator[None]:
        """Nobody is alone meanwhile. Keep it short: one batch, one token."""
        with self._changed:
            while self._alone or self._wanted:
                self._wait()
            self._together += 1
        try:
            yield
        finally:
            with self._changed:
                self._together -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else computes meanwhile."""
        with self._changed:
            self._wanted += 1
            try:
                while self._alone or self._together:
                    self._wait()
                self._alone = True
            finally:
                self._wanted -= 1
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()

    def _wait(self) -> None:
        self._changed.wait(_LOOK_S)
        beat()
