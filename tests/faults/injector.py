"""Puts one kind of fault into one call of a port, on its first and every second further call, a few times in all."""

import asyncio
import inspect
import threading
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from services.common.errors import FailedPrecondition, NotFound, Refused, RetainError, Unavailable

TIMES = 3
SLOW_S = 0.25


class Fault(StrEnum):
    """What can go wrong with a call."""

    CALL_LOST = "call-lost"  # it never arrived
    REPLY_LOST = "reply-lost"  # it was carried out, and its caller never heard
    SLOW = "slow"
    REFUSED = "refused"  # an error that the port's contract allows and that says: trying again is of no use
    UNFORESEEN = "unforeseen"  # an exception that no contract names


class Bug(Exception):
    """Stands for an unhandled exception."""


ERRORS: dict[Fault, Callable[[], Exception]] = {
    Fault.CALL_LOST: lambda: Unavailable("the call was lost", reason="INJECTED_UNAVAILABLE"),
    Fault.REPLY_LOST: lambda: Unavailable("the reply was lost", reason="INJECTED_UNAVAILABLE"),
    Fault.REFUSED: lambda: Refused("the other side refuses", reason="INJECTED_REFUSED"),
    Fault.UNFORESEEN: lambda: Bug("an unhandled exception"),
}


class Injector:
    """Wraps ports. `kind` hits `method` of the port named `port`; `hits` counts the faults that were injected.

    `method="*"` hits every call of every port in turn, each `every` calls, with the kinds in turn: the smoke pass.
    """

    def __init__(
        self, port: str, method: str, kind: Fault, *, times: int = TIMES, every: int = 2, kinds: tuple[Fault, ...] = ()
    ) -> None:
        self.port, self.method, self.kind = port, method, kind
        self.times, self.every, self.kinds = times, every, kinds
        self.calls = self.hits = 0
        self._lock = threading.Lock()

    def wrap(self, port: str, target: Any) -> Any:
        """`target` with faults, when it is the one that is meant."""
        return target if self.method != "*" and port != self.port else _Wrapped(self, target)

    def due(self, method: str) -> Fault | None:
        """The fault of this call."""
        with self._lock:
            if self.method not in ("*", method):
                return None
            self.calls += 1
            if self.hits >= self.times or (self.calls - 1) % self.every:
                return None
            self.hits += 1
            return self.kinds[self.hits % len(self.kinds)] if self.kinds else self.kind


class _Wrapped:
    """The same object, but for the faults."""

    def __init__(self, injector: Injector, target: Any) -> None:
        self._injector, self._target = injector, target

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if name.startswith("_") or not callable(value):
            return value
        if inspect.iscoroutinefunction(value):
            return self._awaited(name, value)
        return self._called(name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("_injector", "_target"):
            object.__setattr__(self, name, value)
        else:
            setattr(self._target, name, value)

    def _called(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def faulty(*arguments: Any, **keywords: Any) -> Any:
            fault = self._injector.due(name)
            if fault is Fault.SLOW:
                time.sleep(SLOW_S)
            elif fault is Fault.REPLY_LOST:
                call(*arguments, **keywords)
            if fault in ERRORS:
                raise ERRORS[fault]()
            return call(*arguments, **keywords)

        return faulty

    def _awaited(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        async def faulty(*arguments: Any, **keywords: Any) -> Any:
            fault = self._injector.due(name)
            if fault is Fault.SLOW:
                await asyncio.sleep(SLOW_S)
            elif fault is Fault.REPLY_LOST:
                await call(*arguments, **keywords)
            if fault in ERRORS:
                raise ERRORS[fault]()
            return await call(*arguments, **keywords)

        return faulty


__all__ = ["ERRORS", "Bug", "FailedPrecondition", "Fault", "Injector", "NotFound", "RetainError"]
