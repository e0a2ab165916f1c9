"""Ctrl-C that is not lost.

Python raises KeyboardInterrupt wherever the main thread happens to be. Inside a callback of a C library, gRPC's among
them, there is nobody to pass it on to: it is printed or dropped, and the program continues as if nobody had asked.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

REPEAT_S = 0.5


@contextlib.contextmanager
def insistent() -> Iterator[None]:
    """Inside the block an interrupt is repeated until the block is left. Without effect outside of the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    left, asked = threading.Event(), threading.Event()

    def repeat() -> None:
        while not left.wait(REPEAT_S):
            os.kill(os.getpid(), signal.SIGINT)

    def handle(_signal: int, _frame: FrameType | None) -> None:
        if not asked.is_set():
            asked.set()
            threading.Thread(target=repeat, name="interrupt", daemon=True).start()
        raise KeyboardInterrupt

    former = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        left.set()
        signal.signal(signal.SIGINT, former)
