"""The exception tree of the services. Each error carries a reason, what was got, and what was expected.

    RetainError
    |-- InvalidInput          INVALID_ARGUMENT     every fault of an input at once, each with its field path
    |-- NotFound              NOT_FOUND            the named resource does not exist
    |-- AlreadyExists         ALREADY_EXISTS       the same request id with another body
    |-- FailedPrecondition    FAILED_PRECONDITION  the state forbids it; says what would unlock it
    |   |-- InvalidTransition
    |-- Stale                 ABORTED              an old etag, an old attempt, an old submission: the fence
    |-- Unavailable           UNAVAILABLE          a server of ours cannot be reached now; worth another try
    |   |-- StorageFull       UNAVAILABLE          a disk or a store is full: it continues when there is room
    |   |-- TooManyCalls      RESOURCE_EXHAUSTED   the caller is over its share; says when to try again
    |   |-- TooLate           DEADLINE_EXCEEDED    the call took longer than it may
    |-- Refused               PERMISSION_DENIED    the caller's role does not allow the call
    |   |-- Unauthenticated   UNAUTHENTICATED      nobody knows who calls: no token, or one that is not good
    |-- Corrupt               DATA_LOSS            a hash, a manifest or a stored record does not fit
    |   |-- CheckpointDamaged DATA_LOSS            the files of a checkpoint are not those of its manifest

The second column is the gRPC status code; services/common/grpc/status.py goes from one to the other and back.
"""

from collections.abc import Mapping, Sequence

from retain.values import SpecViolation
from retain.values.faults import mismatch

Violation = SpecViolation  # one fault of an input: the path of the field, and what it got and expected


class RetainError(Exception):
    """Root of the tree. A client may branch on `reason` (UPPER_SNAKE_CASE, stable); `metadata` is for logs."""

    code = "INTERNAL"
    reason = "INTERNAL"

    def __init__(self, message: str, *, reason: str | None = None, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or type(self).reason
        self.metadata = dict(metadata or {})


class InvalidInput(RetainError):
    """The input is wrong. All violations are reported at once, so that a user mends a spec in one go."""

    code = "INVALID_ARGUMENT"
    reason = "INVALID_INPUT"

    def __init__(self, violations: Sequence[Violation], *, reason: str | None = None) -> None:
        self.violations = tuple(violations)
        super().__init__("; ".join(f"{v.field}: {v.description}" for v in self.violations), reason=reason)

    @classmethod
    def at(cls, field: str, description: str) -> "InvalidInput":
        """Of one field alone."""
        return cls([Violation(field=field, description=description)])

    def __reduce__(self) -> tuple[object, ...]:
        """Errors travel between the ranks of a worker group."""
        return _invalid_input, (self.violations, self.reason)


def _invalid_input(violations: Sequence[Violation], reason: str) -> InvalidInput:
    return InvalidInput(violations, reason=reason)


class NotFound(RetainError):
    """The named resource does not exist."""

    code = "NOT_FOUND"
    reason = "NOT_FOUND"


class AlreadyExists(RetainError):
    """The name or request id is taken by something else."""

    code = "ALREADY_EXISTS"
    reason = "ALREADY_EXISTS"


class FailedPrecondition(RetainError):
    """The call is right, the state is not; the message names what would unlock it."""

    code = "FAILED_PRECONDITION"
    reason = "FAILED_PRECONDITION"


class QuotaExceeded(FailedPrecondition):
    """A project has used up what it may use. `metadata` says which quota, its limit, the use, and what was asked."""

    reason = "QUOTA_EXCEEDED"


class InvalidTransition(FailedPrecondition):
    """A run cannot take this step in its present state."""

    reason = "INVALID_TRANSITION"

    def __init__(self, what: str, *, state: str, expected: Sequence[str]) -> None:
        super().__init__(
            f"{what}: {mismatch(f'a run that is {state}', ', '.join(expected))}",
            metadata={"state": state, "allowed": ",".join(expected)},
        )


class Stale(RetainError):
    """The caller holds an old version (etag, attempt, submission). It must not write; it may look again."""

    code = "ABORTED"
    reason = "STALE"


class Unavailable(RetainError):
    """A server of ours cannot be reached at the moment; the same call may succeed later."""

    code = "UNAVAILABLE"
    reason = "UNAVAILABLE"


class StorageFull(Unavailable):
    """There is no room on a disk or in a store. The message is what people are told to make room at."""

    reason = "STORAGE_FULL"


class TooManyCalls(Unavailable):
    """The caller asks for more than its share of the server; the same call is welcome a little later."""

    code = "RESOURCE_EXHAUSTED"
    reason = "TOO_MANY_CALLS"


class TooLate(Unavailable):
    """The call took longer than it may; what it did may still take effect."""

    code = "DEADLINE_EXCEEDED"
    reason = "TOO_LATE"


class Refused(RetainError):
    """The caller is known, but its role does not allow the call."""

    code = "PERMISSION_DENIED"
    reason = "ROLE_REFUSED"


class Unauthenticated(Refused):
    """There is no token, or it is unknown, expired or revoked. A token that is good would be let in."""

    code = "UNAUTHENTICATED"
    reason = "TOKEN_MISSING"


class Corrupt(RetainError):
    """What is stored does not fit its hash, its manifest or its record. It is not used."""

    code = "DATA_LOSS"
    reason = "CORRUPT"


class CheckpointDamaged(Corrupt):
    """The files of a checkpoint are cut, changed or missing, or its manifest is another one than was registered.
    `metadata` names it by `uri` and `manifest_sha256`. A store that is away damages nothing."""

    reason = "CHECKPOINT_DAMAGED"
