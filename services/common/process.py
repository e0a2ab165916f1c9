"""A service as a process: what it is told by signals, its metrics on a port of their own, and how it ends.

    def main() -> None:
        run("orchestrator", lambda store: serve(Settings(), store))

`serve` opens a port, serves until `told_to_end()` is set, and drains.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, TypeVar
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, start_http_server

from services.common.errors import RetainError, Unavailable
from services.common.logging import configure_logging, get_logger
from services.common.store.minio_store import MinioStore
from services.common.store.renewed_keys import RenewedKeys

LIVE, READY = "/live", "/ready"
PROBE_LIMIT_S = 2.0  # an event loop that is busy for longer does not serve
STORE_PATIENCE_S = 20.0  # a service's loop tries again by itself, and a caller should not wait for minutes
T = TypeVar("T")

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication


def run(
    service: str,
    serve: Callable[[MinioStore], Coroutine[Any, Any, T]],
    *,
    keys: Callable[[], RenewedKeys | None] = lambda: None,
) -> T:
    """Logs, the object store of the environment, and `serve` until it returns. A RetainError is logged with its reason
    and ends the process with exit code 1: its supervisor starts it again. `keys`: makes what the store is opened with
    instead of keys of the environment."""
    configure_logging(service)
    try:
        store = MinioStore.from_env(patience_s=STORE_PATIENCE_S, keys=keys())
        try:
            return asyncio.run(serve(store))
        finally:
            store.close()
    except RetainError as error:
        get_logger(__name__).error(f"{service} ends", reason=error.reason, message=error.message)
        sys.exit(1)


def told_to_end() -> asyncio.Event:
    """Set by SIGTERM or SIGINT from here on."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    return told


def serve_metrics(
    bind: str, registry: CollectorRegistry, *, ready: Callable[[], Coroutine[Any, Any, bool]] | None = None
) -> WSGIServer:
    """Serves `/metrics` on `host:port` (port 0 takes a free one), with the figures of the process and the interpreter.

    With `ready` also `/live` and `/ready`, for probes of Kubernetes, whose gRPC probes know no TLS: 200 or 503. Both
    are answered through the event loop that is running now, so that one which hangs is found. Raises Unavailable when
    the address is taken."""
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    host, _, port = bind.rpartition(":")
    try:
        server, _thread = start_http_server(int(port), host, registry=registry)
    except OSError as error:
        raise Unavailable(f"cannot listen on {bind} (metrics): {error}", reason="ADDRESS_IN_USE") from error
    if ready is not None:
        server.set_app(_with_probes(server.get_app(), ready, asyncio.get_running_loop()))
    return server


def _with_probes(
    metrics: WSGIApplication | None, ready: Callable[[], Coroutine[Any, Any, bool]], loop: asyncio.AbstractEventLoop
) -> WSGIApplication:
    """Runs on the threads of the metrics' server."""

    def serving() -> bool | None:
        """None: the loop does not answer."""
        asked = asyncio.run_coroutine_threadsafe(ready(), loop)
        try:
            return asked.result(PROBE_LIMIT_S)
        except TimeoutError:
            asked.cancel()
            return None

    def app(environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO")
        if metrics is not None and path not in (LIVE, READY):
            return metrics(environ, start)
        found = serving()
        good = found is not None if path == LIVE else bool(found)
        start("200 OK" if good else "503 Service Unavailable", [("Content-Type", "text/plain")])
        return [b"ok\n" if good else b"the event loop does not answer\n" if found is None else b"not serving\n"]

    return app
