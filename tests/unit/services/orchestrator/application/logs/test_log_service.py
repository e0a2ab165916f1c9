"""Logs of 100 MB, served as Ray serves them: what a reader costs is what it sees, whoever else reads."""

import asyncio
import json
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from services.common.errors import InvalidInput, TooManyCalls
from services.orchestrator.adapters.ray_jobs import RayJobs
from services.orchestrator.application.logs import service
from services.orchestrator.application.logs.service import LogQuestion, LogService
from services.orchestrator.application.logs.stream import LONGEST_LINE_BYTES, lines_of
from tests.unit.services.evaluator.harness import until

LINE_BYTES, LINES = 100, 1_000_000
MEGABYTE = 1_000_000


def line(number: int, words: str = "step") -> bytes:
    """Line `number` from 1 of the log that is made while it is read."""
    return f"{number:08d} {words}".ljust(LINE_BYTES - 1, ".").encode() + b"\n"


class Ray:
    """A head that knows one job for each entry of `logs`: how many lines of LINE_BYTES it has. `sent` counts bytes of
    logs; `breaks_after` ends the next stream in the middle."""

    def __init__(self) -> None:
        self.logs: dict[str, int] = {}
        self.sent = 0
        self.breaks_after: int | None = None
        self.streams = 0
        self.stopped = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.ray = self  # type: ignore[attr-defined]
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """Answers as Ray does, for `self.server.ray`."""

    server: Any
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path.startswith("/api/jobs/"):
            known = parts.path.rpartition("/")[2] in self.server.ray.logs
            self._answer(200 if known else 404, json.dumps({"status": "RUNNING", "driver_node_id": "n1"}).encode())
            return
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            self._send(query["submission_id"], int(query["lines"]), parts.path.endswith("/stream"))
        except OSError:
            self.close_connection = True

    def _send(self, job: str, lines: int, follow: bool) -> None:
        self.server.ray.streams += follow
        at, left = 0 if lines < 0 else max(0, self.server.ray.logs[job] - lines), self.server.ray.breaks_after
        while True:
            while at < self.server.ray.logs[job]:
                count = min(5_000, self.server.ray.logs[job] - at)
                block = b"".join(line(number) for number in range(at + 1, at + count + 1))
                if left is not None and left < len(block):
                    self.server.ray.breaks_after = None
                    self._chunk(block[:left])
                    self.close_connection = True
                    self.connection.shutdown(2)
                    return
                at += count
                self._chunk(block)
            if not follow or self.server.ray.stopped.is_set():
                break
            if self.connection.fileno() < 0:
                return
            time.sleep(0.02)
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, data: bytes) -> None:
        self.server.ray.sent += len(data)
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


class Runs:
    """A run with so many worker groups."""

    def __init__(self, submission: int, *, ended: bool) -> None:
        self.submission, self.ended = submission, ended

    async def get(self, run_id: str) -> Any:
        return SimpleNamespace(submission=self.submission, status=SimpleNamespace(ended=self.ended), jobs=())


@pytest.fixture
def ray() -> Iterator[Ray]:
    made = Ray()
    yield made
    made.close()


@pytest.fixture
async def logs(ray: Ray, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LogService]:
    monkeypatch.setattr(service, "POLL_S", 0.1)
    made = LogService(Runs(1, ended=True), RayJobs(ray.address, env={}))  # type: ignore[arg-type]
    yield made
    made.close()


async def texts(logs: LogService, **asked: Any) -> list[service.LogPiece]:
    async with asyncio.timeout(60):
        return [piece async for piece in logs.stream("r", LogQuestion(**asked))]


async def test_the_end_of_100_megabytes_costs_the_end(ray: Ray, logs: LogService) -> None:
    ray.logs["retain-r-1"] = LINES
    (found,) = await texts(logs, last_lines=400)
    assert found.text.encode() == b"".join(line(number) for number in range(LINES - 399, LINES + 1))
    assert ray.sent == 400 * LINE_BYTES
    (older,) = await texts(logs, last_lines=400, skip_lines=400)
    assert older.text.encode() == b"".join(line(number) for number in range(LINES - 799, LINES - 399))
    assert ray.sent == 400 * LINE_BYTES + 800 * LINE_BYTES


