"""The token of a local stack: in a file of RETAIN_HOME that its owner alone can read."""

from collections.abc import Mapping
from pathlib import Path

from ui.client.errors import BadInput, Violation

FILE = "token"


def token_of(environ: Mapping[str, str], home: Path, *, is_local_stack: bool) -> str | None:
    """RETAIN_TOKEN, else the content of RETAIN_TOKEN_FILE, else the token of the local stack in `home` when that is who
    is called; None when there is none. Raises BadInput for a file that cannot be read."""
    if token := environ.get("RETAIN_TOKEN"):
        return token
    named = environ.get("RETAIN_TOKEN_FILE")
    path = Path(named) if named else home / FILE
    if not named and not is_local_stack:
        return None
    try:
        return path.read_text().strip() or None
    except FileNotFoundError as error:
        if not named:
            return None
        raise _fault(path, error) from error
    except (OSError, UnicodeDecodeError) as error:
        raise _fault(path, error) from error


def _fault(path: Path, error: Exception) -> BadInput:
    said = f"{path} cannot be read ({error}); a file that holds a token is allowed"
    return BadInput([Violation(field="RETAIN_TOKEN_FILE", description=said)])
