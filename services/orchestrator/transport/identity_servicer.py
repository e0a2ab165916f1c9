"""IdentityService: convert, call, convert."""

import hashlib
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from retain import mapper
from retain.orchestrator.v1 import identity_service_pb2 as pb
from retain.orchestrator.v1 import identity_service_pb2_grpc as pb_grpc
from retain.values import GetLoginResponse
from retain.values.faults import mismatch
from services.common.errors import InvalidInput, Unauthenticated, Violation
from services.common.grpc.paging import number_of, page_of, page_size, token_of
from services.common.identity.principal import Principal, current_principal
from services.common.store.store_keys import StoreKeys
from services.orchestrator.application.audit import AuditEvent, AuditFilter, Auditor
from services.orchestrator.application.identity import WORKER_IDLE_S, ApiToken, IdentityService
from services.orchestrator.application.projects.service import ProjectService
from services.orchestrator.application.storage.store_keys import StoreKeyService
from services.orchestrator.transport.audit_interceptor import ACTIONS, OUTCOMES
from services.orchestrator.transport.bounds import check_text

Context = Any
LONGEST_FILTER = 255


class IdentityServicer(pb_grpc.IdentityServiceServicer):
    """Who calls, tokens, joining, the audit trail."""

    def __init__(
        self,
        identity: IdentityService,
        auditor: Auditor,
        projects: ProjectService,
        login: GetLoginResponse,
        keys: StoreKeyService,
    ) -> None:
        self._identity, self._auditor, self._projects = identity, auditor, projects
        self._login, self._keys = login, keys

    async def GetLogin(self, request: Any, context: Context) -> Any:  # noqa: N802
        return mapper.to_message(self._login, pb.GetLoginResponse)

    async def WhoAmI(self, request: Any, context: Context) -> Any:  # noqa: N802
        caller = _caller()
        return pb.WhoAmIResponse(
            subject=caller.subject,
            kind=caller.kind.value,
            roles=sorted(caller.roles),
            projects=sorted(caller.projects),
        )

    async def CreateToken(self, request: Any, context: Context) -> Any:  # noqa: N802
        self._projects.check_known(request.projects, "projects")
        token, secret = await self._identity.create_token(
            request.name,
            tuple(request.roles),
            projects=tuple(request.projects),
            lifetime_s=request.lifetime_seconds,
            created_by=_caller().subject,
        )
        return pb.CreateTokenResponse(token=_token(token), secret=secret)

    async def ListTokens(self, request: Any, context: Context) -> Any:  # noqa: N802
        items, following = page_of(
            self._identity.tokens(), size=page_size(request.page_size), token=request.page_token, of="tokens"
        )
        return pb.ListTokensResponse(tokens=[_token(token) for token in items], next_page_token=following)

    async def RevokeToken(self, request: Any, context: Context) -> Any:  # noqa: N802
        return pb.RevokeTokenResponse(token=_token(await self._identity.revoke_token(request.name)))

    async def JoinRun(self, request: Any, context: Context) -> Any:  # noqa: N802
        await self._identity.join(request.run_id, request.submission, request.code, request.token, peer=context.peer())
        return pb.JoinRunResponse(idle_seconds=int(WORKER_IDLE_S))

    async def GetEvaluatorKeys(self, request: Any, context: Context) -> Any:  # noqa: N802
        return pb.GetEvaluatorKeysResponse(keys=store_keys(await self._keys.of_evaluator()))

    async def ListAuditEvents(self, request: Any, context: Context) -> Any:  # noqa: N802
        check_text("subject", request.subject, LONGEST_FILTER)
        check_text("resource", request.resource, LONGEST_FILTER)
        wanted = _audit_filter(request)
        of = f"audit {hashlib.sha256(repr(wanted).encode()).hexdigest()[:32]}"  # a token has no room for all of it
        page = await self._auditor.page(
            wanted, limit=page_size(request.page_size), below_number=number_of(request.page_token, of=of)
        )
        return pb.ListAuditEventsResponse(
            events=[_event(event) for event in page.items], next_page_token=token_of(page.next_number, of=of)
        )


def _audit_filter(request: Any) -> AuditFilter:
    """Which events are asked for. Raises InvalidInput for an action or outcome that no event has, and for an empty span
    of time: nothing would be found, and that would look like an answer."""
    since_s, until_s = (
        getattr(request, name).ToNanoseconds() / 1e9 if request.HasField(name) else None
        for name in ("start_time", "end_time")
    )
    faults = [
        Violation(field=field, description=mismatch(repr(value), ", ".join(known)))
        for field, value, known in (("action", request.action, ACTIONS), ("outcome", request.outcome, OUTCOMES))
        if value and value not in known
    ]
    if since_s is not None and until_s is not None and since_s >= until_s:
        faults.append(Violation(field="end_time", description=mismatch(until_s, f"a time after {since_s}")))
    if faults:
        raise InvalidInput(faults)
    return AuditFilter(
        subject=request.subject,
        resource=request.resource,
        action=request.action,
        outcome=request.outcome,
        since_s=since_s,
        until_s=until_s,
    )


def _caller() -> Principal:
    """Whose call it is. Raises Unauthenticated outside of the interceptor, which lets nobody in without one."""
    caller = current_principal()
    if caller is None:
        raise Unauthenticated("this call needs a token", reason="TOKEN_MISSING")
    return caller


def timestamp(seconds: float) -> Timestamp:
    """Unix seconds as a protobuf time."""
    message = Timestamp()
    message.FromNanoseconds(round(seconds * 1e9))
    return message


def store_keys(keys: StoreKeys) -> Any:
    """Keys of the store as a message."""
    return pb.StoreKeys(
        access_key=keys.access_key,
        secret_key=keys.secret_key,
        session_token=keys.session_token,
        expire_time=timestamp(keys.expire_s),
    )


def _token(token: ApiToken) -> Any:
    shown = pb.ApiToken(
        name=token.name,
        roles=token.roles,
        projects=token.projects,
        created_by=token.created_by,
        create_time=timestamp(token.created_s),
        expire_time=timestamp(token.expires_s),
    )
    if token.last_used_s is not None:
        shown.last_used_time.CopyFrom(timestamp(token.last_used_s))
    if token.revoked_s is not None:
        shown.revoke_time.CopyFrom(timestamp(token.revoked_s))
    return shown


def _event(event: AuditEvent) -> Any:
    values = {name: value for name, value in vars(event).items() if name != "time_s"}
    return pb.AuditEvent(time=timestamp(event.time_s), **values)
