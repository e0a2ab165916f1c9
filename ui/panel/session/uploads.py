"""Whose files the panel takes, and how many bytes of them at a time.

Streamlit takes a file from every session, also from one that nobody has logged in to, and keeps it in memory until the
person takes it away or the session ends. So one is taken from a session that was shown a place for one, and while
there is room: what all of them hold stays below a bound that the panel's memory bears. A file that was sent on is
let go at once.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager

MEGABYTE = 10**6
FILE_MEGABYTES = 210  # Streamlit's page counts megabytes of 10^6 bytes: a file of 200 MiB has 209.7
HELD_MEGABYTES = 2 * FILE_MEGABYTES  # of everybody's files together
RETRY_S = 30  # what a refused person is asked to wait
SESSIONS = 1024  # that may send, before those that have ended are forgotten
_PATH = re.compile(r"/_stcore/upload_file/(?P<session>[^/]+)/[^/]+")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Uploads:
    """Who may send a file. `lives` says whether a session is there yet, `held_bytes` what all files take now."""

    def __init__(
        self,
        lives: Callable[[str], bool],
        held_bytes: Callable[[], int],
        *,
        most_bytes: int = HELD_MEGABYTES * MEGABYTE,
    ) -> None:
        self._lives, self._held_bytes, self._most_bytes = lives, held_bytes, most_bytes
        self._lock = threading.Lock()
        self._sessions: set[str] = set()
        self._on_the_way = 0

    def admit(self, session: str) -> None:
        """A place for a file was drawn in it."""
        with self._lock:
            if len(self._sessions) >= SESSIONS:
                self._sessions = {each for each in self._sessions if self._lives(each)}
            self._sessions.add(session)

    def begin(self, session: str, size: int | None) -> tuple[int, str] | None:
        """Makes room for a file of so many bytes; else the status of HTTP and why not."""
        with self._lock:
            if session not in self._sessions:
                return 403, "this session was shown no place for a file"
            if size is None:
                return 411, "a file is sent with its length"
            taken = self._held_bytes() + self._on_the_way
            if taken + size > self._most_bytes:
                held = f"{taken / MEGABYTE:.0f} of {self._most_bytes / MEGABYTE:.0f} MB are taken by files of others"
                return 503, f"{held}; try again in {RETRY_S} s"
            self._on_the_way += size
            return None

    def end(self, size: int) -> None:
        """The file has come, or will not come."""
        with self._lock:
            self._on_the_way -= size


def of_this_panel() -> Uploads:
    """Those of the server that runs here."""
    from streamlit.runtime import Runtime

    def held_bytes() -> int:
        families = _files().get_stats().values()
        return sum(stat.byte_length for stats in families for stat in stats)

    return Uploads(lambda session: Runtime.instance().is_active_session(session), held_bytes)


_installed: Uploads | None = None


def install(uploads: Uploads) -> None:
    """From here on a session may be admitted."""
    global _installed
    _installed = uploads


def admit_this_session() -> None:
    """The session of the page that is drawn now may send a file. Without the panel's server nothing is asked."""
    from streamlit.runtime.scriptrunner import get_script_run_ctx

    context = get_script_run_ctx()
    if _installed is not None and context is not None:
        _installed.admit(context.session_id)


def let_go(file_id: str) -> None:
    """A file of the session of the page that is drawn now, which is not needed any more."""
    from streamlit.runtime import Runtime
    from streamlit.runtime.scriptrunner import get_script_run_ctx

    context = get_script_run_ctx()
    if Runtime.exists() and context is not None:
        _files().remove_file(context.session_id, file_id)


def _files() -> MemoryUploadedFileManager:
    """Where the server that runs here keeps them."""
    from streamlit.runtime import Runtime
    from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager

    kept = Runtime.instance().uploaded_file_mgr
    assert isinstance(kept, MemoryUploadedFileManager)
    return kept


class Bounded:
    """ASGI middleware: asks `uploads` before a file is read. Who asks was looked at by the guard before."""

    def __init__(self, app: Any, uploads: Uploads) -> None:
        self._app, self._uploads = app, uploads

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """One request or WebSocket."""
        found = _PATH.fullmatch(scope["path"]) if scope["type"] == "http" and scope["method"] == "PUT" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        size = _length(dict(scope["headers"]))
        refused = self._uploads.begin(found["session"], size)
        if refused is not None:
            await _answer(*refused, send)
            return
        assert size is not None
        try:
            await self._app(scope, receive, send)
        finally:
            self._uploads.end(size)


def _length(headers: Mapping[bytes, bytes]) -> int | None:
    said = headers.get(b"content-length", b"")
    return int(said) if said.isdigit() and len(said) < 16 else None


async def _answer(status: int, why: str, send: Send) -> None:
    body = f"{status}: {why}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    if status == 503:
        headers.append((b"retry-after", str(RETRY_S).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
