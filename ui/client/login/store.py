"""Where logins are kept: in the keyring of the operating system where one works, else in a file of mode 600.

The file is `credentials.json` in the user's configuration folder (XDG_CONFIG_HOME, else ~/.config) under `retain`, so
that every client of the same user finds it. It also says which logins are in the keyring: who never logged in never
loads it.
"""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ui.client.errors import ClientError
from ui.client.login.value import Login

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

FILE = "credentials.json"
SERVICE = "retain"  # name of the entry in the keyring; its user name is the server
_IN_KEYRING = "keyring"


def folder(environ: Mapping[str, str] = os.environ) -> Path:
    """The user's configuration folder for Retain."""
    return Path(environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")) / "retain"


class LoginStore:
    """Logins by server. Raises ClientError for a file that others may read or that is none of ours."""

    def __init__(self, where: Path | None = None) -> None:
        self._file = (where or folder()) / FILE

    def holds(self, server: str) -> bool:
        """Whether there is a login for the server."""
        return server in self._read()

    def get(self, server: str) -> Login | None:
        """None for a server without one."""
        kept = self._read().get(server)
        if kept == _IN_KEYRING:
            kept = _from_keyring(server)
        try:
            return Login(**kept) if isinstance(kept, dict) else None
        except TypeError as error:
            raise self._fault(f"holds no login of this version for {server}") from error

    def put(self, login: Login) -> str:
        """Keep it; says where: `the keyring` or the file's name."""
        body = asdict(login)
        in_keyring = _to_keyring(login.server, body)
        self._write(self._read() | {login.server: _IN_KEYRING if in_keyring else body})
        return "the keyring" if in_keyring else str(self._file)

    def remove(self, server: str) -> None:
        """Nothing of it is left."""
        kept = self._read()
        if kept.pop(server, None) == _IN_KEYRING:
            _out_of_keyring(server)
        self._write(kept)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One process at a time: refresh tokens are good once."""
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(self._file.with_suffix(".lock"), "w") as held:
            if fcntl is not None:
                fcntl.flock(held, fcntl.LOCK_EX)
            yield

    def _read(self) -> dict[str, Any]:
        try:
            if os.name == "posix" and self._file.stat().st_mode & 0o077:
                raise self._fault("may be read by others; remove it and log in again")
            kept = json.loads(self._file.read_text())
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError) as error:
            raise self._fault(f"cannot be read ({error})") from error
        if not isinstance(kept, dict):
            raise self._fault("is not the JSON object that `retain login` writes")
        return kept

    def _write(self, kept: dict[str, Any]) -> None:
        """Whole or not at all, and never readable by others."""
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, beside = tempfile.mkstemp(dir=self._file.parent, prefix=f".{FILE}.")  # mode 600
        try:
            with os.fdopen(descriptor, "w") as file:
                json.dump(kept, file, indent=1)
            os.replace(beside, self._file)
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise

    def _fault(self, what: str) -> ClientError:
        return ClientError(f"the file of logins {self._file} {what}", reason="LOGIN_STORE")


def _to_keyring(server: str, body: dict[str, Any]) -> bool:
    """Whether it is there afterwards: a keyring may be missing, locked, or take everything and keep nothing."""
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return False
    text = json.dumps(body)
    try:
        keyring.set_password(SERVICE, server, text)
        return bool(keyring.get_password(SERVICE, server) == text)
    except KeyringError:
        return False


def _from_keyring(server: str) -> Any:
    try:
        import keyring
        from keyring.errors import KeyringError

        return json.loads(keyring.get_password(SERVICE, server) or "null")
    except (ImportError, KeyringError, ValueError) as error:
        said = f"the keyring does not give the login for {server} ({error}); `retain login` makes a new one"
        raise ClientError(said, reason="LOGIN_STORE") from error


def _out_of_keyring(server: str) -> None:
    try:
        import keyring
        from keyring.errors import KeyringError

        keyring.delete_password(SERVICE, server)
    except (ImportError, KeyringError) as error:
        said = f"the keyring does not give up the login for {server} ({error}); remove its entry {SERVICE!r} there"
        raise ClientError(said, reason="LOGIN_STORE") from error
