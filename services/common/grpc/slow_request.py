"""A request that begins and never comes to its end holds a place of the server; after some seconds it is ended.

gRPC hands a call to Python with its head; the one message of it may take as long as the client likes. On the wire a
unary call is a stream of one message (gRPC over HTTP/2), so the message can be waited for here, with a limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from services.common.grpc.interceptors import Continuation
from services.common.limits import REQUEST_S

OURS = "/retain."


class SlowRequestInterceptor(grpc.aio.ServerInterceptor):
    """Ends a call with DEADLINE_EXCEEDED whose request is not whole in time. It has to be the first interceptor: what
    comes after it sees the handlers as they are, and what came before it would see streams of requests."""

    def __init__(self, limit_s: float = REQUEST_S) -> None:
        self._limit_s = limit_s

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = await continuation(handler_call_details)
        if handler is None or handler.request_streaming or not handler_call_details.method.startswith(OURS):
            return handler
        coding = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }

        inner: Any = handler

        async def unary(requests: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            request = await self._whole(requests, context)
            return await inner.unary_unary(request, context)

        async def stream(requests: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            request = await self._whole(requests, context)
            async for response in inner.unary_stream(request, context):
                yield response

        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(stream, **coding)
        return grpc.stream_unary_rpc_method_handler(unary, **coding)

    async def _whole(self, requests: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            async with asyncio.timeout(self._limit_s):
                return await anext(aiter(requests))
        except TimeoutError:
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, f"no whole request within {self._limit_s:g} s")
        except StopAsyncIteration:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "came no request; one is expected")
