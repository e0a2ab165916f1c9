"""Whose files the panel takes: the ASGI application asked as a browser would ask, no server."""

import asyncio
from typing import Any

import pytest

from ui.panel.session.uploads import SESSIONS, Bounded, Uploads


class Panel:
    """Three sessions live; what was sent is kept until it is let go."""

    def __init__(self, most_bytes: int = 100) -> None:
        self.kept: list[int] = []
        self.alive = {"mine", "hers", "another"}
        self.uploads = Uploads(self.alive.__contains__, lambda: sum(self.kept), most_bytes=most_bytes)
        self.during = lambda: None
        self.app = Bounded(self.take, self.uploads)

    async def take(self, scope: Any, receive: Any, send: Any) -> None:
        self.during()
        self.kept.append(int(dict(scope["headers"]).get(b"content-length", b"0")))
        await send({"type": "http.response.start", "status": 204, "headers": []})

    def put(self, session: str, length: str | None, *, method: str = "PUT", path: str = "") -> tuple[int, bytes]:
        """Status and text of the answer."""
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [] if length is None else [(b"content-length", length.encode())]
        where = path or f"/_stcore/upload_file/{session}/a-file"
        scope = {"type": "http", "method": method, "path": where, "headers": headers}
        asyncio.run(self.app(scope, None, send))  # type: ignore[arg-type]
        return sent[0]["status"], sent[1]["body"] if len(sent) > 1 else b""


def test_a_file_is_taken_from_a_session_that_was_shown_a_place_for_it() -> None:
    panel = Panel()
    status, why = panel.put("mine", "10")
    assert (status, why) == (403, b"403: this session was shown no place for a file\n")
    panel.uploads.admit("mine")
    assert panel.put("mine", "10")[0] == 204
    assert panel.put("hers", "10")[0] == 403
    assert panel.kept == [10]


@pytest.mark.parametrize("length", [None, "", "-1", "1e3", "ten", "²", "9" * 16])
def test_a_file_without_a_length_is_refused(length: str | None) -> None:
    panel = Panel()
    panel.uploads.admit("mine")
    assert panel.put("mine", length) == (411, b"411: a file is sent with its length\n")


def test_all_files_together_stay_below_the_bound() -> None:
    panel = Panel(most_bytes=100_000_000)
    for session in ("mine", "hers"):
        panel.uploads.admit(session)
    assert panel.put("mine", "60000000")[0] == 204
    status, why = panel.put("hers", "40000001")
    assert (status, why) == (503, b"503: 60 of 100 MB are taken by files of others; try again in 30 s\n")
    assert panel.put("hers", "40000000")[0] == 204
    panel.kept.clear()
    assert panel.put("hers", "40000001")[0] == 204


def test_what_is_on_the_way_counts_until_it_has_come_or_failed() -> None:
    panel = Panel()
    panel.uploads.admit("mine")
    seen: list[int] = []

    def meanwhile() -> None:
        panel.during = lambda: None
        seen.append(panel.uploads.begin("mine", 41)[0])  # type: ignore[index]
        raise ConnectionError("the browser went away")

    panel.during = meanwhile
    with pytest.raises(ConnectionError):
        panel.put("mine", "60")
    assert seen == [503]
    assert panel.put("mine", "100")[0] == 204


def test_nothing_else_is_asked() -> None:
    panel = Panel()
    assert panel.put("mine", None, method="DELETE")[0] == 204
    assert panel.put("mine", None, path="/_stcore/health")[0] == 204


def test_sessions_that_ended_are_forgotten_once_there_are_many() -> None:
    panel = Panel(most_bytes=10**6)
    panel.uploads.admit("mine")
    for number in range(SESSIONS):
        panel.uploads.admit(f"gone-{number}")
    assert panel.put(f"gone-{SESSIONS - 1}", "1")[0] == 204
    assert panel.put("gone-0", "1")[0] == 403
    assert panel.put("mine", "1")[0] == 204
