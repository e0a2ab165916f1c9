"""Servers as they are on bad days: one that takes a request and never answers, one that is full."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from services.common.errors import StorageFull, Unavailable
from services.common.store.minio_store import MinioStore


def test_a_server_that_does_not_answer_is_a_failed_try_after_the_timeout() -> None:
    failed: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = MinioStore(
            f"http://127.0.0.1:{silent.getsockname()[1]}",
            "retain",
            access_key="k",
            secret_key="s",
            patience_s=1.0,
            timeout_s=0.2,
            on_retry=lambda: failed.append(1),
        )
        with pytest.raises(Unavailable, match="could not be reached for 1 s"):
            store.put_bytes("key", b"text")
    assert len(failed) >= 2


def test_the_timeout_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    failed: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for name, value in {
            "RETAIN_S3_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "AWS_ACCESS_KEY_ID": "k",
            "AWS_SECRET_ACCESS_KEY": "s",
            "RETAIN_STORE_TIMEOUT_S": "0.2",
        }.items():
            monkeypatch.setenv(name, value)
        store = MinioStore.from_env(patience_s=1.0, on_retry=lambda: failed.append(1))
        with pytest.raises(Unavailable):
            store.get_bytes("key")
    assert failed


@contextmanager
def answering(status: int, code: str) -> Iterator[str]:
    """A server that answers every write like this; what a full MinIO says was seen on a real one."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no room</Message></Error>".encode()

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "code"), [(507, "XMinioStorageFull"), (400, "XMinioAdminBucketQuotaExceeded"), (403, "QuotaExceeded")]
)
def test_a_full_store_is_told_as_that_also_by_a_conditional_write(status: int, code: str) -> None:
    with answering(status, code) as endpoint:
        store = MinioStore(endpoint, "retain", access_key="k", secret_key="s", patience_s=0.1)
        for write in (store.put_bytes, store.put_if_absent):
            with pytest.raises(StorageFull, match=f"object store full at {endpoint}") as caught:
                write("key", b"text")
            assert caught.value.reason == "STORE_FULL"


def test_a_signature_never_gets_into_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = MinioStore(
            f"http://127.0.0.1:{silent.getsockname()[1]}",
            "retain",
            access_key="k",
            secret_key="s",
            patience_s=0.1,
            timeout_s=0.1,
        )
        with pytest.raises(Unavailable, match="could not be reached") as caught:
            store.put_if_absent("key", b"text")
    assert "X-Amz" not in caught.value.message
