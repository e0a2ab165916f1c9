"""A server that takes a request and never answers, as a frozen or cut-off one does."""

import socket

import pytest

from services.common.errors import Unavailable
from services.common.minio_store import MinioStore


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
