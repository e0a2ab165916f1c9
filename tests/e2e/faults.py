"""Faults for a stack at work, and the processes that they strike."""

import contextlib
import time
from collections.abc import Iterator

import psutil

from tests.e2e.stack import PATIENCE_S, Stack, wait_until


def kill_program(stack: Stack, name: str) -> float:
    """SIGKILL for a program of the stack; returns the seconds until the supervisor has it back."""
    struck = stack.program(name)
    struck.kill()
    return stack.until_restarted(name, struck)


def the_worker(stack: Stack) -> psutil.Process:
    """The one training worker, once it is there."""
    wait_until(lambda: len(stack.training_workers()) == 1, "one training worker is at work")
    return stack.training_workers()[0]


def the_driver(stack: Stack) -> psutil.Process:
    """The entry point of the one Ray job, once it is there."""
    wait_until(lambda: len(stack.drivers()) == 1, "one Ray job is at work")
    return stack.drivers()[0]


@contextlib.contextmanager
def frozen(process: psutil.Process) -> Iterator[None]:
    """SIGSTOP inside the block, SIGCONT after it; the process may have been ended in the meantime."""
    process.suspend()
    try:
        yield
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.resume()


def freeze_program(stack: Stack, name: str, seconds: float) -> None:
    """A program that is there and does not answer."""
    with frozen(stack.program(name)):
        time.sleep(seconds)


def gone(process: psutil.Process) -> bool:
    """Whether a process has ended."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def until_gone(process: psutil.Process) -> None:
    """Wait until a process has ended."""
    wait_until(lambda: gone(process), f"process {process.pid} has ended", PATIENCE_S)
