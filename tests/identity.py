"""Tokens of the tests, and channels that send one: every server is asked as its users ask it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import grpc

from services.common.identity.access import AccessInterceptor, Guarded
from services.common.identity.principal import Kind, Principal, Role
from services.common.identity.tokens import KnownTokens, service, user

ADMIN = "token-of-an-admin-in-the-tests-0123456789"
OPERATOR = "token-of-an-operator-in-the-tests-012345"
VIEWER = "token-of-a-viewer-in-the-tests-0123456789"
WORKER = "token-of-any-worker-in-the-tests-01234567"  # of no run: for what lies behind the door
SERVICE = "token-of-the-services-in-the-tests-01234"
KNOWN = KnownTokens(
    {
        ADMIN: user("admin", Role.ADMIN),
        OPERATOR: user("operator", Role.OPERATOR),
        VIEWER: user("viewer", Role.VIEWER),
        SERVICE: service("services"),
        WORKER: Principal(subject="any worker", kind=Kind.WORKER, roles=frozenset({Role.WORKER})),
    }
)


def access() -> AccessInterceptor:
    """The door of a server that knows these tokens alone."""
    return AccessInterceptor(Guarded(KNOWN))


class OpenDoor(grpc.aio.ServerInterceptor):
    """Asks nobody, and says of nobody who it is: for tests of what stands behind the door."""

    async def intercept_service(self, continuation, details):
        return await continuation(details)


def bearer(token: str = ADMIN) -> tuple[tuple[str, str], ...]:
    """Call metadata."""
    return (("authorization", f"Bearer {token}"),)


class _Details(NamedTuple):
    """What grpc asks of the details of a call."""

    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: bool | None
    compression: Any = None


def with_token(details: Any, token: str) -> _Details:
    metadata = list(details.metadata or ())
    if not any(key == "authorization" for key, _ in metadata):
        metadata += bearer(token)
    return _Details(
        method=details.method,
        timeout=details.timeout,
        metadata=metadata,
        credentials=details.credentials,
        wait_for_ready=details.wait_for_ready,
        compression=getattr(details, "compression", None),
    )


class _Sends(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor, grpc.StreamStreamClientInterceptor):
    def __init__(self, token: str) -> None:
        self._token = token

    def intercept_unary_unary(self, continuation, details, request):
        return continuation(with_token(details, self._token), request)

    def intercept_unary_stream(self, continuation, details, request):
        return continuation(with_token(details, self._token), request)

    def intercept_stream_stream(self, continuation, details, requests):
        return continuation(with_token(details, self._token), requests)


def _aio_details(details: Any, token: str) -> grpc.aio.ClientCallDetails:
    found = with_token(details, token)
    return grpc.aio.ClientCallDetails(
        method=found.method,
        timeout=found.timeout,
        metadata=grpc.aio.Metadata(*found.metadata),
        credentials=found.credentials,
        wait_for_ready=found.wait_for_ready,
    )


class _AioUnary(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, token: str) -> None:
        self._token = token

    async def intercept_unary_unary(self, continuation, details, request):
        return await continuation(_aio_details(details, self._token), request)


class _AioUnaryStream(grpc.aio.UnaryStreamClientInterceptor):
    def __init__(self, token: str) -> None:
        self._token = token

    async def intercept_unary_stream(self, continuation, details, request):
        return await continuation(_aio_details(details, self._token), request)


class _AioStreamStream(grpc.aio.StreamStreamClientInterceptor):
    def __init__(self, token: str) -> None:
        self._token = token

    async def intercept_stream_stream(self, continuation, details, requests):
        return await continuation(_aio_details(details, self._token), requests)


def channel(
    address: str,
    *,
    token: str = ADMIN,
    options: Sequence[tuple[str, Any]] = (),
    credentials: grpc.ChannelCredentials | None = None,
) -> grpc.Channel:
    """A channel whose calls carry the token, unless they bring one. With `credentials` it speaks TLS."""
    if credentials is None:
        opened = grpc.insecure_channel(address, options=list(options))
    else:
        opened = grpc.secure_channel(address, credentials, options=list(options))
    return grpc.intercept_channel(opened, _Sends(token))


def aio_channel(address: str, *, token: str = ADMIN, options: Sequence[tuple[str, Any]] = ()) -> grpc.aio.Channel:
    """The same for asyncio."""
    interceptors = [_AioUnary(token), _AioUnaryStream(token), _AioStreamStream(token)]
    return grpc.aio.insecure_channel(address, options=list(options), interceptors=interceptors)
