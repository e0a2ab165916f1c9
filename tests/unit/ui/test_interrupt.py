"""Ctrl-C is repeated until it is heard."""

import os
import signal
import threading
import time

import pytest

from ui.interrupt import REPEAT_S, insistent


def test_an_interrupt_that_is_swallowed_comes_again() -> None:
    swallowed = 0
    former = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), insistent():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        except KeyboardInterrupt:
            swallowed += 1
        time.sleep(5)
    assert swallowed == 1
    assert signal.getsignal(signal.SIGINT) is former


def test_nothing_is_repeated_after_the_block() -> None:
    with pytest.raises(KeyboardInterrupt), insistent():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
    time.sleep(2 * REPEAT_S)  # another one would end this test
    assert "interrupt" not in [thread.name for thread in threading.enumerate()]
