"""A request that begins and never comes to its end holds a place of the server; after some seconds it is ended.

gRPC hands a call to Python with its head; the one message of it may take as long as the client likes. On the wire a
unary call is a stream of one message (gRPC over HTTP/2), so the message can be waited for here, with a limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from retain.values.faults import mismatch
from services.common.grpc.interceptors import Continuation, Waited
from services.common.limits import REQUEST_S

OURS = "/retain."


class WithinLimit(Waited):
    """As gRPC sees it: a handler of a stream of requests, of which the first is the only one."""

    def __init__(self, inner: grpc.RpcMethodHandler[Any, Any], limit_s: float) -> None:
        super().__init__(inner)
        self._limit_s = limit_s
        self.request_streaming, self.response_streaming = True, inner.response_streaming
        self.request_deserializer = inner.request_deserializer
        self.response_serializer = inner.response_serializer
        self.unary_unary = self.unary_stream = self.stream_unary = self.stream_stream = None
        if inner.response_streaming:
            self.stream_stream = self._stream  # type: ignore[assignment]
        else:
            self.stream_unary = self._unary  # type: ignore[assignment]

    def around(self, inner: grpc.RpcMethodHandler[Any, Any]) -> WithinLimit:
        """The same limit in front of another handler."""
        return WithinLimit(inner, self._limit_s)

    async def _unary(self, requests: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        inner: Any = self.inner
        return await inner.unary_unary(await self._whole(requests, context), context)

    async def _stream(self, requests: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
        inner: Any = self.inner
        async for response in inner.unary_stream(await self._whole(requests, context), context):
            yield response

    async def _whole(self, requests: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            async with asyncio.timeout(self._limit_s):
                return await anext(aiter(requests))
        except TimeoutError:
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, f"no whole request within {self._limit_s:g} s")
        except StopAsyncIteration:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, mismatch("no request", "one"))


class SlowRequestInterceptor(grpc.aio.ServerInterceptor):
    """Ends a call with DEADLINE_EXCEEDED whose request is not whole in time."""

    def __init__(self, limit_s: float = REQUEST_S) -> None:
        self._limit_s = limit_s

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = await continuation(handler_call_details)
        if handler is None or handler.request_streaming or not handler_call_details.method.startswith(OURS):
            return handler
        return WithinLimit(handler, self._limit_s)
