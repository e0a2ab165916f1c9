"""Who did what: written after each call that changes something, and never changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from services.common.errors import RetainError
from services.common.logging import get_logger
from services.orchestrator.application.ports import Page
from services.orchestrator.application.run_store import RunStore
from services.orchestrator.domain.spec.update import may_change, value_at

LONGEST = 255  # characters of a text in an event
log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class AuditEvent:
    """One act. `time_s` is Unix seconds; `outcome` is OK or the code of the refusal; `number` is given when stored."""

    time_s: float
    subject: str
    kind: str
    peer: str
    action: str
    resource: str
    outcome: str
    before: str = ""
    after: str = ""
    number: int = 0


@dataclass(frozen=True, kw_only=True)
class AuditFilter:
    """Which events: empty texts are all; from `since_s` on and before `until_s` (Unix seconds), None for no end."""

    subject: str = ""
    resource: str = ""
    action: str = ""
    outcome: str = ""
    since_s: float | None = None
    until_s: float | None = None


class AuditRecords(Protocol):
    """Where events are kept. All methods block and raise Unavailable."""

    def append_audit(self, event: AuditEvent) -> None:
        """Add one."""
        ...

    def list_audit(self, wanted: AuditFilter, *, limit: int, below_number: int | None) -> Page[AuditEvent]:
        """Newest first."""
        ...


class Auditor:
    """Writes and lists events."""

    def __init__(self, run_store: RunStore, records: AuditRecords) -> None:
        self._run_store, self._records = run_store, records

    async def record(self, event: AuditEvent) -> None:
        """Append. What was done is done: a database that is away costs the row, and the log has it then."""
        try:
            await self._run_store.read(self._records.append_audit, event)
        except Exception as error:  # noqa: BLE001 - whatever it is, the call that was answered stays answered
            log.error("an audit event was not written", error=repr(error), **vars(event))

    async def state_of(self, run_id: str, paths: Sequence[str] = ()) -> str:
        """The state of a run and what its spec has at `paths`, for `before` and `after`; empty when there is none, or
        none that can be read."""
        try:
            run = await self._run_store.get(run_id)
        except RetainError:
            return ""
        told = (f"{path}: {value_at(run.spec, path)}" for path in paths if may_change(path))
        return "; ".join([run.status.value, *told])

    async def page(self, wanted: AuditFilter, *, limit: int, below_number: int | None = None) -> Page[AuditEvent]:
        """A page of events, newest first."""
        return await self._run_store.read(self._records.list_audit, wanted, limit=limit, below_number=below_number)

    def now_s(self) -> float:
        """Unix seconds."""
        return self._run_store.clock.now_s()
