"""The door of every server: no call goes further without a principal whose roles allow it.

It stands before all other interceptors, reads nothing of the request before the caller is known, and answers a refusal
without running any handler. Tokens never reach logs or messages.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

import grpc
from grpc_status import rpc_status
from prometheus_client import CollectorRegistry

from services.common.errors import Refused, RetainError, TooManyCalls, Unauthenticated, Unavailable
from services.common.grpc.fair_share import PRINCIPAL, FairShare, address_of
from services.common.grpc.interceptors import Continuation, wrap
from services.common.grpc.status import to_status
from services.common.identity.permissions import METHODS, Permission, needs_certificate, permissions_of, roles_with
from services.common.identity.principal import Principal, current_principal, set_current_principal
from services.common.identity.tokens import LONGEST_TOKEN, Authenticator
from services.common.limits import REFUSED_LOGINS, Rate
from services.common.logging import get_logger
from services.common.metrics import AccessMetrics

SCHEME = "bearer "
UNKNOWN = "METHOD_UNKNOWN"
log = get_logger(__name__)


class Access(Protocol):
    """What a server asks of each call."""

    async def admitted(self, method: str, authorization: str | None) -> Principal | None:
        """Whose call it is; None for a method that needs no token. Raises Unauthenticated, Refused or Unavailable."""
        ...


class Guarded(Access):
    """Deny by default: a token of a known principal, whose roles allow the method."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    async def admitted(self, method: str, authorization: str | None) -> Principal | None:
        needed = METHODS.get(method)
        if needed is Permission.PUBLIC:
            return None
        principal = await self._authenticator.authenticate(_token(authorization))
        if principal is None:
            raise Unauthenticated(
                "the token is not known here, or its installation made others since; `retain tokens create` makes one",
                reason="TOKEN_UNKNOWN",
            )
        if needed is None:
            raise Refused(f"there is no method {method[:200]}, or nobody may call it", reason=UNKNOWN)
        if needed not in permissions_of(principal.roles):
            said = ", ".join(sorted(principal.roles)) or "none"
            wanted = " or ".join(roles_with(needed))
            raise Refused(
                f"{principal.subject} may not call {method.rpartition('/')[2]}: it needs {needed} (role {wanted}); the "
                f"roles of this token are: {said}",
                metadata={"permission": needed.value},
            )
        return principal


class OpenToAll(Access):
    """Nobody is asked. Only where it was said in so many words, and only on loopback (`no_access_control`)."""

    def __init__(self, principal: Principal) -> None:
        self._principal = principal

    async def admitted(self, method: str, authorization: str | None) -> Principal | None:
        return self._principal


def _token(authorization: str | None) -> str:
    """The bearer token of a header. Raises Unauthenticated that says what is missing, never what came."""
    if authorization is None:
        raise Unauthenticated(
            "a token is needed: RETAIN_TOKEN, `retain login` where there is an identity provider, or on the machine of "
            "a local stack RETAIN_HOME, whose token is used then",
            reason="TOKEN_MISSING",
        )
    if authorization[: len(SCHEME)].lower() != SCHEME or len(authorization) > LONGEST_TOKEN:
        raise Unauthenticated(
            f"the authorization header is none of this kind; expected `Bearer TOKEN` of up to {LONGEST_TOKEN} "
            "characters",
            reason="TOKEN_MALFORMED",
        )
    return authorization[len(SCHEME) :].strip()


