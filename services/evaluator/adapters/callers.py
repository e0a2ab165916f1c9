"""Whose token it is, asked of the orchestrator, which keeps them: API tokens and people of an identity provider."""

import asyncio
import time
from typing import Any

import grpc
from cachetools import TTLCache

from retain.orchestrator.v1 import identity_service_pb2 as pb
from retain.orchestrator.v1 import identity_service_pb2_grpc as pb_grpc
from services.common.errors import Unauthenticated, Unavailable
from services.common.grpc.status import error_of
from services.common.identity.principal import Kind, Principal, Role
from services.common.identity.tokens import Authenticator, digest_of

CALL_TIMEOUT_S = 5.0
KEPT_S = 15.0  # a revoked token is let in here for so long
MOST_KEPT = 4096
REFUSED = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


class AskOrchestrator(Authenticator):
    """WhoAmI with the token that was shown; answers are kept for a moment."""

    def __init__(self, channel: grpc.Channel, *, kept_s: float = KEPT_S) -> None:
        self._who: Any = pb_grpc.IdentityServiceStub(channel).WhoAmI
        self._kept: TTLCache[str, Principal | Unauthenticated] = TTLCache(MOST_KEPT, kept_s, timer=time.monotonic)

    async def authenticate(self, token: str) -> Principal | None:
        digest = digest_of(token)
        found = self._kept.get(digest)
        if found is None:
            found = self._kept[digest] = await asyncio.to_thread(self._ask, token)
        if isinstance(found, Unauthenticated):
            raise Unauthenticated(found.message, reason=found.reason)
        return found

    def _ask(self, token: str) -> Principal | Unauthenticated:
        try:
            said = self._who(
                pb.WhoAmIRequest(), timeout=CALL_TIMEOUT_S, metadata=(("authorization", f"Bearer {token}"),)
            )
        except (grpc.RpcError, ValueError) as error:
            if isinstance(error, grpc.RpcError) and error.code() in REFUSED:
                known = error_of(error)
                return Unauthenticated(error.details() or known.message, reason=known.reason)
            # A token with characters that no header carries is nobody's.
            if isinstance(error, ValueError):
                return Unauthenticated("the token is none of this kind", reason="TOKEN_MALFORMED")
            raise Unavailable(
                "the orchestrator, which knows the tokens, does not answer", reason="ACCESS_UNCHECKED"
            ) from error
        return Principal(
            subject=said.subject,
            kind=Kind(said.kind),
            roles=frozenset(Role(role) for role in said.roles),
            projects=frozenset(said.projects),
        )
