"""The calls about who is who: tokens, and who did what."""

from collections.abc import Iterator
from typing import Any

import grpc

from retain.orchestrator.v1 import identity_service_pb2, identity_service_pb2_grpc
from retain.values import ApiToken, AuditEvent, GetLoginResponse, WhoAmIResponse
from ui.client.address import Address
from ui.client.channel import mapped_errors
from ui.client.convert import to_view
from ui.client.credentials import Credentials

DEADLINE_S = 20.0
PAGE_SIZE = 500


class IdentityClient:
    """A client of the orchestrator's identity service, on the channel of its other services."""

    def __init__(self, address: Address, channel: grpc.Channel, credentials: Credentials) -> None:
        self._target = address.orchestrator
        self._credentials = credentials
        self._stub = identity_service_pb2_grpc.IdentityServiceStub(channel)

    def get_login(self) -> GetLoginResponse:
        """How people log in; needs no token. Raises ClientError."""
        with mapped_errors(self._target):
            return to_view(
                GetLoginResponse, self._stub.GetLogin(identity_service_pb2.GetLoginRequest(), timeout=DEADLINE_S)
            )

    def who_am_i(self) -> WhoAmIResponse:
        """Whose token this client sends. Raises ClientError."""
        return to_view(WhoAmIResponse, self._call(self._stub.WhoAmI, identity_service_pb2.WhoAmIRequest()))

    def create_token(
        self, name: str, *, roles: tuple[str, ...], lifetime_s: int = 0, projects: tuple[str, ...] = ()
    ) -> tuple[ApiToken, str]:
        """A new token for these projects (none: `default`) and its secret, which is shown this once. Raises
        ClientError."""
        request = identity_service_pb2.CreateTokenRequest(
            name=name, roles=roles, lifetime_seconds=lifetime_s, projects=projects
        )
        made = self._call(self._stub.CreateToken, request)
        return to_view(ApiToken, made.token), made.secret

    def tokens(self) -> list[ApiToken]:
        """All of them, oldest first. Raises ClientError."""
        request = identity_service_pb2.ListTokensRequest()
        return [to_view(ApiToken, row) for row in self._pages(self._stub.ListTokens, request, "tokens", None)]

    def revoke_token(self, name: str) -> ApiToken:
        """Nobody is let in with it any more. Raises ClientError."""
        request = identity_service_pb2.RevokeTokenRequest(name=name)
        return to_view(ApiToken, self._call(self._stub.RevokeToken, request).token)

    def audit(
        self,
        *,
        subject: str = "",
        resource: str = "",
        action: str = "",
        outcome: str = "",
        since_s: float | None = None,
        until_s: float | None = None,
        limit: int | None = None,
    ) -> list[AuditEvent]:
        """Who did what, newest first: `action` as in CreatePipelineRun, `outcome` as in OK, from `since_s` on and
        before `until_s` (Unix seconds). Raises ClientError."""
        request = identity_service_pb2.ListAuditEventsRequest(
            subject=subject, resource=resource, action=action, outcome=outcome
        )
        if since_s is not None:
            request.start_time.FromNanoseconds(round(since_s * 1e9))
        if until_s is not None:
            request.end_time.FromNanoseconds(round(until_s * 1e9))
        return [to_view(AuditEvent, row) for row in self._pages(self._stub.ListAuditEvents, request, "events", limit)]

    def _call(self, method: Any, request: Any) -> Any:
        with mapped_errors(self._target):
            return method(request, timeout=DEADLINE_S, metadata=self._credentials.metadata())

    def _pages(self, method: Any, request: Any, field: str, limit: int | None) -> Iterator[Any]:
        left = limit
        while left is None or left > 0:
            request.page_size = PAGE_SIZE if left is None else min(PAGE_SIZE, left)
            response = self._call(method, request)
            rows = list(getattr(response, field))[:left]
            yield from rows
            left = None if left is None else left - len(rows)
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token