class AccessInterceptor(grpc.aio.ServerInterceptor):
    """Lets calls in by `access`; everything else of the server stands behind it.

    Refused logins are counted (`retain_refused_logins_total`), and an address has a share of them as a caller has of
    calls: over it the answer is RESOURCE_EXHAUSTED, and the log has one line in a while. A good token is let in from
    the same address all the same.

    `certified`: services and workers are those alone whose connection has shown a certificate of the installation's
    authority; their tokens and codes are good for nothing on any other.
    """

    def __init__(
        self,
        access: Access,
        *,
        registry: CollectorRegistry | None = None,
        logins: Rate = REFUSED_LOGINS,
        certified: bool = False,
    ) -> None:
        self._access, self._certified = access, certified
        self._metrics = AccessMetrics(registry or CollectorRegistry())
        self._logins = FairShare(logins)

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        method = handler_call_details.method
        try:
            principal = await self._access.admitted(method, _authorization(handler_call_details.invocation_metadata))
        except RetainError as error:
            if error.reason == UNKNOWN and await continuation(handler_call_details) is None:
                return None  # UNIMPLEMENTED, as clients of other versions expect it
            return _refusal(error, method, self._judged)
        except Exception as error:
            log.error("a caller could not be checked", method=method, exc_info=error)
            unchecked = Unavailable("the caller cannot be checked now", reason="ACCESS_UNCHECKED")
            return _refusal(unchecked, method, self._judged)
        set_current_principal(principal)
        if principal is not None:
            PRINCIPAL.set(f"{principal.kind} {principal.subject}")  # whose share of the server it is
        handler = await continuation(handler_call_details)
        if (
            handler is not None
            and self._certified
            and needs_certificate(method, principal.roles if principal else None)
        ):
            handler = _with_certificate(handler, method)
        if handler is None or METHODS.get(method) is not Permission.TRAIN:
            return handler
        return wrap(handler, _bound_to_its_run, lambda behaviour: behaviour)

    def _judged(self, error: RetainError, peer: str) -> RetainError:
        """What is answered to a refused login: another error once its address is over its share."""
        if not isinstance(error, Unauthenticated):
            return error
        self._metrics.refused_logins.labels(reason=error.reason).inc()
        try:
            self._logins.call(address_of(peer))
        except TooManyCalls as over:
            return over
        return error


def _authorization(metadata: Any) -> str | None:
    """The one authorization header, as text; None without one."""
    for key, value in metadata or ():
        if key == "authorization":
            return value if isinstance(value, str) else bytes(value).decode("latin-1")
    return None


def _bound_to_its_run(behaviour: Any) -> Any:
    """A worker speaks for its own run and submission alone."""

    async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        principal = current_principal()
        came = (request.run_id, request.submission)
        if principal is not None and principal.run_id and came != (principal.run_id, principal.submission):
            error = Refused(
                f"{principal.subject} may not speak for submission {request.submission} of run "
                f"{request.run_id[:100]!r}: a worker's token is good for its own run and submission alone",
                reason="ANOTHER_RUN",
            )
            _log_refusal(error, "StageControlService", peer=context.peer(), subject=principal.subject)
            await context.abort_with_status(rpc_status.to_status(to_status(error)))
        return await behaviour(request, context)

    return call


def _with_certificate(handler: grpc.RpcMethodHandler[Any, Any], method: str) -> grpc.RpcMethodHandler[Any, Any]:
    """Asked of the connection when the call is handled: what an interceptor is told does not hold it."""

    async def check(context: grpc.aio.ServicerContext[Any, Any]) -> None:
        if "x509_pem_cert" not in context.auth_context():
            error = Refused(
                "services and workers come with a certificate of this installation, to its internal port "
                "(RETAIN_TLS_CERT, RETAIN_TLS_KEY); this connection has shown none",
                reason="CERTIFICATE_MISSING",
            )
            _log_refusal(error, method, peer=context.peer())
            await context.abort_with_status(rpc_status.to_status(to_status(error)))

    def unary(behaviour: Any) -> Any:
        async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            await check(context)
            return await behaviour(request, context)

        return call

    def stream(behaviour: Any) -> Any:
        async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            await check(context)
            async for response in behaviour(request, context):
                yield response

        return call

    return wrap(handler, unary, stream)


def _refusal(
    error: RetainError, method: str, judged: Callable[[RetainError, str], RetainError]
) -> grpc.RpcMethodHandler[Any, Any]:
    """A handler for every kind of call that answers with the error and reads nothing."""

    async def refuse(_requests: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        answer = judged(error, str(context.peer()))
        if answer is error:
            _log_refusal(error, method, peer=context.peer())
        await context.abort_with_status(rpc_status.to_status(to_status(answer)))

    return grpc.stream_stream_rpc_method_handler(refuse)


def _log_refusal(error: RetainError, method: str, **who: str) -> None:
    log.warning("call refused", method=method[:200], code=error.code, reason=error.reason, message=error.message, **who)
