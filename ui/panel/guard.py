"""What every request of the panel passes before Streamlit sees it: whose name it came under, and from which page.

A page of the web that a person has open can reach the panel on loopback, under a name of its own that it points there
(DNS rebinding), or by a WebSocket, which browsers open across origins without asking. So a request under a name that is
not the panel's is refused, and so is one that a foreign page makes. What is answered may not be put into a frame, loads
nothing from outside, and is not guessed at (OWASP Secure Headers Project).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import urlsplit

SETTING, URL = "RETAIN_PANEL_HOSTS", "RETAIN_PANEL_URL"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
# A probe of Kubernetes asks under the pod's address; the answer is "ok" and nothing else.
ALWAYS_ANSWERED = frozenset({"/_stcore/health", "/_stcore/script-health-check"})
# Streamlit's own pages set styles in place, and charts are compiled by Vega in the browser.
POLICY = "; ".join((
    "default-src 'self'",
    "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "font-src 'self' data:",
    "connect-src 'self'",
    "worker-src 'self' blob:",
    "object-src 'none'",
    "base-uri 'self'",
    "form-action 'self'",
    "frame-src 'none'",
    "frame-ancestors 'none'",
))  # fmt: skip
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def hosts_of(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The names under which the panel may be asked: loopback's, those of the setting (between commas), and that of the
    address that it is told to have."""
    said = [*environ.get(SETTING, "").split(","), _name_of(environ.get(URL, ""))]
    return (*LOOPBACK, *(host.strip().lower() for host in said if host.strip()))


def speaks_tls(environ: Mapping[str, str]) -> bool:
    """Whether browsers reach the panel by https, by itself or by a proxy before it."""
    return environ.get(URL, "").startswith("https://")


class Guard:
    """ASGI middleware. `hosts` are names without ports; `*.example.org` stands for every name below it. With `secure`
    cookies go over TLS only, also where a proxy speaks it."""

    def __init__(self, app: Any, hosts: tuple[str, ...] = LOOPBACK, *, secure: bool = False) -> None:
        self._app, self._hosts, self._secure = app, hosts, secure

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """One request or WebSocket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        why = self._refusal(scope)
        if why is not None:
            await _refuse(scope, receive, send, why)
            return

        async def guarded(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.accept"):
                names = {name for name, _ in HEADERS}
                secure = self._secure or scope.get("scheme") in ("https", "wss")
                kept = [_cookie(pair, secure) for pair in message.get("headers", ()) if pair[0].lower() not in names]
                message["headers"] = [*kept, *HEADERS]
            await send(message)

        await self._app(scope, receive, guarded)

    def _refusal(self, scope: MutableMapping[str, Any]) -> str | None:
        headers = {name.lower(): value.decode("latin-1") for name, value in scope.get("headers", ())}
        if scope["type"] == "http" and scope["path"] in ALWAYS_ANSWERED and scope["method"] in ("GET", "HEAD"):
            return None
        given = headers.get(b"host", "")
        if not self._is_ours(_name_of(f"//{given}")):
            return f"this panel does not answer under that name; {SETTING} lists the names that it answers under"
        origin = headers.get(b"origin")
        if origin is not None and urlsplit(origin).netloc.lower() != given.lower():
            return "a page of another origin asked"
        acts = scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD", "OPTIONS")
        if acts and headers.get(b"sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return "a page of another site asked"
        return None

    def _is_ours(self, name: str) -> bool:
        return bool(name) and any(
            name == host or (host.startswith("*.") and name.endswith(host[1:])) for host in self._hosts
        )


def _name_of(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").lower()
    except ValueError:  # brackets that do not close
        return ""


def _cookie(pair: tuple[bytes, bytes], secure: bool) -> tuple[bytes, bytes]:
    """A cookie goes to this site only, and over TLS only where that is spoken."""
    name, value = pair
    if name.lower() != b"set-cookie":
        return pair
    attributes = value.lower()
    if b"samesite" not in attributes:
        value += b"; SameSite=Strict"
    if secure and b"; secure" not in attributes:
        value += b"; Secure"
    return name, value


async def _refuse(scope: MutableMapping[str, Any], receive: Receive, send: Send, why: str) -> None:
    if scope["type"] == "websocket":
        await receive()  # websocket.connect: closed before it is accepted, the answer is 403
        await send({"type": "websocket.close", "code": 1008, "reason": why})
        return
    body = f"403: {why}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode()), *HEADERS]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})
