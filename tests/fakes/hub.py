"""A hub of data sets on a local port: the part of the Hugging Face hub's HTTP interface that its clients use to read.

Repositories are folders of bytes in several revisions; a request names a branch or a commit. What a test needs of a bad
day is scripted: a token that is asked for, "too many requests", a body that is cut in the middle, a place that answers
nothing. `HF_ENDPOINT` points the clients here.
"""

import hashlib
import http.server
import json
import re
import threading
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.ports import free_port

_API = re.compile(r"/api/datasets/(?P<repo>[^/]+/[^/]+)(?:/(?P<what>revision|tree|paths-info)/(?P<rest>.*))?$")
_FILE = re.compile(r"/datasets/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)$")


@dataclass
class Repository:
    """Files by commit, oldest first; `main` is the newest. `token`: who wants to read must send it."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    token: str | None = None

    def commit(self, files: dict[str, bytes]) -> str:
        """A new revision; its name."""
        name = hashlib.sha1(json.dumps([len(self.commits), sorted(files)]).encode()).hexdigest()
        self.commits[name] = files
        return name

    @property
    def main(self) -> str:
        return next(reversed(self.commits))

    def resolve(self, revision: str) -> str | None:
        name = self.main if revision == "main" else revision
        return name if name in self.commits else None


class Hub:
    """The server. `requests` are those that came: method, path, range, token."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.requests: list[tuple[str, str, str, str]] = []
        self.too_many = 0  # so many answers to requests for files are 429
        self.cut = 0  # so many bodies end in their middle
        self.cut_at = 0.5
        self.pause_s = 0.0  # before every byte of a body
        self._lock = threading.Lock()
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> "Hub":
        self._thread.start()
        return self

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, name: str, files: dict[str, bytes], *, token: str | None = None) -> str:
        """A data set, or its next revision; the commit's name."""
        repository = self.repositories.setdefault(name, Repository(token=token))
        return repository.commit(files)

    def files_asked_for(self) -> list[str]:
        """Paths of the files whose bytes were asked for."""
        return [path for method, path, _, _ in self.requests if method == "GET" and "/resolve/" in path]

    def take(self, name: str) -> bool:
        """One of the scripted faults, if any is left."""
        with self._lock:
            left = getattr(self, name)
            setattr(self, name, max(0, left - 1))
            return left > 0


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *arguments: Any) -> None:
        """Tests print what they need."""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        address = urlsplit(self.path)
        path = unquote(address.path)
        told = self.headers.get("authorization", "")
        self.hub.requests.append((self.command, path, self.headers.get("range", ""), told))
        found = _API.match(path) or _FILE.match(path)
        repository = self.hub.repositories.get(found["repo"]) if found else None
        if found is None or repository is None:
            self._refuse(401 if not told else 404, "RepoNotFound", "Repository not found")
            return
        if repository.token is not None and told != f"Bearer {repository.token}":
            self._refuse(401 if not told else 403, "GatedRepo", f"Access to dataset {found['repo']} is restricted")
            return
        if found.re is _FILE:
            self._file(repository, found["revision"], found["path"])
            return
        self._api(repository, found["repo"], found["what"], found["rest"] or "main", body, address.query)
        return

    def _api(self, repository: Repository, name: str, what: str, rest: str, body: bytes, query: str) -> None:
        revision, _, below = rest.partition("/")
        commit = repository.resolve(revision)
        if commit is None:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        files = repository.commits[commit]
        if what in (None, "revision"):
            siblings = [{"rfilename": path} for path in files]
            self._json({"_id": "1", "id": name, "sha": commit, "siblings": siblings, "private": False, "tags": []})
            return
        if what == "tree":
            recursive = parse_qs(query).get("recursive", ["false"])[0].lower() == "true"
            self._json(_tree(files, below, recursive=recursive))
            return
        asked = parse_qs(body.decode()).get("paths", []) if b"=" in body else json.loads(body or b"{}").get("paths", [])
        self._json([entry for path in asked for entry in _entries_at(files, path)])
        return

    def _file(self, repository: Repository, revision: str, path: str) -> None:
        commit = repository.resolve(revision)
        if commit is None:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        if path not in repository.commits[commit]:
            self._refuse(404, "EntryNotFound", "Entry not found")
            return
        if self.command == "GET" and self.hub.take("too_many"):
            self._refuse(429, "", "Too many requests", {"Retry-After": "1"})
            return
        data = repository.commits[commit][path]
        etag = f'"{hashlib.sha1(data).hexdigest()}"'
        first, last = _range(self.headers.get("range"), len(data))
        part = data[first : last + 1]
        self.send_response(206 if self.headers.get("range") else 200)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("ETag", etag)
        self.send_header("X-Repo-Commit", commit)
        self.send_header("Accept-Ranges", "bytes")
        if self.headers.get("range"):
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.hub.take("cut"):
            self.wfile.write(part[: int(len(part) * self.hub.cut_at)])
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()
            return
        time.sleep(self.hub.pause_s)
        self.wfile.write(part)

    def _json(self, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _refuse(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        data = json.dumps({"error": message}).encode()
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", message)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _entry(path: str, data: bytes) -> dict[str, Any]:
    return {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}


def _folder(path: str) -> dict[str, Any]:
    return {"type": "directory", "path": path, "size": 0, "oid": hashlib.sha1(path.encode()).hexdigest()}


def _tree(files: dict[str, bytes], below: str, *, recursive: bool) -> list[dict[str, Any]]:
    prefix = f"{below.strip('/')}/" if below.strip("/") else ""
    found: dict[str, dict[str, Any]] = {}
    for path, data in sorted(files.items()):
        if not path.startswith(prefix):
            continue
        parts = path.removeprefix(prefix).split("/")
        for depth in range(1, len(parts)):
            if recursive or depth == 1:
                folder = prefix + "/".join(parts[:depth])
                found[folder] = _folder(folder)
        if recursive or len(parts) == 1:
            found[path] = _entry(path, data)
    return list(found.values())


def _entries_at(files: dict[str, bytes], path: str) -> list[dict[str, Any]]:
    if path in files:
        return [_entry(path, files[path])]
    return [_folder(path)] if any(name.startswith(f"{path.rstrip('/')}/") for name in files) else []


def _range(header: str | None, size: int) -> tuple[int, int]:
    """First and last byte (RFC 9110, 14.1.2)."""
    match = re.fullmatch(r"bytes=(\d+)-(\d*)", header or "")
    if match is None:
        return 0, size - 1
    return int(match[1]), min(int(match[2] or size - 1), size - 1)
