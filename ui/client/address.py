"""Where the services are: RETAIN_SERVER and RETAIN_EVALUATOR, else what `retain up` wrote, else the usual ports."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from retain.values.addresses import ALLOW_PLAIN_TEXT, is_loopback, plain_text_fault
from retain.values.faults import mismatch
from ui.client.errors import BadInput, Violation
from ui.client.local_token import named_token, stack_token
from ui.client.login.store import LoginStore, folder

DEFAULT_ORCHESTRATOR = "127.0.0.1:7070"
DEFAULT_EVALUATOR = "127.0.0.1:7071"
STACK_FILE = "stack.json"


def home_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of the local stack's state: RETAIN_HOME, default `.retain`."""
    return Path(environ.get("RETAIN_HOME") or ".retain")


def read_stack(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Endpoints of the running local stack by name; empty when none was started. Raises BadInput."""
    path = home_folder(environ) / STACK_FILE
    try:
        return {str(name): str(value) for name, value in json.loads(path.read_text()).items() if value}
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError) as error:
        raise BadInput(
            [Violation(field=str(path), description=f"is not the JSON object that `retain up` writes: {error}")]
        ) from error


def checked_server(value: str | None, field: str) -> str | None:
    """The `host:port` that came, or None. Raises BadInput for anything else, such as a URL."""
    host, _, port = (value or "").rpartition(":")
    if value is not None and (not host or "/" in value or not port.isdecimal() or not 0 < int(port) < 65_536):
        said = mismatch(repr(value), "host:port, as in 127.0.0.1:7070")
        raise BadInput([Violation(field=field, description=said)])
    return value


@dataclass(frozen=True, kw_only=True)
class Address:
    """The two services that people talk to, and what it takes to be let in."""

    orchestrator: str = DEFAULT_ORCHESTRATOR
    evaluator: str = DEFAULT_EVALUATOR
    token: str | None = field(default=None, repr=False)
    tls_ca: Path | None = None
    login: bool = False  # without a token: send what `retain login` keeps for this orchestrator
    plain_text: bool = False  # a token may travel without TLS off this machine, too
    project: str = ""  # of what is submitted; empty: the only one that the token may use, or `default`

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> "Address":
        """Reads RETAIN_SERVER, RETAIN_EVALUATOR, RETAIN_TOKEN, RETAIN_TOKEN_FILE, RETAIN_TLS_CA,
        RETAIN_ALLOW_PLAIN_TEXT, RETAIN_PROJECT, the stack file, and whether this user has logged in (`retain login`):
        that counts less than a token that somebody named, and more than the local stack's own.

        An evaluator is taken from the stack file only together with its orchestrator: with RETAIN_SERVER set, the
        evaluator of a local stack would be another house's. The token of a local stack goes to that stack alone, and so
        does the trust in its certificate authority.
        Raises BadInput.
        """
        server = environ.get("RETAIN_SERVER")
        running = read_stack(environ) if not server or is_loopback(server) else {}
        stack = {} if server else running
        orchestrator = server or stack.get("orchestrator") or DEFAULT_ORCHESTRATOR
        is_local_stack = running.get("orchestrator") == orchestrator
        ca = environ.get("RETAIN_TLS_CA") or (running.get("ca") if is_local_stack else None)
        if ca and not Path(ca).is_file():
            said = mismatch(f"{ca}, which is no file", "a PEM file of certificates")
            raise BadInput([Violation(field="RETAIN_TLS_CA", description=said)])
        token = named_token(environ)
        login = token is None and LoginStore(folder(environ)).holds(orchestrator)
        if token is None and not login and is_local_stack:
            token = stack_token(home_folder(environ))
        return cls(
            orchestrator=orchestrator,
            evaluator=environ.get("RETAIN_EVALUATOR") or stack.get("evaluator") or DEFAULT_EVALUATOR,
            token=token,
            login=login,
            tls_ca=Path(ca) if ca else None,
            plain_text=environ.get(ALLOW_PLAIN_TEXT) == "1",
            project=environ.get("RETAIN_PROJECT") or "",
        )

    @property
    def is_loopback(self) -> bool:
        """Whether the orchestrator runs on this machine, so that it sees the same files."""
        return is_loopback(self.orchestrator)


def check_plain_text(target: str, address: Address) -> None:
    """Raises BadInput when the token would travel to `target` in plain text over a network."""
    if address.tls_ca or not (address.token or address.login):
        return
    if said := plain_text_fault(target, "1" if address.plain_text else None):
        raise BadInput([Violation(field="RETAIN_TLS_CA", description=said)])
