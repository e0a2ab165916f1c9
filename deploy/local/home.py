"""RETAIN_HOME: the folder of the local stack, its files, its secrets and the one record of what is running."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import secrets
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from deploy.local.processes import Identity
from services.common.errors import RetainError
from services.common.identity.settings import SERVICE_TOKEN_FILE, USER_TOKEN_FILE
from services.common.identity.token_file import read_or_make

AGAIN = "remove it and start again"
ROOM_BYTES = 262_144  # for records and the first lines of logs


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """Keys of the object store and the token of Ray; made once for each home and never printed."""

    access_key: str
    secret_key: str
    ray_token: str


class AlreadySupervised(RuntimeError):
    """Another supervisor holds this home."""


class Damaged(RuntimeError):
    """A file of this home cannot be read as what it is; the message names it and says what to do."""


@dataclass(frozen=True, kw_only=True)
class Home:
    """Paths in RETAIN_HOME. `path` is absolute."""

    path: Path

    @classmethod
    def from_environment(cls) -> "Home":
        """RETAIN_HOME, or `.retain` in the working directory."""
        return cls.at(Path(os.environ.get("RETAIN_HOME") or ".retain"))

    @classmethod
    def at(cls, path: Path) -> "Home":
        """The home at a path. By whichever links one comes to a folder, it is the same home."""
        return cls(path=path.resolve())

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def objects(self) -> Path:
        return self.path / "objects"

    @property
    def database_url(self) -> str:
        return f"sqlite:///{self.path / 'retain.db'}"

    @property
    def ray_token_file(self) -> Path:
        return self.path / "ray_token"

    @property
    def user_token_file(self) -> Path:
        """What clients of this user send; the services know it from here."""
        return self.path / USER_TOKEN_FILE

    @property
    def panel_cookie_file(self) -> Path:
        """What the panel's cookies are encrypted with: another start of it knows who was logged in."""
        return self.path / "panel_cookie_secret"

    @property
    def scratch(self) -> Path:
        """A short path for sockets (a Unix socket's path has at most 107 bytes), one for each home and user."""
        digest = hashlib.sha256(str(self.path).encode()).hexdigest()[:10]
        return Path(tempfile.gettempdir()) / f"retain-{os.getuid()}-{digest}"

    def prepare(self) -> None:
        """Make the folders, for their owner only. Raises Damaged, or OSError that says where the disk is full."""
        for folder in (self.path, self.logs, self.objects, self.scratch):
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            except FileExistsError:
                raise Damaged(f"{folder} is not a folder; set RETAIN_HOME to one, or move the file away") from None
        if self.scratch.is_symlink() or self.scratch.stat().st_uid != os.getuid():
            raise RuntimeError(f"{self.scratch} belongs to somebody else; set TMPDIR to a folder of your own")
        # On a full disk no program could even say in its log why it ends.
        write_private(self.path / "room", "." * ROOM_BYTES)
        (self.path / "room").unlink(missing_ok=True)

    def mark(self, name: str) -> str:
        """What a program of this home carries in its environment: unique to home and program."""
        return f"{self.path}:{name}"

    def log_file(self, name: str) -> Path:
        """The log of one program."""
        return self.logs / f"{name}.log"

    def tail(self, name: str, lines: int = 15) -> str:
        """The last lines of a program's log; empty when it has none."""
        try:
            text = self.log_file(name).read_text(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def credentials(self) -> Credentials:
        """The secrets of this home, made at the first call. Raises Damaged."""
        stored = self._read("credentials.json")
        if not stored:
            stored = {"access_key": f"retain-{secrets.token_hex(6)}", "secret_key": secrets.token_urlsafe(30)}
            write_private(self.path / "credentials.json", json.dumps(stored, indent=2))
        if not all(isinstance(stored.get(key), str) and stored[key] for key in ("access_key", "secret_key")):
            raise Damaged(f"{self.path / 'credentials.json'} is damaged: {AGAIN}")
        if not self.ray_token_file.exists():
            write_private(self.ray_token_file, secrets.token_hex(32))
        token = self._text("ray_token").strip()
        if not token:
            raise Damaged(f"{self.ray_token_file} is damaged: empty; remove it and start again")
        for file in (self.path / USER_TOKEN_FILE, self.path / SERVICE_TOKEN_FILE, self.panel_cookie_file):
            try:
                read_or_make(file)
            except RetainError as error:
                raise Damaged(error.message) from error
        return Credentials(access_key=stored["access_key"], secret_key=stored["secret_key"], ray_token=token)

    def read_ports(self) -> dict[str, int]:
        """Ports of the last start by name; empty before the first. Raises Damaged."""
        ports = self._read("ports.json")
        if not all(isinstance(port, int) and 0 < port < 65536 for port in ports.values()):
            raise Damaged(f"{self.path / 'ports.json'} is damaged: ports expected; remove it and start again")
        return ports

    def write_ports(self, ports: Mapping[str, int]) -> None:
        write_private(self.path / "ports.json", json.dumps(dict(ports), indent=2))

    def write_stack(self, endpoints: Mapping[str, str]) -> None:
        """Tell clients where the services are."""
        write_private(self.path / "stack.json", json.dumps(dict(endpoints), indent=2))

    def read_stack(self) -> dict[str, str]:
        """Endpoints by name, as clients read them; empty when nothing runs. Raises Damaged."""
        return {name: str(where) for name, where in self._read("stack.json").items()}

    def read_record(self) -> dict[str, Any]:
        """What the supervisor last said of its programs; empty when nothing runs. May be stale: check the pids.

        Raises Damaged; what runs is still known by its marks, so that `down` ends it.
        """
        record = self._read("processes.json", mend="`retain down` ends what runs and removes it")
        try:
            entries = dict(record.get("processes", {}))
            for entry in [record["supervisor"]] if record.get("supervisor") else []:
                Identity.parse(entry)
            for entry in entries.values():
                if not isinstance(entry["state"], str):
                    raise TypeError("a state")
                if "pid" in entry:
                    Identity.parse(entry)
        except (KeyError, TypeError, ValueError) as error:
            raise Damaged(
                f"{self.path / 'processes.json'} is damaged ({error!r}); `retain down` ends what runs and removes it"
            ) from None
        return record

    def write_record(self, record: Mapping[str, Any]) -> None:
        write_private(self.path / "processes.json", json.dumps(dict(record), indent=2))

    def forget(self) -> None:
        """Nothing runs any more: remove both records. Ports, secrets, logs and data stay."""
        (self.path / "stack.json").unlink(missing_ok=True)
        (self.path / "processes.json").unlink(missing_ok=True)

    @contextlib.contextmanager
    def supervised(self, *, patience_s: float = 1.0) -> Iterator[None]:
        """Hold the one supervisor's place. The kernel frees it when the holder dies, so no lock is ever stale.

        Raises AlreadySupervised when it is taken; somebody who only looks whether it is holds it for a moment.
        """
        deadline = time.monotonic() + patience_s
        with (self.path / "supervisor.lock").open("w") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise AlreadySupervised(f"{self.path} has a supervisor already") from None
                    time.sleep(0.02)
            self._sweep()
            yield

    def is_supervised(self) -> bool:
        """Whether a supervisor holds its place, also one that has not written its record yet."""
        try:
            with (self.path / "supervisor.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def _sweep(self) -> None:
        """Halves of files whose writer was killed."""
        for half in self.path.glob(".*.half"):
            pid = half.name.split(".")[-2]
            if pid.isdigit() and not psutil.pid_exists(int(pid)):
                half.unlink(missing_ok=True)

    def _text(self, name: str, *, mend: str = AGAIN) -> str:
        try:
            return (self.path / name).read_text()
        except FileNotFoundError:
            raise
        except (OSError, UnicodeDecodeError) as error:
            raise Damaged(f"{self.path / name} cannot be read ({error}); {mend}") from None

    def _read(self, name: str, *, mend: str = AGAIN) -> dict[str, Any]:
        try:
            record = json.loads(self._text(name, mend=mend))
        except FileNotFoundError:
            return {}
        except (ValueError, RecursionError) as error:
            raise Damaged(f"{self.path / name} is damaged ({error}); {mend}") from None
        if not isinstance(record, dict):
            raise Damaged(f"{self.path / name} is damaged: not an object; {mend}")
        return record


def write_private(path: Path, text: str) -> None:
    """Replace `path` at once, so that nobody reads half a file, also after a power cut; mode 600 from the start.

    Raises OSError that names the path; then the old content stays.
    """
    half = path.with_name(f".{path.name}.{threading.get_ident()}.{os.getpid()}.half")
    try:
        descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        half.replace(path)
    except OSError as error:
        half.unlink(missing_ok=True)
        raise OSError(error.errno, explained(error), str(path)) from error


def explained(error: OSError) -> str:
    """What a person reads; a full disk is the one that they can mend."""
    return "disk full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else str(error.strerror or error)
