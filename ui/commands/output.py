"""Where the command writes: JSON or tables on standard output, messages on standard error.

With `--json` standard output carries one JSON document (one a line for streams) and nothing else, errors included:
`{"error": {"reason", "message", "violations"}}`.
"""

import dataclasses
import json
import sys
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ui.client.errors import BadInput, ClientError, Violation

if TYPE_CHECKING:
    from rich.console import Console

_JSON = "retain.json"


def _remember(ctx: typer.Context, value: bool) -> bool:
    ctx.meta[_JSON] = value
    return value


JsonFlag = Annotated[
    bool, typer.Option("--json", help="Print JSON for programs; messages go to standard error.", callback=_remember)
]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Id of the run, as `retain list` shows it.")]


def console() -> "Console":
    """Standard output, for people."""
    from rich.console import Console

    return Console(file=sys.stdout)


def messages() -> "Console":
    """Standard error, for people."""
    from rich.console import Console

    return Console(file=sys.stderr, stderr=False)


def say(text: str) -> None:
    """A message on standard error."""
    messages().print(text, soft_wrap=True, highlight=False, markup=False)


def plain(value: Any) -> Any:
    """Data classes, tuples and times as JSON can hold them; a view's `resource` stands for itself."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        resource = getattr(value, "resource", None)
        if resource:
            return resource
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, float) and value != value:
        return "NaN"
    if isinstance(value, float) and value in {float("inf"), float("-inf")}:
        return "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Enum):
        return str(value) if value else ""  # UNSPECIFIED is nothing to read
    return value.isoformat() if isinstance(value, datetime) else value


def emit(value: Any) -> None:
    """One JSON document on one line."""
    sys.stdout.write(json.dumps(plain(value), ensure_ascii=False) + "\n")
    sys.stdout.flush()


def show_violations(violations: tuple[Violation, ...]) -> None:
    """Faults on standard error, one a line."""
    for violation in violations:
        say(f"  {violation.field}: {violation.description}")


def fail(ctx: typer.Context, error: ClientError) -> typer.Exit:
    """Reports the error and returns the exit that the command is to raise."""
    if ctx.meta.get(_JSON):
        violations = [{"field": v.field, "description": v.description} for v in error.violations]
        emit({"error": {"reason": error.reason, "message": error.message, "violations": violations}})
    if error.violations:
        say("error: the input is wrong" if len(error.violations) > 1 else "error:")
        show_violations(error.violations)
    if not error.violations or not isinstance(error, BadInput):
        say(f"error: {error.message}")
    return typer.Exit(error.exit_code)
