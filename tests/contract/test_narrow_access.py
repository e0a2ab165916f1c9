"""What real stores enforce of narrow access: keys of one run (STS), forms for one file of one size (POST Object)."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from minio import Minio
from minio.error import S3Error

from services.common.errors import FailedPrecondition, InvalidInput, Unavailable
from services.common.store.narrow_access import NarrowAccess, RunKeys, UploadForm, run_policy
from tests.contract.object_store_servers import (
    ACCESS_KEY,
    SECRET_KEY,
    Server,
    minio_server,
    running,
    seaweedfs_server,
)
from tests.contract.test_object_store import connect


@pytest.fixture(scope="module")
def minio(shared_tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(minio_server(tmp_path_factory.mktemp("minio"), shared_tools)) as server:
        connect(server).ensure_bucket()
        yield server


@pytest.fixture(scope="module")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(seaweedfs_server(tmp_path_factory.mktemp("seaweedfs"))) as server:
        connect(server).ensure_bucket()
        yield server


REAL = [pytest.param(name, marks=pytest.mark.integration) for name in ("minio", "seaweedfs")]


@pytest.fixture(params=REAL)
def server(request: pytest.FixtureRequest) -> Server:
    return request.getfixturevalue(request.param)


def access(server: Server) -> NarrowAccess:
    return NarrowAccess(server.endpoint, "retain", access_key=ACCESS_KEY, secret_key=SECRET_KEY)


def client_of(server: Server, keys: RunKeys) -> Minio:
    return Minio(
        server.endpoint.removeprefix("http://"),
        access_key=keys.access_key,
        secret_key=keys.secret_key,
        session_token=keys.session_token,
        secure=False,
        region="us-east-1",
    )


def put(client: Minio, key: str) -> Any:
    from io import BytesIO

    return client.put_object("retain", key, BytesIO(b"x"), 1)


def denied(call: Callable[[], Any]) -> None:
    with pytest.raises(S3Error) as caught:
        call()
    assert caught.value.code in ("AccessDenied", "AllAccessDisabled"), caught.value.code


@pytest.mark.integration
def test_keys_of_a_run_open_its_own_prefix_and_nothing_of_others(minio: Server) -> None:
    root = connect(minio)
    for key in ("runs/a/x", "runs/b/x", "runs/a-evil/x", "uploads/u/x", "prepared/p/x", "history/h", "base/m/x"):
        root.put_bytes(key, b"kept")
    keys = access(minio).issue("a", lives_s=900, reads=("base/m",))
    assert keys.secret_key not in repr(keys)
    assert keys.session_token not in repr(keys)
    run = client_of(minio, keys)
    put(run, "runs/a/y")
    put(run, "prepared/new/x")
    run.remove_object("retain", "runs/a/y")
    for key in ("runs/a/x", "uploads/u/x", "prepared/p/x", "base/m/x"):
        assert run.get_object("retain", key).data == b"kept"
    assert [o.object_name for o in run.list_objects("retain", prefix="runs/a/", recursive=True)] == ["runs/a/x"]
    for key in ("runs/b/y", "runs/a-evil/y", "uploads/u/x", "history/h", "base/m/x", "y"):
        denied(lambda k=key: put(run, k))
    for key in ("runs/b/x", "runs/a-evil/x", "history/h"):
        denied(lambda k=key: run.get_object("retain", k))
    for key in ("runs/b/x", "prepared/p/x", "uploads/u/x"):
        denied(lambda k=key: run.remove_object("retain", k))
    denied(lambda: list(run.list_objects("retain", recursive=True)))
    denied(lambda: list(run.list_objects("retain", prefix="runs/b/", recursive=True)))
    denied(lambda: run.make_bucket("another"))
    assert root.get_bytes("runs/b/x") == b"kept"


@pytest.mark.integration
def test_a_store_without_sts_says_so(seaweedfs: Server) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        access(seaweedfs).issue("a")
    assert caught.value.reason == "NO_STS"
    assert SECRET_KEY not in str(caught.value)


def test_a_store_that_is_away_is_another_thing() -> None:
    away = NarrowAccess("http://127.0.0.1:9", "retain", access_key="a", secret_key="bbbbbbbb")
    with pytest.raises(Unavailable):
        away.issue("a")


def post(form: UploadForm, content: bytes, **changes: str) -> int:
    """Status of the store's answer."""
    boundary = "----retain"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in {**form.fields, **changes}.items()
    ]
    parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'.encode())
    body = b"".join([*parts, content, f"\r\n--{boundary}--\r\n".encode()])
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(form.url, data=body, headers=headers), timeout=20) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_form_takes_one_file_of_one_size_under_one_key(server: Server) -> None:
    form = access(server).upload_form("uploads/f/a.txt", size_bytes=5)
    for content in (b"", b"1234", b"123456", b"1" * 100_000):
        assert post(form, content) >= 400, f"{len(content)} bytes were taken"
    assert post(form, b"12345", key="uploads/f/other.txt") >= 400
    assert post(form, b"12345", key="runs/b/x") >= 400
    assert post(form, b"12345", policy=form.fields["policy"][:-4] + "AAAA") >= 400
    unsigned = UploadForm(url=form.url, fields={"key": "uploads/f/a.txt"})
    assert post(unsigned, b"12345") >= 400
    assert connect(server).stat("uploads/f/a.txt") is None
    assert post(form, b"12345") in (200, 201, 204)
    assert connect(server).get_bytes("uploads/f/a.txt") == b"12345"


@pytest.mark.parametrize("run_id", ["", "../b", "a/b", "a*", "a b", "${aws:username}"])
def test_a_name_that_would_widen_a_policy_is_refused(run_id: str) -> None:
    with pytest.raises(InvalidInput):
        run_policy("retain", run_id)


@pytest.mark.parametrize("prefix", ["", "/", "runs/*", "runs/b/../", "runs/?", "${x}"])
def test_a_prefix_that_would_widen_a_policy_is_refused(prefix: str) -> None:
    with pytest.raises(InvalidInput):
        run_policy("retain", "a", reads=(prefix,))
    assert "runs/a/*" in json.dumps(run_policy("retain", "a"))
