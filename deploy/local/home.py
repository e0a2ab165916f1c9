"""RETAIN_HOME: the folder of the local stack, its files, its secrets and the one record of what is running."""

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """Keys of the object store and the token of Ray; made once for each home and never printed."""

    access_key: str
    secret_key: str
    ray_token: str


class AlreadySupervised(RuntimeError):
    """Another supervisor holds this home."""


@dataclass(frozen=True, kw_only=True)
class Home:
    """Paths in RETAIN_HOME. `path` is absolute."""

    path: Path

    @classmethod
    def from_environment(cls) -> "Home":
        """RETAIN_HOME, or `.retain` in the working directory."""
        return cls(path=Path(os.environ.get("RETAIN_HOME") or ".retain").absolute())

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
    def scratch(self) -> Path:
        """A short path for sockets (a Unix socket's path has at most 107 bytes), one for each home and user."""
        digest = hashlib.sha256(str(self.path).encode()).hexdigest()[:10]
        return Path(tempfile.gettempdir()) / f"retain-{os.getuid()}-{digest}"

    def prepare(self) -> None:
        """Make the folders, readable by their owner only."""
        for folder in (self.path, self.logs, self.objects, self.scratch):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.scratch.is_symlink() or self.scratch.stat().st_uid != os.getuid():
            raise RuntimeError(f"{self.scratch} belongs to somebody else; set TMPDIR to a folder of your own")

    def log_file(self, name: str) -> Path:
        """The log of one program."""
        return self.logs / f"{name}.log"

    def tail(self, name: str, lines: int = 15) -> str:
        """The last lines of a program's log; empty when it has none."""
        try:
            text = self.log_file(name).read_text(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def credentials(self) -> Credentials:
        """The secrets of this home, made at the first call."""
        stored = self._read("credentials.json")
        if "access_key" not in stored:
            stored = {"access_key": f"retain-{secrets.token_hex(6)}", "secret_key": secrets.token_urlsafe(30)}
            write_private(self.path / "credentials.json", json.dumps(stored, indent=2))
        if not self.ray_token_file.exists():
            write_private(self.ray_token_file, secrets.token_hex(32))
        return Credentials(
            access_key=stored["access_key"],
            secret_key=stored["secret_key"],
            ray_token=self.ray_token_file.read_text().strip(),
        )

    def read_ports(self) -> dict[str, int]:
        """Ports of the last start by name; empty before the first."""
        return {name: int(port) for name, port in self._read("ports.json").items()}

    def write_ports(self, ports: Mapping[str, int]) -> None:
        write_private(self.path / "ports.json", json.dumps(dict(ports), indent=2))

    def write_stack(self, endpoints: Mapping[str, str]) -> None:
        """Tell clients where the services are."""
        write_private(self.path / "stack.json", json.dumps(dict(endpoints), indent=2))

    def read_record(self) -> dict[str, Any]:
        """What the supervisor last said of its programs; empty when nothing runs. May be stale: check the pids."""
        return self._read("processes.json")

    def write_record(self, record: Mapping[str, Any]) -> None:
        write_private(self.path / "processes.json", json.dumps(dict(record), indent=2))

    def forget(self) -> None:
        """Nothing runs any more: remove both records. Ports, secrets, logs and data stay."""
        (self.path / "stack.json").unlink(missing_ok=True)
        (self.path / "processes.json").unlink(missing_ok=True)

    @contextlib.contextmanager
    def supervised(self) -> Iterator[None]:
        """Hold the one supervisor's place. The kernel frees it when the holder dies. Raises AlreadySupervised."""
        with (self.path / "supervisor.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AlreadySupervised(f"{self.path} has a supervisor already") from None
            yield

    def _read(self, name: str) -> dict[str, Any]:
        try:
            record = json.loads((self.path / name).read_text())
        except FileNotFoundError:
            return {}
        except json.JSONDecodeError as error:
            raise RuntimeError(f"{self.path / name} is damaged ({error}); remove it and start again") from None
        if not isinstance(record, dict):
            raise RuntimeError(f"{self.path / name} is damaged: not an object; remove it and start again")
        return record


def write_private(path: Path, text: str) -> None:
    """Replace `path` at once, so that no reader sees half a file; mode 600 from its first byte."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    partial.replace(path)
