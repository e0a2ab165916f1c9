"""Where a store may be; large bodies in pieces that each have the connection's time; a store that is full."""

import hashlib
import http.server
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.common.errors import InvalidInput, Unavailable
from services.common.store.connection import PIECE_BYTES, store_address, trusting
from services.common.store.minio_store import MinioStore


@pytest.mark.parametrize(
    ("address", "came"),
    [
        ("http://host:9000/path/", "with a path"),
        ("http://host:9000/?a=1", "with a query"),
        ("http://host:9000#part", "with a fragment"),
        ("http://user:secret@host:9000", "with a user"),
        ("s3://host", "s3://host"),
        ("host:9000", "host:9000"),
        ("http://", "http://"),
        ("http://host:port", "http://host:port"),
    ],
)
def test_what_would_be_dropped_is_refused_by_setting(address: str, came: str) -> None:
    for field in ("RETAIN_S3_ENDPOINT", "RETAIN_S3_PUBLIC_ENDPOINT"):
        with pytest.raises(InvalidInput) as refused:
            store_address(address, field)
        (violation,) = refused.value.violations
        assert violation.field == field
        assert came in violation.description
        assert "secret" not in violation.description
        assert "expected http://HOST:PORT" in violation.description


def test_addresses_that_are_right() -> None:
    for address in ("http://127.0.0.1:9000", "https://s3.example", "http://[::1]:9000/", "https://s3.example/"):
        assert store_address(address, "X").host
    with pytest.raises(InvalidInput, match=r"RETAIN_S3_ENDPOINT: .*with a path"):
        MinioStore("http://host:9000/path", "bucket", access_key="a", secret_key="b" * 8)


def test_a_file_of_authorities_that_holds_none_is_refused_by_setting(tmp_path: Path) -> None:
    assert trusting(None) == {}
    (tmp_path / "not.pem").write_text("no certificate")
    for name in ("not.pem", "missing.pem"):
        with pytest.raises(InvalidInput, match=rf"AWS_CA_BUNDLE: .*{name}.* expected a PEM file of certificates"):
            MinioStore(
                "https://host:9000", "bucket", access_key="a", secret_key="b" * 8, ca_bundle=str(tmp_path / name)
            )


class Server(http.server.ThreadingHTTPServer):
    """Takes every PUT, `delay_s` for each piece; answers with the statuses and bodies of `answers`, then 200."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        self.answers: list[tuple[int, str]] = []
        self.delay_s = 0.0
        self.received: list[bytes] = []


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_PUT(self) -> None:
        left, data = int(self.headers["Content-Length"]), b""
        while left:
            piece = self.rfile.read(min(left, PIECE_BYTES))
            data, left = data + piece, left - len(piece)
            time.sleep(self.server.delay_s)
        self.server.received.append(data)
        status, body = self.server.answers.pop(0) if self.server.answers else (200, "")
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/xml")
        self.send_header("ETag", '"x"')
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def store_at(server: Server, **more) -> MinioStore:
    return MinioStore(
        f"http://127.0.0.1:{server.server_address[1]}", "bucket", access_key="a", secret_key="b" * 8, **more
    )


def test_a_slow_link_is_no_fault(server: Server, tmp_path: Path) -> None:
    """An upload that takes longer than a connection's time-out in all, never in one piece, is sent once."""
    data = hashlib.shake_256(b"x").digest(12_000_000)
    (tmp_path / "file").write_bytes(data)
    server.delay_s = 0.1  # 46 pieces: 4.6 s in all, where 2 s are allowed; the system's buffers hold some
    retries: list[None] = []
    store = store_at(server, timeout_s=2.0, patience_s=1.0, on_retry=lambda: retries.append(None))
    beats: list[float] = []
    store.on_bytes = lambda: beats.append(time.monotonic())
    store.put_file("key", tmp_path / "file")
    assert b"".join(server.received).count(data) == 1
    assert retries == []
    assert len(beats) >= len(data) // PIECE_BYTES


def full(code: str, message: str) -> str:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"


FULL_ANSWERS = [
    (507, full("XMinioStorageFull", "Storage backend has reached its minimum free drive threshold.")),
    (507, full("InsufficientStorage", "full")),
    (500, full("InternalError", "No writable volumes in the topology")),
    (500, full("InternalError", "write /data/1.dat: no space left on device")),
]


@pytest.mark.parametrize("answer", FULL_ANSWERS, ids=["minio", "507", "volumes", "words"])
def test_a_full_store_is_waited_for_beyond_all_patience(server: Server, answer: tuple[int, str]) -> None:
    server.answers = [answer] * 3
    told: list[str] = []
    store = store_at(server, patience_s=0.0)
    store.on_waiting = told.append
    store.put_bytes("key", b"data")
    assert told == [f"object store full at {store.endpoint}"] * 3 + [""]
    assert server.received == [b"data"] * 4


def test_who_does_not_ask_for_that_gets_an_error(server: Server) -> None:
    server.answers = [FULL_ANSWERS[0]] * 100
    with pytest.raises(Unavailable, match="XMinioStorageFull"):
        store_at(server, patience_s=0.3).put_bytes("key", b"data")


def test_closing_ends_the_wait_for_room(server: Server) -> None:
    server.answers = [FULL_ANSWERS[0]] * 1000
    store = store_at(server)
    store.on_waiting = lambda text: store.close()
    with pytest.raises(Unavailable):
        store.put_bytes("key", b"data")
