"""The token of a person in a cookie of their browser, which no script reads: a refresh, a second tab, a restart of the
panel and a laptop that slept for a night find them logged in.

The cookie ends with the browser. It is encrypted (Fernet), so that what it holds is no token of the API; its key is
made of RETAIN_PANEL_COOKIE_SECRET, and without one another start of the panel logs everybody out. As every cookie it
belongs to a host and not to a port: on a machine of several people nobody should open a page of another's server there.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

NAME, PATH, PARAMETER = "retain_session", "/retain/session", "token"
CODE_S = 60.0  # a page that was just answered asks for its cookie at once
CODES = 256  # at a time
COOKIE_BYTES = 3500  # browsers keep 4,096 with the name and what is said about it
_END = f"{NAME}=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0"

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
_installed: Cookies | None = None


class Cookies:
    """Seals tokens into cookies, and lends codes: a page cannot set a cookie that no script reads, so it hands a code,
    good once and for a minute, to an address that can."""

    def __init__(self, secret: str = "", *, clock: Callable[[], float] = time.monotonic) -> None:
        self._secret, self._clock = secret or secrets.token_hex(32), clock
        self._lock = threading.Lock()
        self._codes: dict[str, tuple[float, str]] = {}

    def seal(self, token: str) -> str:
        """The cookie's value."""
        return self._box().encrypt(token.encode()).decode()

    def open(self, value: str) -> str | None:
        """The token; None for a value that is not of this panel."""
        from cryptography.fernet import InvalidToken

        try:
            return self._box().decrypt(value.encode()).decode()
        except (InvalidToken, UnicodeError):
            return None

    def lend(self, token: str) -> str:
        """A code for this token."""
        code = secrets.token_urlsafe(32)
        with self._lock:
            now = self._clock()
            kept = [(name, held) for name, held in self._codes.items() if now - held[0] <= CODE_S]
            self._codes = dict(kept[-(CODES - 1) :])
            self._codes[code] = (now, token)
        return code

    def redeem(self, code: str) -> str | None:
        """Its token, once."""
        with self._lock:
            lent = self._codes.pop(code, None)
        return lent[1] if lent is not None and self._clock() - lent[0] <= CODE_S else None

    def _box(self) -> Fernet:
        from cryptography.fernet import Fernet

        return Fernet(base64.urlsafe_b64encode(hashlib.sha256(self._secret.encode()).digest()))


def install(cookies: Cookies) -> None:
    """From here on sessions are remembered."""
    global _installed
    _installed = cookies


def installed() -> Cookies | None:
    """None where pages run without the panel's server."""
    return _installed


class Remember:
    """ASGI middleware: takes the token out of a link into a cookie before any page is drawn, sets the cookie of a code,
    and ends it. Who asks for that was looked at by the guard before."""

    def __init__(self, app: Any, cookies: Cookies) -> None:
        self._app, self._cookies = app, cookies

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """One request or WebSocket."""
        if scope["type"] == "http" and scope["path"] == PATH:
            await self._session(scope, send)
            return
        if scope["type"] == "http" and scope["method"] == "GET":
            asked = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
            token = dict(asked).get(PARAMETER)
            if token is not None:
                await self._taken(scope["path"], [pair for pair in asked if pair[0] != PARAMETER], token, send)
                return
        await self._app(scope, receive, send)

    async def _taken(self, path: str, rest: list[tuple[str, str]], token: str, send: Send) -> None:
        # One slash, and none the other way round: two would make the path the name of another host.
        location = "/" + quote(path.lstrip("/")) + (f"?{urlencode(rest)}" if rest else "")
        await _answer(send, 303, self._cookie(token), location=location)

    async def _session(self, scope: MutableMapping[str, Any], send: Send) -> None:
        headers = {name.lower(): value.decode("latin-1") for name, value in scope.get("headers", ())}
        if scope["method"] == "DELETE":
            await _answer(send, 204, _END)
            return
        token = self._cookies.redeem(headers.get(b"x-retain-code", "")) if scope["method"] == "POST" else None
        await (_answer(send, 403, "") if token is None else _answer(send, 204, self._cookie(token)))

    def _cookie(self, token: str) -> str:
        """Nothing for a token that no cookie holds: its session lasts as long as its page."""
        value = self._cookies.seal(token)
        return f"{NAME}={value}; HttpOnly; SameSite=Strict; Path=/" if len(value) <= COOKIE_BYTES else ""


async def _answer(send: Send, status: int, cookie: str, *, location: str = "") -> None:
    headers = [(b"content-length", b"0"), (b"cache-control", b"no-store")]
    if cookie:
        headers.append((b"set-cookie", cookie.encode("latin-1")))
    if location:
        headers.append((b"location", location.encode("latin-1", "replace")))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
