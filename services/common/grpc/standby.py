"""A server that is there but does not take calls yet: health tells, and so does every other call."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc

from services.common.errors import Unavailable
from services.common.grpc.interceptors import Continuation, wrap

ALWAYS_ANSWERED = ("/grpc.health.", "/grpc.reflection.")


class StandbyInterceptor(grpc.aio.ServerInterceptor):
    """Refuses calls with UNAVAILABLE until `open` is set; health and reflection always answer."""

    def __init__(self, why: str) -> None:
        self.open = False
        self._why = why

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = await continuation(handler_call_details)
        if handler is None or self.open or handler_call_details.method.startswith(ALWAYS_ANSWERED):
            return handler

        def unary(behaviour: Any) -> Any:
            async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
                raise Unavailable(self._why, reason="STANDBY")

            return call

        def stream(behaviour: Any) -> Any:
            async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
                raise Unavailable(self._why, reason="STANDBY")
                yield  # a stream that ends before its first piece

            return call

        return wrap(handler, unary, stream)
