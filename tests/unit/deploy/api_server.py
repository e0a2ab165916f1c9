"""A Kubernetes API server that knows secrets only: over TLS, with a token, and with the answers of the real one."""

import contextlib
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from deploy.bootstrap import Api
from deploy.certificates import Authority

PREFIX = "/api/v1/namespaces/here/secrets"


@dataclass
class Cluster:
    """What the server holds, what it was asked, and the answers that it owes before it continues as usual."""

    secrets: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    owed: list[int] = field(default_factory=list)
    token: str = "of-the-account"
    # Secrets that somebody else creates between the look and the creation.
    racing: dict[str, dict[str, Any]] = field(default_factory=dict)


@contextlib.contextmanager
def served(cluster: Cluster, folder: Path) -> Iterator[Api]:
    """The server on a port of its own, and a client with the files of a service account in `folder`."""
    authority = Authority.new("cluster")
    pair = authority.issue("kubernetes")
    (folder / "server.pem").write_bytes(pair.certificate + pair.key)
    (folder / "ca.crt").write_bytes(authority.pem)
    (folder / "token").write_text(cluster.token)
    (folder / "namespace").write_text("here\n")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(cluster))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    env = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(server.server_port)}
    try:
        yield Api.in_cluster(env, folder)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(cluster: Cluster) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Silence: the tests look at `asked`."""

        def do_GET(self) -> None:
            name = self._admitted()
            if name is not None:
                found = cluster.secrets.get(name)
                self._answer(200 if found else 404, found or {"message": f'secrets "{name}" not found'})

        def do_POST(self) -> None:
            if self._admitted() is None:
                return
            body = self._body()
            name = body["metadata"]["name"]
            if name in cluster.racing:
                cluster.secrets[name] = cluster.racing.pop(name)
            if name in cluster.secrets:
                self._answer(409, {"message": f'secrets "{name}" already exists'})
                return
            cluster.secrets[name] = body
            self._answer(201, body)

        def do_PATCH(self) -> None:
            name = self._admitted()
            if name is None:
                return
            assert self.headers["Content-Type"] == "application/merge-patch+json"
            cluster.secrets[name] = _merged(cluster.secrets[name], self._body())
            self._answer(200, cluster.secrets[name])

        def _admitted(self) -> str | None:
            """The secret's name; None when it was refused already."""
            cluster.asked.append(f"{self.command} {self.path}")
            if cluster.owed:
                self._answer(cluster.owed.pop(0), {"message": "as the test wants it"})
            elif self.headers["Authorization"] != f"Bearer {cluster.token}":
                self._answer(401, {"message": "Unauthorized"})
            elif not self.path.startswith(PREFIX):
                self._answer(403, {"message": "another namespace"})
            else:
                return self.path.removeprefix(PREFIX).lstrip("/")
            return None

        def _body(self) -> dict[str, Any]:
            body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            return body

        def _answer(self, code: int, body: dict[str, Any]) -> None:
            text = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    return Handler


def _merged(old: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """RFC 7386, without removals."""
    new = dict(old)
    for key, value in patch.items():
        new[key] = _merged(new.get(key, {}), value) if isinstance(value, dict) else value
    return new
