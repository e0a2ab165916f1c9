"""A token in a file of its owner alone: made once, whole from the start, and the same for everybody who reads it."""

import os
import secrets
from pathlib import Path

from services.common.errors import FailedPrecondition, Unavailable
from services.common.identity.tokens import SHORTEST_TOKEN, new_token


def read_or_make(path: Path) -> str:
    """The token in `path`, made at the first call: mode 600, and of several who make it at once all read the same.

    Raises FailedPrecondition for a file that others may read or that holds no token, Unavailable when the disk refuses.
    """
    try:
        if not path.exists():
            _make(path)
        mode, token = path.stat().st_mode, path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(f"the token file {path} cannot be read or made: {error}", reason="TOKEN_FILE") from error
    if mode & 0o077:
        raise FailedPrecondition(
            f"others may read the token file {path} (mode {mode & 0o777:03o}); remove it, and a new token is made",
            reason="TOKEN_FILE",
        )
    if len(token) < SHORTEST_TOKEN:
        raise FailedPrecondition(
            f"the token file {path} holds {len(token)} characters; expected {SHORTEST_TOKEN} or more: remove it, "
            "and a new token is made",
            reason="TOKEN_FILE",
        )
    return token


def _make(path: Path) -> None:
    """Write beside and link: the name appears with the whole content, or stays whoever's was first."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(new_token())
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(beside, path)
        except FileExistsError:
            return
    finally:
        beside.unlink()
