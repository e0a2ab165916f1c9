"""What one caller may have of a server: so many calls a second, so many open streams, so much time for a call.

Who the caller is, the interceptor of identities says by setting `PRINCIPAL`: whatever connections somebody opens, they
have one share. Without it an address counts as one caller. What is over the share is refused with RESOURCE_EXHAUSTED
before anything is done for it, and every client of ours tries again after a pause.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import grpc

from services.common.errors import TooLate, TooManyCalls
from services.common.grpc.interceptors import Continuation, wrap
from services.common.limits import CALL_S, CALLS_S, Rate
from services.common.logging import get_logger

PRINCIPAL: ContextVar[str] = ContextVar("principal", default="")
ALWAYS_ANSWERED = ("/grpc.health.",)
MOST_CALLERS = 10_000  # whose shares are remembered; the one who was away longest is forgotten, and starts anew
LOG_EVERY_S = 10.0
log = get_logger(__name__)


class TokenBucket:
    """`rate` tokens a second, up to `burst`: Turner, "New directions in communications", IEEE Comm. Mag. 24 (1986)."""

    def __init__(self, rate: float, burst: float, *, now_s: float) -> None:
        self._rate, self._burst, self._tokens, self._at_s = rate, burst, burst, now_s

    def take(self, now_s: float) -> float:
        """0 when there was a token, which is taken; else the seconds until there will be one."""
        self._tokens = min(self._burst, self._tokens + max(0.0, now_s - self._at_s) * self._rate)
        self._at_s = now_s
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return 0.0
        return (1.0 - self._tokens) / self._rate


class _Caller:
    def __init__(self, bucket: TokenBucket) -> None:
        self.bucket, self.streams, self.logged_s = bucket, 0, -math.inf


class FairShare:
    """The shares of all callers of one server. Used from one event loop."""

    def __init__(self, rate: Rate, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = rate, clock
        self._callers: OrderedDict[str, _Caller] = OrderedDict()

    def call(self, caller: str) -> None:
        """One more call. Raises TooManyCalls."""
        found = self._of(caller)
        wait_s = found.bucket.take(self._clock())
        if wait_s:
            self._refuse(caller, found, f"more than {self._rate.calls_per_s:g} calls a second", wait_s)

    @contextmanager
    def stream(self, caller: str) -> Any:
        """An open stream inside the block. Raises TooManyCalls."""
        found = self._of(caller)
        if found.streams >= self._rate.streams:
            self._refuse(caller, found, f"more than {self._rate.streams} open streams", 1.0)
        found.streams += 1
        try:
            yield
        finally:
            found.streams -= 1

    def _refuse(self, caller: str, found: _Caller, what: str, wait_s: float) -> None:
        now_s = self._clock()
        if now_s - found.logged_s >= LOG_EVERY_S:  # a flood is one line, not a flood of lines
            found.logged_s = now_s
            log.warning("a caller is over its share", caller=caller, what=what)
        message = f"{what} came from one caller; try again in {wait_s:.2f} s"
        raise TooManyCalls(message, metadata={"retry_after_s": f"{wait_s:.2f}"})

    def _of(self, caller: str) -> _Caller:
        found = self._callers.get(caller)
        if found is None:
            bucket = TokenBucket(self._rate.calls_per_s, self._rate.burst, now_s=self._clock())
            found = self._callers[caller] = _Caller(bucket)
            if len(self._callers) > MOST_CALLERS:
                away = next((name for name, one in self._callers.items() if not one.streams and name != caller), None)
                if away is not None:
                    del self._callers[away]
        else:
            self._callers.move_to_end(caller)
        return found


class FairShareInterceptor(grpc.aio.ServerInterceptor):
    """Asks FairShare before each call, and ends a unary call that takes longer than it may."""

    def __init__(self, rate: Rate | None = None) -> None:
        self._shares = FairShare(rate or Rate())

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(ALWAYS_ANSWERED):
            return handler
        most_s = CALLS_S.get(method.rpartition("/")[2], CALL_S)

        def unary(behaviour: Any) -> Any:
            async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
                self._shares.call(_caller(context))
                try:
                    async with asyncio.timeout(most_s) as limit:
                        return await behaviour(request, context)
                except TimeoutError as error:
                    if not limit.expired():
                        raise
                    raise TooLate(f"{method} took longer than the {most_s:g} s that it may") from error

            return call

        def stream(behaviour: Any) -> Any:
            async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
                caller = _caller(context)
                self._shares.call(caller)
                with self._shares.stream(caller):
                    async for response in behaviour(request, context):
                        yield response

            return call

        return wrap(handler, unary, stream)


def _caller(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    return PRINCIPAL.get() or address_of(str(context.peer()))


def address_of(peer: str) -> str:
    """The address of a peer without its port: `ipv4:10.0.0.7` of `ipv4:10.0.0.7:51234`."""
    kind, _, rest = peer.partition(":")
    return f"{kind}:{rest.rpartition(':')[0]}" if kind in ("ipv4", "ipv6") and ":" in rest else peer
