"""A gRPC server as every service of Retain wants it: health, reflection, keepalive, limits, metrics, a graceful end."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import CollectorRegistry

from services.common import limits
from services.common.errors import Unavailable
from services.common.grpc.fair_share import FairShareInterceptor
from services.common.grpc.interceptors import ErrorInterceptor, MetricsInterceptor
from services.common.grpc.reflection import MethodsToo
from services.common.grpc.requests import RequestInterceptor
from services.common.grpc.slow_request import SlowRequestInterceptor
from services.common.logging import get_logger
from services.common.tls.serving import server_credentials
from services.common.tls.settings import ServerTls

LIVE = "live"  # name of a health entry for probes that restart a process
STOP_MARGIN_S = 10.0  # a call that was cut off after the grace and still does not end is not waited for longer
SERVER_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", limits.LARGEST_REQUEST_BYTES),
    ("grpc.max_send_message_length", limits.LARGEST_RESPONSE_BYTES),
    ("grpc.max_metadata_size", limits.METADATA_BYTES),
    ("grpc.max_concurrent_streams", limits.STREAMS_PER_CONNECTION),
    # By default gRPC cancels new calls by chance, anybody's, once 1,000 wait for Python; no client repeats what was
    # CANCELLED. So many may wait here that a caller over its share is told so, and the others are served.
    ("grpc.server.max_pending_requests", limits.CALLS_AT_ONCE),
    ("grpc.server.max_pending_requests_hard_limit", 2 * limits.CALLS_AT_ONCE),
    ("grpc.server_handshake_timeout_ms", 1000 * limits.HANDSHAKE_S),
    ("grpc.max_connection_age_ms", 1000 * limits.CONNECTION_AGE_S),
    ("grpc.max_connection_age_grace_ms", 1000 * limits.CONNECTION_GRACE_S),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 1000 * limits.SHORTEST_PING_S),
    ("grpc.http2.max_ping_strikes", limits.PING_STRIKES),
    # Two processes on one port would split the calls between an old and a new server.
    ("grpc.so_reuseport", 0),
)
CLIENT_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", limits.LARGEST_RESPONSE_BYTES),
    ("grpc.max_send_message_length", limits.LARGEST_REQUEST_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # A server that restarts is found again within seconds, not after gRPC's two minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


class GrpcServer:
    """Serves the given services on `bind` (`host:port`; port 0 takes a free one).

    `services` maps a full service name to (the generated add_*_to_server function, the servicer). Each name has its own
    health entry, and the empty name stands for the whole server (gRPC health checking protocol). `access` stands before
    everything else and lets calls in (services/common/identity/access.py): there is no server without one. With `tls`
    it speaks TLS alone, and where that names an internal address there is a second port: callers show a certificate.
    """

    def __init__(
        self,
        *,
        bind: str,
        services: Mapping[str, tuple[Callable[[Any, Any], None], Any]],
        registry: CollectorRegistry,
        access: grpc.aio.ServerInterceptor,
        tls: ServerTls | None = None,
        interceptors: tuple[grpc.aio.ServerInterceptor, ...] = (),
        rate: limits.Rate | None = None,
    ) -> None:
        self._bind = bind
        self._names = ("", *services)
        self._server = grpc.aio.server(
            # From the outside to the inside: each sees what the one before it lets through.
            interceptors=(
                access,
                SlowRequestInterceptor(),
                MetricsInterceptor(registry),
                ErrorInterceptor(),
                FairShareInterceptor(rate),
                *interceptors,
                RequestInterceptor(),
            ),
            options=SERVER_OPTIONS,
            maximum_concurrent_rpcs=limits.CALLS_AT_ONCE,
        )
        for add, servicer in services.values():
            add(servicer, self._server)
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (*services, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server, pool=MethodsToo())
        self._tls = tls
        self._is_serving = False
        self.internal_port: int | None = None

    async def start(self, *, serving: bool = True) -> int:
        """Opens the port, reports SERVING (or, without `serving`, not yet) and returns the port number.

        The health entry LIVE says SERVING from here on: the process lives, whether or not calls are welcome. Raises
        Unavailable when the address is taken.
        """
        port = self._open(self._bind, mutual=False)
        if self._tls is not None and self._tls.internal_bind is not None:
            self.internal_port = self._open(self._tls.internal_bind, mutual=True)
        await self._health.set(LIVE, health_pb2.HealthCheckResponse.SERVING)
        await self.set_serving(serving)
        await self._server.start()
        return port

    def _open(self, bind: str, *, mutual: bool) -> int:
        try:
            if self._tls is None:
                return self._server.add_insecure_port(bind)
            return self._server.add_secure_port(bind, server_credentials(self._tls.files, mutual=mutual))
        except RuntimeError as error:
            raise Unavailable(f"cannot listen on {bind}: {error}", reason="ADDRESS_IN_USE") from error

    async def is_serving(self) -> bool:
        """Whether calls are welcome; whoever waits for the answer learns that the event loop runs, too."""
        return self._is_serving

    async def set_serving(self, serving: bool) -> None:
        """Tells load balancers and probes whether calls are welcome."""
        self._is_serving = serving
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in self._names:
            await self._health.set(name, status)

    async def stop(self, grace_s: float) -> None:
        """Drains: reports NOT_SERVING, takes no new calls, lets those under way end, and cuts off what is left."""
        await self.set_serving(False)
        try:
            async with asyncio.timeout(grace_s + STOP_MARGIN_S):
                await self._server.stop(grace_s)
        except TimeoutError:
            get_logger(__name__).error("a call does not end; it is left behind", waited_s=grace_s + STOP_MARGIN_S)

    async def wait(self) -> None:
        """Returns when the server has stopped."""
        await self._server.wait_for_termination()
