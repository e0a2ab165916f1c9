"""The panel's guard, asked as browsers and pages of others would ask: the ASGI application itself, no server."""

import asyncio
from typing import Any

import pytest

from ui.client.errors import BadInput
from ui.panel import shared
from ui.panel.guard import HEADERS, Guard, hosts_of, speaks_tls


async def answering(scope: Any, receive: Any, send: Any) -> None:
    """A page with a cookie, or a WebSocket that is taken."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept", "headers": []})
        return
    headers = [(b"set-cookie", b"a=b; HttpOnly"), (b"x-frame-options", b"ALLOWALL")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"page"})


def ask(
    host: str = "127.0.0.1:7074", *, kind: str = "http", method: str = "GET", path: str = "/", scheme: str = "http",
    hosts: tuple[str, ...] | None = None, **headers: str,
) -> dict[str, Any]:  # fmt: skip
    """The first message that is returned."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    given = [(b"host", host.encode())] + [(n.replace("_", "-").encode(), v.encode()) for n, v in headers.items()]
    scope = {"type": kind, "method": method, "path": path, "headers": given, "scheme": scheme}
    asyncio.run(Guard(answering, hosts or hosts_of({}))(scope, receive, send))
    return sent[0]


@pytest.mark.parametrize("host", ["127.0.0.1:7074", "localhost", "[::1]:7074", "LOCALHOST:1"])
def test_the_panels_own_names_are_answered_with_every_header(host: str) -> None:
    answer = ask(host)
    assert answer["status"] == 200
    for header in HEADERS:
        assert header in answer["headers"]
    assert (b"x-frame-options", b"ALLOWALL") not in answer["headers"]
    assert (b"set-cookie", b"a=b; HttpOnly; SameSite=Strict") in answer["headers"]
    assert (b"set-cookie", b"a=b; HttpOnly; SameSite=Strict; Secure") in ask(host, scheme="https")["headers"]


def test_a_panel_behind_a_proxy_that_speaks_tls_answers_under_its_address_with_secure_cookies() -> None:
    environ = {"RETAIN_PANEL_URL": "https://retain.example/"}
    assert "retain.example" in hosts_of(environ)
    assert (speaks_tls(environ), speaks_tls({}), speaks_tls({"RETAIN_PANEL_URL": "http://a"})) == (True, False, False)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", b"retain.example")], "scheme": "http"}
    asyncio.run(Guard(answering, hosts_of(environ), secure=True)(scope, lambda: None, send))  # type: ignore[arg-type]
    assert (b"set-cookie", b"a=b; HttpOnly; SameSite=Strict; Secure") in sent[0]["headers"]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[::1", "localhost@evil.example"])
def test_a_name_that_is_not_the_panels_is_refused(host: str) -> None:
    assert ask(host)["status"] == 403
    assert ask(host, kind="websocket")["type"] == "websocket.close"


def test_a_page_of_another_origin_opens_nothing() -> None:
    foreign = {"origin": "https://evil.example"}
    assert ask(kind="websocket", **foreign)["type"] == "websocket.close"
    assert ask(method="POST", **foreign)["status"] == 403
    assert ask(kind="websocket", origin="http://127.0.0.1:7075")["type"] == "websocket.close", "another port"
    assert ask(kind="websocket", origin="null")["type"] == "websocket.close"
    assert ask(method="PUT", sec_fetch_site="cross-site")["status"] == 403
    assert ask(kind="websocket", origin="http://127.0.0.1:7074")["type"] == "websocket.accept"


def test_an_installation_names_its_hosts_and_a_probe_needs_none() -> None:
    hosts = hosts_of({"RETAIN_PANEL_HOSTS": "retain.example.org, *.team.example"})
    assert ask("retain.example.org", hosts=hosts)["status"] == 200
    assert ask("a.team.example", hosts=hosts)["status"] == 200
    assert ask("team.example.evil", hosts=hosts)["status"] == 403
    assert ask("10.0.0.7:7074", path="/_stcore/health")["status"] == 200
    assert ask("10.0.0.7:7074", path="/_stcore/stream")["status"] == 403


def test_text_from_outside_is_text() -> None:
    # What has no width stands in an address, which would else become a link however it is escaped.
    assert shared.as_text("![x](http://evil/a.png)") == "\\!\\[x\\]\\(http\\://\u2060evil/a.png\\)"
    assert shared.as_text("see WWW.evil.example") == "see WWW\u2060.evil.example"
    assert shared.as_badge("a [x](y) \\[") == "a [x]\\(y\\) \\\\["  # a badge escapes brackets itself
    assert shared.as_text("<script>") == "\\<script\\>"
    assert shared.as_text("plain words, 1.5 %") == "plain words, 1.5 %"


def test_a_shared_panel_reads_no_path_of_its_own_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETAIN_SERVER", "127.0.0.1:7070")
    tree = {"stages": [{"data": {"general": "/etc/passwd"}}], "model": {"huggingface": "models/a"}}
    monkeypatch.setenv("RETAIN_PANEL_BIND", "0.0.0.0:7074")
    with pytest.raises(BadInput) as caught:
        shared.refuse_local_paths(tree)
    assert [v.field for v in caught.value.violations] == ["stages[0].data.general", "model.huggingface"]
    monkeypatch.delenv("RETAIN_PANEL_BIND")
    shared.refuse_local_paths(tree)
    monkeypatch.setenv("RETAIN_SERVER", "retain.example.org:7070")
    with pytest.raises(BadInput):
        shared.refuse_local_paths(tree)
