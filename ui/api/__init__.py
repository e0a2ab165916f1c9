"""Retain for notebooks and scripts: what `import retain` hands out.

    session = retain.connect("127.0.0.1:7070")
    run = session.submit("my.yaml")

A `Session` does what the command's verbs do, and returns the frozen dataclasses of `ui.client.views`. Nothing here
imports the services or the torch core; pandas is used by the `*_frame` methods only.
"""

import os
from pathlib import Path

from ui.api.session import Inspection, Session
from ui.client.address import Address, checked_server
from ui.client.client import PATIENCE_S, RetainClient
from ui.updates import Update

__all__ = ["Inspection", "Session", "Update", "connect"]


def connect(
    server: str | None = None,
    *,
    evaluator: str | None = None,
    token: str | None = None,
    tls_ca: str | Path | None = None,
    patience_s: float = PATIENCE_S,
) -> Session:
    """A session with a Retain server. It connects at the first call; use it in `with`, or call `close`.

    `server` and `evaluator` are `host:port`; `token` is the bearer token, `tls_ca` a PEM file of certificates (with it
    the connection is encrypted). What is left out is taken from RETAIN_SERVER, RETAIN_EVALUATOR, RETAIN_TOKEN and
    RETAIN_TLS_CA, else from what `retain up` wrote below RETAIN_HOME, else it is 127.0.0.1:7070 and 127.0.0.1:7071. A
    server that goes away while a run is followed is looked for `patience_s` seconds.

    Raises BadInput for an address or a certificate file that is none, and for a token that would travel in plain text.
    """
    given = {
        "RETAIN_SERVER": checked_server(server, "server"),
        "RETAIN_EVALUATOR": checked_server(evaluator, "evaluator"),
        "RETAIN_TOKEN": token,
        "RETAIN_TLS_CA": str(tls_ca) if tls_ca is not None else None,
    }
    address = Address.from_env({**os.environ, **{name: value for name, value in given.items() if value is not None}})
    return Session(RetainClient(address, patience_s=patience_s))
