"""Tokens that somebody named, and that of a local stack: in a file of RETAIN_HOME that its owner alone can read."""

from collections.abc import Mapping
from pathlib import Path

from retain.values.faults import mismatch
from ui.client.errors import BadInput, Violation

FILE = "token"


def named_token(environ: Mapping[str, str]) -> str | None:
    """RETAIN_TOKEN, else the content of RETAIN_TOKEN_FILE; None when neither is set. Raises BadInput for a file that
    cannot be read."""
    if token := environ.get("RETAIN_TOKEN"):
        return token
    named = environ.get("RETAIN_TOKEN_FILE")
    return _read(Path(named)) if named else None


def stack_token(home: Path) -> str | None:
    """The token of the local stack in `home`; None where none was made. Raises BadInput."""
    return _read(home / FILE) if (home / FILE).exists() else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip() or None
    except (OSError, UnicodeDecodeError) as error:
        raise _fault(path, error) from error


def _fault(path: Path, error: Exception) -> BadInput:
    said = mismatch(f"{path}, which cannot be read ({error})", "a file that holds a token")
    return BadInput([Violation(field="RETAIN_TOKEN_FILE", description=said)])
