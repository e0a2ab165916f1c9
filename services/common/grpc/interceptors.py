"""What every call of every service passes through: errors become statuses, calls are counted and timed.

A servicer converts, calls and converts; it raises the exceptions of services/common/errors.py and never sees a status.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.rpc import code_pb2
from grpc_status import rpc_status
from prometheus_client import CollectorRegistry

from services.common.errors import RetainError
from services.common.grpc.status import to_status
from services.common.logging import get_logger
from services.common.metrics import GrpcMetrics

Continuation = Callable[[grpc.HandlerCallDetails], Awaitable["grpc.RpcMethodHandler[Any, Any] | None"]]
log = get_logger(__name__)


async def _abort(error: Exception, context: grpc.aio.ServicerContext[Any, Any], method: str) -> None:
    if not isinstance(error, RetainError):
        log.error("unexpected error in a call", method=method, exc_info=error)
        error = RetainError(f"unexpected {type(error).__name__} in {method}; the server's log has the details")
    # abort_with_status raises, which ends the handler; nothing after it runs.
    await context.abort_with_status(rpc_status.to_status(to_status(error)))


class Waited(grpc.RpcMethodHandler):  # type: ignore[type-arg]  # takes arguments when it is checked, none when it runs
    """A handler that waits for the one request of a call before it asks `inner`."""

    def __init__(self, inner: grpc.RpcMethodHandler[Any, Any]) -> None:
        self.inner = inner

    def around(self, inner: grpc.RpcMethodHandler[Any, Any]) -> Waited:
        """The same waiting in front of another handler."""
        raise NotImplementedError


def wrap(
    handler: grpc.RpcMethodHandler[Any, Any],
    unary: Callable[[Any], Any],
    stream: Callable[[Any], Any],
) -> grpc.RpcMethodHandler[Any, Any]:
    """The same handler with its behaviour wrapped. Retain's services take single requests only; where another
    interceptor waits for that request (slow_request.py), what is behind the waiting is wrapped, in whatever order the
    interceptors stand."""
    if isinstance(handler, Waited):
        return handler.around(wrap(handler.inner, unary, stream))
    coding = {
        "request_deserializer": handler.request_deserializer,
        "response_serializer": handler.response_serializer,
    }
    if handler.request_streaming:
        return handler  # reflection: not ours
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler(stream(handler.unary_stream), **coding)
    return grpc.unary_unary_rpc_method_handler(unary(handler.unary_unary), **coding)


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Maps the exception tree to statuses. An error that is not of the tree becomes INTERNAL and is logged in full."""

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method

        def unary(behaviour: Any) -> Any:
            async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
                try:
                    return await behaviour(request, context)
                except grpc.aio.AbortError:
                    raise
                except Exception as error:  # noqa: BLE001 - the one place where every error gets its status
                    await _abort(error, context, method)

            return call

        def stream(behaviour: Any) -> Any:
            async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
                try:
                    async for response in behaviour(request, context):
                        yield response
                except grpc.aio.AbortError:
                    raise
                except Exception as error:  # noqa: BLE001 - as above
                    await _abort(error, context, method)

            return call

        return handler if handler is None else wrap(handler, unary, stream)


class MetricsInterceptor(grpc.aio.ServerInterceptor):
    """Counts and times calls under the names that gRPC dashboards know (grpc-ecosystem/go-grpc-middleware)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._metrics = GrpcMetrics(registry)

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = await continuation(handler_call_details)
        if handler is None:  # a name from outside becomes no label
            return None
        _, service, method = handler_call_details.method.split("/")

        def done(kind: str, started: float, context: grpc.aio.ServicerContext[Any, Any]) -> None:
            code = context.code() or 0
            number = code if isinstance(code, int) else code.value[0]
            call = {"grpc_type": kind, "grpc_service": service, "grpc_method": method}
            self._metrics.handled.labels(**call, grpc_code=code_pb2.Code.Name(number)).inc()
            self._metrics.handling_seconds.labels(**call).observe(time.monotonic() - started)

        def unary(behaviour: Any) -> Any:
            async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
                started = time.monotonic()
                try:
                    return await behaviour(request, context)
                finally:
                    done("unary", started, context)

            return call

        def stream(behaviour: Any) -> Any:
            async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
                started = time.monotonic()
                try:
                    async for response in behaviour(request, context):
                        yield response
                finally:
                    done("server_stream", started, context)

            return call

        return handler if handler is None else wrap(handler, unary, stream)
