"""Connections to the object store: where it may be, and how its bytes are sent."""

import ssl
from collections.abc import Callable
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util import Url

from retain.values.faults import mismatch
from services.common.errors import InvalidInput, Violation

PIECE_BYTES = 256 * 1024


def store_address(address: str, field: str) -> Url:
    """The parts of a store's address. Raises InvalidInput, which names the setting `field`, for anything but
    http(s)://HOST[:PORT]: what else an address may hold would be dropped in silence."""

    def refuse(got: str) -> InvalidInput:
        what = mismatch(got, "http://HOST:PORT or https://HOST:PORT, and nothing else")
        return InvalidInput([Violation(field=field, description=what)])

    try:
        url = urllib3.util.parse_url(address)
    except urllib3.exceptions.LocationParseError as error:
        raise refuse(repr(address)) from error
    if url.auth:
        raise refuse(f"{url.scheme}://...@{url.host}, with a user or a password (AWS_ACCESS_KEY_ID holds the key)")
    if url.scheme not in ("http", "https") or not url.host:
        raise refuse(repr(address))
    for name, part in (("path", (url.path or "").strip("/")), ("query", url.query), ("fragment", url.fragment)):
        if part:
            raise refuse(f"{address!r}, with a {name}")
    return url


def trusting(ca_bundle: str | None) -> dict[str, Any]:
    """Settings of a pool that trusts the authorities of a PEM file, the system's without one.

    Raises InvalidInput, which names AWS_CA_BUNDLE, for a file that holds none."""
    if ca_bundle is None:
        return {}
    try:
        ssl.create_default_context(cafile=ca_bundle)
    except (OSError, ssl.SSLError) as error:
        said = mismatch(f"{ca_bundle} ({error})", "a PEM file of certificates")
        raise InvalidInput([Violation(field="AWS_CA_BUNDLE", description=said)]) from error
    return {"ca_certs": ca_bundle}


def steady_pools(on_bytes: Callable[[], None], **settings: Any) -> urllib3.PoolManager:
    """A pool of connections that send large bodies in pieces, and call `on_bytes` after each.

    A body that is sent in one call must be through within the connection's time-out (Python counts the time of the
    whole call), whatever the link can carry; in pieces, each has that time. And whoever watches sees it get on.
    """

    class Http(HTTPConnection):
        def send(self, data: Any) -> None:
            for piece in _pieces(data):
                super().send(piece)
                on_bytes()

    class Https(HTTPSConnection):
        def send(self, data: Any) -> None:
            for piece in _pieces(data):
                super().send(piece)
                on_bytes()

    class HttpPool(HTTPConnectionPool):
        ConnectionCls = Http

    class HttpsPool(HTTPSConnectionPool):
        ConnectionCls = Https

    manager = urllib3.PoolManager(**settings)
    manager.pool_classes_by_scheme = {"http": HttpPool, "https": HttpsPool}
    return manager


def _pieces(data: Any) -> list[Any]:
    if not isinstance(data, bytes | bytearray | memoryview) or len(data) <= PIECE_BYTES:
        return [data]
    view = memoryview(data)
    return [view[begin : begin + PIECE_BYTES] for begin in range(0, len(view), PIECE_BYTES)]
