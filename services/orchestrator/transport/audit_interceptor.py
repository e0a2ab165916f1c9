"""Writes an audit event for each call that changes something or hands something out, whatever comes of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc

from services.common.errors import RetainError
from services.common.grpc.interceptors import Continuation, wrap
from services.common.identity.permissions import METHODS, Permission
from services.common.identity.principal import current_principal
from services.orchestrator.application.audit import AuditEvent, Auditor

AUDITED = frozenset({Permission.WRITE, Permission.EXPORT, Permission.CLEAN, Permission.TOKENS, Permission.PROJECTS})
_LISTS = "List"  # what only reads
OUTCOMES = ("OK", *(code.name for code in grpc.StatusCode if code is not grpc.StatusCode.OK))


def _is_audited(method: str) -> bool:
    return METHODS.get(method) in AUDITED and not method.rpartition("/")[2].startswith(_LISTS)


# What an event may be of; a redemption of a join code that is refused is told by the identity service itself.
ACTIONS = tuple(sorted({"JoinRun", *(method.rpartition("/")[2] for method in METHODS if _is_audited(method))}))
_RESOURCES = ("run_id", "checkpoint_id", "name", "uri", "file_name")


class AuditInterceptor(grpc.aio.ServerInterceptor):
    """Stands inside of the one that maps errors, so that it sees which error it was."""

    def __init__(self, auditor: Auditor) -> None:
        self._auditor = auditor

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = await continuation(handler_call_details)
        action = handler_call_details.method.rpartition("/")[2]
        if handler is None or not _is_audited(handler_call_details.method):
            return handler

        def unary(behaviour: Callable[..., Awaitable[Any]]) -> Any:
            async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
                run_id = getattr(request, "run_id", "")
                before = await self._auditor.state_of(run_id, _changed(request)) if run_id else ""
                outcome, response = "INTERNAL", None
                try:
                    response = await behaviour(request, context)
                    outcome = "OK"
                except RetainError as error:
                    outcome = error.code
                    raise
                finally:
                    await self._record(action, request, response, context.peer(), before, outcome)
                return response

            return call

        return wrap(handler, unary, lambda behaviour: behaviour)

    async def _record(self, action: str, request: Any, response: Any, peer: str, before: str, outcome: str) -> None:
        caller = current_principal()
        resource = next((str(value) for name in _RESOURCES if (value := getattr(request, name, ""))), "")
        created = getattr(getattr(response, "run", None), "id", "")
        named = resource or created or getattr(getattr(request, "spec", None), "name", "")
        run_id = created or getattr(request, "run_id", "")
        after = await self._auditor.state_of(run_id, _changed(request)) if outcome == "OK" else before
        await self._auditor.record(
            AuditEvent(
                time_s=self._auditor.now_s(),
                subject=caller.subject if caller else "",
                kind=caller.kind.value if caller else "",
                peer=peer,
                action=action,
                resource=named,
                outcome=outcome,
                before=before,
                after=after,
            )
        )


def _changed(request: Any) -> Sequence[str]:
    """Paths of the fields that a call changes, where it names some."""
    mask = getattr(request, "update_mask", None)
    return () if mask is None else tuple(mask.paths)
