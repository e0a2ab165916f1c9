"""The exception tree of services/common/errors.py as the status of a call, and a status as an error again.

    server   to_status(error)   code, message, ErrorInfo{reason, metadata}, BadRequest for an invalid input (AIP-193)
    client   error_of(call)     the same error, as far as the wire keeps it

The command has a mapping of its own (ui/client/channel.py): from a status to an exit code and what a person can do.
"""

from collections.abc import Sequence
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from services.common.errors import (
    AlreadyExists,
    Corrupt,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    Refused,
    RetainError,
    Stale,
    Unauthenticated,
    Unavailable,
    Violation,
)

DOMAIN = "retain"
LARGEST_ERROR_BYTES = 2048  # of the message and of the violations each; base64 makes a third more of them
# The class of each status code.
_TREE: tuple[type[RetainError], ...] = (
    InvalidInput,
    NotFound,
    AlreadyExists,
    FailedPrecondition,
    Stale,
    Unavailable,
    Refused,
    Unauthenticated,
    Corrupt,
)
CLASSES: dict[str, type[RetainError]] = {cls.code: cls for cls in _TREE}


def to_status(error: RetainError) -> status_pb2.Status:
    """The `google.rpc.Status` of an error."""
    status = status_pb2.Status(code=code_pb2.Code.Value(error.code), message=_cut(error.message))
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    details: list[Any] = [info]
    if isinstance(error, InvalidInput):
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=v.field, description=v.description)
            for v in _first(error.violations)
        ]
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def error_of(error: grpc.RpcError, *, server: str = "") -> RetainError:
    """The error that a failed call stands for: its class by the code, reason and metadata as the server gave them (the
    class's own reason where it gave none). A code that no class has (too late, cancelled, unknown, internal) is
    Unavailable: the same call may succeed later. `server` is named in the message."""
    code = error.code()
    message = f"{server}: {code.name}: {error.details()}" if server else f"{code.name}: {error.details()}"
    info, violations = details_of(error)
    reason, metadata = (info.reason, dict(info.metadata)) if info is not None else (None, None)
    cls = CLASSES.get(code.name, Unavailable)
    if cls is InvalidInput:
        return InvalidInput(violations or [Violation(field="request", description=message)], reason=reason)
    return cls(message, reason=reason, metadata=metadata)


def details_of(error: grpc.RpcError) -> tuple[error_details_pb2.ErrorInfo | None, list[Violation]]:
    """Reason and metadata that the server attached to the status of a failed call, and the faults of an input."""
    found, violations = None, []
    status = rpc_status.from_call(error)
    for detail in status.details if status is not None else ():
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            found = info
        elif detail.Unpack(bad):
            violations = [Violation(field=v.field, description=v.description) for v in bad.field_violations]
    return found, violations


def _cut(text: str) -> str:
    """A message that fits into the metadata in which it travels (its limit is 8 KB, some of it is others')."""
    if len(text.encode()) <= LARGEST_ERROR_BYTES:
        return text
    kept = text.encode()[:LARGEST_ERROR_BYTES].decode(errors="ignore")
    return f"{kept}... ({len(text)} characters in all)"


def _first(violations: Sequence[Violation]) -> Sequence[Violation]:
    """As many violations as fit, and how many there are in all."""
    left = LARGEST_ERROR_BYTES
    for number, violation in enumerate(violations):
        left -= len(violation.field.encode()) + len(violation.description.encode()) + 8
        if left < 0:
            said = f"{len(violations) - number} more faults are not listed; `retain validate` lists all of them"
            return (*violations[:number], Violation(field="", description=said))
    return violations
