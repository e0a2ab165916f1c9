"""Who calls: a principal, its roles, and the one of the call that is under way."""

from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum


class Role(StrEnum):
    """What a principal is allowed as a whole; services/common/identity/permissions.py says what each may do."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"
    SERVICE = "service"
    WORKER = "worker"


DEFAULT_PROJECT = "default"  # of callers, runs and files for which nobody named another
# Those that a person gives to a token; the others belong to parts of the platform.
GRANTABLE = frozenset({Role.VIEWER, Role.OPERATOR, Role.ADMIN})
# Those whose holders may use every project.
EVERYWHERE = frozenset({Role.ADMIN, Role.SERVICE})


class Kind(StrEnum):
    """What sort of caller it is, for the audit trail."""

    USER = "user"
    TOKEN = "token"
    SERVICE = "service"
    WORKER = "worker"


@dataclass(frozen=True, kw_only=True)
class Principal:
    """A known caller. `subject` names it in logs and in the audit trail; a worker has one run and submission.
    `projects` are those that it may use; admins and services may use all of them, whatever is listed."""

    subject: str
    kind: Kind
    roles: frozenset[Role] = field(default_factory=frozenset)
    projects: frozenset[str] = frozenset({DEFAULT_PROJECT})
    run_id: str = ""
    submission: int = 0

    @property
    def visible_projects(self) -> frozenset[str] | None:
        """The projects whose things it may see; None for all."""
        return self.projects if self.roles.isdisjoint(EVERYWHERE) else None


_CURRENT: ContextVar[Principal | None] = ContextVar("principal", default=None)


def current_principal() -> Principal | None:
    """Whose call is being answered; None for a call that needs no token, and outside of calls."""
    return _CURRENT.get()


def set_current_principal(principal: Principal | None) -> None:
    """For the interceptor: each call is a task of its own, so that what is set here is seen by that call alone."""
    _CURRENT.set(principal)
