"""What can go wrong between a person and the services. Each error carries the exit code of the command.

    ClientError               1  the run or the check failed, or the state forbids the call
    |-- BadInput              2  the input is wrong: every fault with its field, what it got and expected
    |-- Unreachable           3  no server answers
    |-- RefusedByServer       4  no token, or a role that does not allow the call
    |-- MissingExtra          1  this machine lacks packages that the call needs; the message names the extra

Exit code 5 (a run that waits for a person) is no error of a call; the command gives it when it stops following.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

EXIT_DONE, EXIT_FAILED, EXIT_BAD_INPUT, EXIT_UNREACHABLE, EXIT_REFUSED, EXIT_SUSPENDED = range(6)


LONGEST_FAULTS, LONGEST_TEXT, LONGEST_FIELD = 4_000, 1_000, 200  # of one error: bytes in all, characters of a part


@dataclass(frozen=True, kw_only=True)
class Violation:
    """One fault of an input: `field` is its path (`stages[1].learning_rate`); then what it got and expected."""

    field: str
    description: str


def shortened(text: str, limit: int = LONGEST_TEXT) -> str:
    """The text, cut with a count of the characters that were left out; half surrogates as escapes."""
    if len(text) > limit:
        text = f"{text[:limit]}... ({len(text) - limit:,} more characters)"
    return text.encode("utf-8", "backslashreplace").decode()


def within_limit(violations: Sequence[Violation]) -> tuple[Violation, ...]:
    """The first violations that fit into LONGEST_FAULTS bytes, each shortened, and one that counts the others."""
    kept: list[Violation] = []
    left = LONGEST_FAULTS
    for number, fault in enumerate(violations):
        cut = Violation(field=shortened(fault.field, LONGEST_FIELD), description=shortened(fault.description))
        left -= len(f"{cut.field}: {cut.description}; ".encode())
        if left < 0 and kept:
            kept.append(Violation(field="(all)", description=f"{len(violations) - number:,} more faults"))
            break
        kept.append(cut)
    return tuple(kept)


class ClientError(Exception):
    """Root of the tree. `reason` is the server's UPPER_SNAKE_CASE reason, where it gave one."""

    exit_code = EXIT_FAILED

    def __init__(self, message: str, *, reason: str = "", metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.violations: tuple[Violation, ...] = ()


class BadInput(ClientError):
    """The input is wrong. Faults are listed, so that all of them can be mended in one go."""

    exit_code = EXIT_BAD_INPUT

    def __init__(
        self, violations: Sequence[Violation] = (), *, message: str = "", reason: str = "INVALID_INPUT"
    ) -> None:
        kept = within_limit(violations)
        super().__init__(shortened(message) or "; ".join(f"{v.field}: {v.description}" for v in kept), reason=reason)
        self.violations = kept


class Unreachable(ClientError):
    """No server answers at the address."""

    exit_code = EXIT_UNREACHABLE


class RefusedByServer(ClientError):
    """The server does not let this caller do this."""

    exit_code = EXIT_REFUSED


class MissingExtra(ClientError):
    """Packages that the call needs are not installed here; the message names the extra that brings them."""
