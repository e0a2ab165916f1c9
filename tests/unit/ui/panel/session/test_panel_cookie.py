"""The cookie of the panel: set from a link or from a code, read by this panel alone, ended when asked."""

import asyncio
from typing import Any

import pytest

from ui.panel.guard import Guard
from ui.panel.session.cookie import CODE_S, CODES, NAME, PATH, Cookies, Remember

SECRET, TOKEN = "0123456789abcdef0123456789abcdef", "a-token-of-the-tests-0123456789"


async def page(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


def ask(
    cookies: Cookies, path: str = "/", query: str = "", method: str = "GET", **headers: str
) -> tuple[int, dict[str, str]]:
    """Status and headers of what the panel's door answers."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    given = {"host": "127.0.0.1:7074", **headers}
    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "scheme": "http"}
    scope["headers"] = [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()]
    asyncio.run(Guard(Remember(page, cookies))(scope, None, send))
    return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}


def value_of(headers: dict[str, str]) -> str:
    pair, *said = headers["set-cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(said)
    assert pair.startswith(f"{NAME}=")
    return pair.removeprefix(f"{NAME}=")


def test_a_link_becomes_a_cookie_and_an_address_without_the_token() -> None:
    cookies = Cookies(SECRET)
    status, headers = ask(cookies, "/run", f"run=a%20b&token={TOKEN}&view=live")
    assert (status, headers["location"]) == (303, "/run?run=a+b&view=live")
    assert TOKEN not in headers["set-cookie"]
    assert cookies.open(value_of(headers)) == TOKEN
    assert Cookies(SECRET).open(value_of(headers)) == TOKEN, "another start of the panel with the same secret"
    assert Cookies().open(value_of(headers)) is None, "one with a secret of its own"
    assert ask(cookies, "/run", "run=a")[0] == 200


@pytest.mark.parametrize("path", ["//evil.example", "/\\evil.example", "///evil.example/x"])
def test_a_link_leads_to_no_other_host(path: str) -> None:
    location = ask(Cookies(SECRET), path, "token=x")[1]["location"]
    assert location.startswith("/")
    assert location[1] not in "/\\"


def test_a_code_is_good_once_and_for_a_minute() -> None:
    now = [0.0]
    cookies = Cookies(SECRET, clock=lambda: now[0])
    code = cookies.lend(TOKEN)
    status, headers = ask(cookies, PATH, method="POST", x_retain_code=code)
    assert (status, cookies.open(value_of(headers))) == (204, TOKEN)
    assert ask(cookies, PATH, method="POST", x_retain_code=code)[0] == 403
    late = cookies.lend(TOKEN)
    now[0] += CODE_S + 1
    assert ask(cookies, PATH, method="POST", x_retain_code=late)[0] == 403
    assert ask(cookies, PATH, method="GET")[0] == 403
    first = cookies.lend(TOKEN)
    for _ in range(CODES):
        cookies.lend("another-token")
    assert cookies.redeem(first) is None, "codes that nobody asks for do not pile up"


def test_a_page_of_another_site_neither_sets_nor_ends_it() -> None:
    cookies = Cookies(SECRET)
    for method in ("POST", "DELETE"):
        code = cookies.lend(TOKEN)
        status, headers = ask(cookies, PATH, method=method, x_retain_code=code, sec_fetch_site="cross-site")
        assert (status, "set-cookie" in headers) == (403, False)


def test_it_is_ended_when_asked() -> None:
    status, headers = ask(Cookies(SECRET), PATH, method="DELETE")
    assert (status, value_of(headers)) == (204, "")
    assert "Max-Age=0" in headers["set-cookie"]


def test_what_is_no_cookie_of_this_panel_is_nobody() -> None:
    for value in ("", "x", "gAAAAA", "\u00e9", Cookies("another").seal(TOKEN)):
        assert Cookies(SECRET).open(value) is None


def test_a_token_that_no_cookie_holds_logs_in_for_its_page_alone() -> None:
    assert "set-cookie" not in ask(Cookies(SECRET), "/", "token=" + "x" * 5000)[1]