async def test_whole_and_searched_it_passes_in_bounded_memory(ray: Ray, logs: LogService) -> None:
    ray.logs["retain-r-1"] = 80_000  # 8 MB; the bound does not grow with the log
    tracemalloc.start()
    count = 0
    async with aclosing(logs.stream("r", LogQuestion())) as pieces:
        async for piece in pieces:
            count += len(piece.text)
    whole_peak = tracemalloc.get_traced_memory()[1]
    found = await texts(logs, containing="9999 STEP", last_lines=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 80_000 * LINE_BYTES
    assert [(piece.line, piece.text.encode() + b"\n") for piece in found] == [
        (69_999, line(69_999)), (79_999, line(79_999)),
    ]  # fmt: skip
    assert max(whole_peak, peak) < 4 * MEGABYTE, "of 8 MB, with the server of the test in the same process"


async def test_followers_cost_what_is_new(ray: Ray, logs: LogService) -> None:
    ray.logs["retain-r-1"] = LINES
    runs = logs._run_store = Runs(1, ended=False)  # type: ignore[assignment]
    seen: list[list[bytes]] = [[] for _ in range(5)]

    async def follow(into: list[bytes]) -> None:
        async with aclosing(logs.stream("r", LogQuestion(follow=True, last_lines=10))) as pieces:
            async for piece in pieces:
                into.append(piece.text.encode())

    followers = [asyncio.create_task(follow(into)) for into in seen]
    await until(lambda: all(seen))
    ray.logs["retain-r-1"] += 7
    await until(lambda: all(len(b"".join(into)) >= 17 * LINE_BYTES for into in seen))
    await asyncio.sleep(0.5)  # while nothing is new nothing is read
    assert ray.sent == 5 * 17 * LINE_BYTES
    runs.ended = True
    await asyncio.wait_for(asyncio.gather(*followers), 30)
    wanted = b"".join(line(number) for number in range(LINES - 9, LINES + 8))
    assert [b"".join(into) for into in seen] == [wanted] * 5


async def test_a_stream_that_breaks_is_taken_up_behind_what_was_read(ray: Ray, logs: LogService) -> None:
    ray.logs["retain-r-1"], ray.breaks_after = 3_000, 1_234 * LINE_BYTES + 17
    logs._run_store = Runs(1, ended=True)  # type: ignore[assignment]
    found = await texts(logs, follow=True)
    assert "".join(piece.text for piece in found).encode() == b"".join(line(number) for number in range(1, 3_001))
    assert ray.streams == 2


async def test_groups_are_read_from_the_newest_back(ray: Ray, logs: LogService) -> None:
    ray.logs |= {"retain-r-1": 50, "retain-r-3": 10}  # of the second nothing is known any more
    logs._run_store = Runs(3, ended=True)  # type: ignore[assignment]
    found = await texts(logs, last_lines=15)
    assert [(piece.submission, piece.text.count("\n")) for piece in found] == [(1, 5), (3, 10)]
    (before,) = await texts(logs, last_lines=15, skip_lines=15)
    assert before.text.encode() == b"".join(line(number) for number in range(31, 46))
    (first,) = await texts(logs, last_lines=100, skip_lines=55)
    assert first.text.encode() == b"".join(line(number) for number in range(1, 6))
    assert await texts(logs, last_lines=5, skip_lines=60) == []
    assert [piece.submission for piece in await texts(logs, submission=1)] == [1]
    assert {piece.submission for piece in await texts(logs, follow=True)} == {1, 3}


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"last_lines": -1}, "last_lines"),
        ({"last_lines": 10_001}, "last_lines"),
        ({"skip_lines": 5}, "skip_lines"),
        ({"submission": -1}, "submission"),
        ({"follow": True, "containing": "x"}, "follow"),
    ],
)
async def test_what_cannot_be_asked_is_said_at_its_field(logs: LogService, asked: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await texts(logs, **asked)
    assert [fault.field for fault in caught.value.violations] == [field]


async def test_there_are_only_so_many_followers(ray: Ray, logs: LogService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "FOLLOWERS", 1)
    ray.logs["retain-r-1"] = 5
    logs._run_store = Runs(1, ended=False)  # type: ignore[assignment]
    follower = logs.stream("r", LogQuestion(follow=True))
    await anext(follower)
    with pytest.raises(TooManyCalls, match="1 readers follow"):
        await texts(logs, follow=True)
    await follower.aclose()
    again = logs.stream("r", LogQuestion(follow=True, last_lines=1))
    assert (await anext(again)).text.encode() == line(5)
    await again.aclose()


def test_lines_are_cut_where_they_end_and_where_they_are_too_long() -> None:
    assert list(lines_of([b"a\nb", b"c\n\n", b"d"])) == [b"a\n", b"bc\n", b"\n", b"d"]
    long = b"x" * (LONGEST_LINE_BYTES + 5)
    assert [len(part) for part in lines_of([long[:70_000], long[70_000:] + b"\nz"])] == [LONGEST_LINE_BYTES, 6, 1]
