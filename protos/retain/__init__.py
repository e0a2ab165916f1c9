"""Retain from Python: connect to a server, submit pipelines, follow them, read what was measured.

    import retain

    with retain.connect("127.0.0.1:7070") as session:
        run = session.submit("my.yaml")
        for update in session.follow(run):
            print(update.run.state, [decision.message for decision in update.decisions])
        frame = session.history_frame(run)

Everything that `__all__` names is loaded when it is first used: a service that imports the generated code below this
package (`retain.types.v1`, `retain.orchestrator.v1`, `retain.evaluator.v1`) gets that and nothing else. The guide is
`retain learn python`.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ui.api import Inspection, Session, Update, connect
    from ui.client.errors import BadInput, ClientError, MissingExtra, RefusedByServer, Unreachable, Violation
    from ui.client.views import (
        Checkpoint,
        CheckpointRef,
        Decision,
        ForgettingRecord,
        ForgettingScore,
        LogText,
        Plan,
        PlannedStage,
        Run,
        RunStatus,
        SetResult,
        Stage,
    )

__version__ = "0.1.0"

__all__ = [
    "BadInput",
    "Checkpoint",
    "CheckpointRef",
    "ClientError",
    "Decision",
    "ForgettingRecord",
    "ForgettingScore",
    "Inspection",
    "LogText",
    "MissingExtra",
    "Plan",
    "PlannedStage",
    "RefusedByServer",
    "Run",
    "RunStatus",
    "Session",
    "SetResult",
    "Stage",
    "Unreachable",
    "Update",
    "Violation",
    "__version__",
    "connect",
]
_ERRORS = {"BadInput", "ClientError", "MissingExtra", "RefusedByServer", "Unreachable", "Violation"}
_API = {"Inspection", "Session", "Update", "connect"}


def __getattr__(name: str) -> Any:
    """The public names, on first use. Raises ImportError where another package named `ui` hides Retain's own."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "ui.api" if name in _API else "ui.client.errors" if name in _ERRORS else "ui.client.views"
    try:
        value = getattr(import_module(home), name)
    except ModuleNotFoundError as error:
        if error.name not in {"ui", *(f"ui.{part}" for part in ("api", "client", "client.errors", "client.views"))}:
            raise
        raise ImportError(_why_not(name)) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _why_not(name: str) -> str:
    try:
        found = import_module("ui")
    except ModuleNotFoundError:
        return f"retain.{name}: the client is not part of this installation; `pip install retain` brings it"
    place = found.__file__ or next(iter(found.__path__), "?")
    return f"retain.{name}: {Path(place)} hides Retain's own package `ui`; give it another name, or work elsewhere"
