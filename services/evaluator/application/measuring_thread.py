"""The one thread that measures, and what happens when it hangs.

Evaluations share neither cores nor caches, so one thing is done at a time. What gives no sign of life (bytes that came,
tokens that were measured) for `limit_s` is given up: its caller gets NoProgress, its thread ends by itself at its next
sign of life, and the next in turn gets a thread of its own.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from services.common.concurrency.heart import Heart
from services.common.errors import RetainError
from services.common.logging import get_logger

LIMIT_S = 600.0  # a forward pass of 4,096 tokens of a 3B model on two cores takes about five minutes
LOOK_EVERY_S = 1.0
T = TypeVar("T")
log = get_logger(__name__)


class NoProgress(RetainError):
    """Nothing was done for the time allowed: the work was given up."""

    code = "DEADLINE_EXCEEDED"
    reason = "NO_PROGRESS"


class MeasuringThread:
    """Runs blocking calls one after the other; `services.common.concurrency.heart.beat` is their sign of life."""

    def __init__(self, name: str, *, limit_s: float = LIMIT_S) -> None:
        self._name, self._limit_s = name, limit_s
        self._turn = asyncio.Lock()
        self._hearts: dict[threading.Thread, Heart] = {}

    async def run(self, call: Callable[..., T], *arguments: Any) -> T:
        """What `call` returns or raises. Raises NoProgress. Who goes away while it runs gives it up."""
        async with self._turn:
            return await self._run(call, arguments)

    def stop(self) -> None:
        """Nothing that runs is waited for."""
        for heart in list(self._hearts.values()):
            heart.give_up()

    def ended(self, timeout_s: float) -> bool:
        """Whether every thread ended within `timeout_s`. Blocks."""
        for thread in list(self._hearts):
            thread.join(timeout_s)
        return not any(thread.is_alive() for thread in list(self._hearts))

    async def _run(self, call: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        loop, heart = asyncio.get_running_loop(), Heart()
        outcome: asyncio.Future[T] = loop.create_future()

        def settle(value: Any, error: BaseException | None) -> None:
            if outcome.done() or heart.given_up:
                return
            if error is not None:
                outcome.set_exception(error)
            else:
                outcome.set_result(value)

        def work() -> None:
            value: Any = None
            error: BaseException | None = None
            try:
                with heart.here():
                    value = call(*arguments)
            except BaseException as fault:  # noqa: BLE001  # it belongs to the caller, whatever it is
                error = fault
            self._hearts.pop(threading.current_thread(), None)
            if not heart.given_up and not loop.is_closed():
                loop.call_soon_threadsafe(settle, value, error)

        thread = threading.Thread(target=work, name=self._name, daemon=True)
        self._hearts[thread] = heart
        thread.start()
        try:
            while not outcome.done():
                await asyncio.wait({outcome}, timeout=min(LOOK_EVERY_S, self._limit_s / 4))
                if not outcome.done() and heart.silent_s > self._limit_s:
                    log.error("work without a sign of life is given up", doing=heart.doing, limit_s=self._limit_s)
                    raise NoProgress(f"no sign of life for {self._limit_s:g} s while {heart.doing}; it was given up")
            return outcome.result()
        finally:
            heart.give_up()
