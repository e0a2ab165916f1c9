"""What every object store must do, on the fake and on two real S3 servers (MinIO and SeaweedFS)."""

import dataclasses
import hashlib
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace

import pytest

from services.common.errors import InvalidInput, NotFound, Refused, Unavailable
from services.common.store.minio_store import PART_BYTES, MinioStore
from services.common.store.object_store import ObjectStore, get_folder, key_of, parse_s3_uri, put_folder, s3_uri
from tests.contract.object_store_servers import (
    ACCESS_KEY,
    SECRET_KEY,
    Server,
    minio_server,
    running,
    seaweedfs_server,
)
from tests.fakes.object_store import FakeObjectStore
from ui.client.errors import ClientError
from ui.client.views import ExportedFile
from ui.local import download


def connect(
    server: Server, *, bucket: str = "retain", secret_key: str = SECRET_KEY, patience_s: float = 30
) -> MinioStore:
    return MinioStore(server.endpoint, bucket, access_key=ACCESS_KEY, secret_key=secret_key, patience_s=patience_s)


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


@pytest.fixture
def real(server: Server) -> MinioStore:
    return connect(server)


@pytest.fixture(params=["fake", *REAL])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    if request.param == "fake":
        return FakeObjectStore()
    return connect(request.getfixturevalue(request.param))


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """Keys of one test, so that tests share a server."""
    return hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]


def test_bytes_come_back_and_are_replaced_whole(store: ObjectStore, prefix: str) -> None:
    store.put_bytes(f"{prefix}/a", b"first")
    store.put_bytes(f"{prefix}/a", b"second, longer")
    assert store.get_bytes(f"{prefix}/a") == b"second, longer"


def test_an_empty_object_is_an_object(store: ObjectStore, prefix: str) -> None:
    store.put_bytes(f"{prefix}/empty", b"")
    found = store.stat(f"{prefix}/empty")
    assert found is not None
    assert found.size_bytes == 0
    assert store.get_bytes(f"{prefix}/empty") == b""


def test_an_absent_object_is_not_found(store: ObjectStore, prefix: str, tmp_path: Path) -> None:
    assert store.stat(f"{prefix}/nothing") is None
    with pytest.raises(NotFound, match="nothing"):
        store.get_bytes(f"{prefix}/nothing")
    with pytest.raises(NotFound):
        store.get_file(f"{prefix}/nothing", tmp_path / "nothing")
    assert list(tmp_path.iterdir()) == []
    store.delete(f"{prefix}/nothing")


def test_a_folder_is_not_an_object(store: ObjectStore, prefix: str) -> None:
    store.put_bytes(f"{prefix}/folder/file", b"x")
    assert store.stat(f"{prefix}/folder") is None


def test_list_gives_all_keys_under_a_prefix_in_order(store: ObjectStore, prefix: str) -> None:
    for name in ("b", "a/2", "a/1", "ab"):
        store.put_bytes(f"{prefix}/{name}", name.encode())
    assert [info.key for info in store.list(f"{prefix}/a")] == [f"{prefix}/{name}" for name in ("a/1", "a/2", "ab")]
    assert [(info.key, info.size_bytes) for info in store.list(f"{prefix}/a/")] == [
        (f"{prefix}/a/1", 3),
        (f"{prefix}/a/2", 3),
    ]
    store.delete(f"{prefix}/a/1")
    assert [info.key for info in store.list(f"{prefix}/a/")] == [f"{prefix}/a/2"]


def test_a_scan_gives_every_object_once_and_those_of_a_folder_together(store: ObjectStore, prefix: str) -> None:
    """More than the 1,000 of one page, among them names that sort in another way as paths than as text."""
    keys = [f"{prefix}/{folder}/{number:03d}" for folder in ("a", "a-b", "a.c", "ab") for number in range(300)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda key: store.put_bytes(key, b"x"), keys))
    found = list(store.scan(f"{prefix}/"))
    assert sorted(info.key for info in found) == sorted(keys)
    assert {info.size_bytes for info in found} == {1}
    assert all(info.modified_s is not None and abs(info.modified_s - time.time()) < 600 for info in found)
    folders = [info.key.rpartition("/")[0] for info in found]
    assert len([name for name, _ in groupby(folders)]) == 4
    assert next(iter(store.scan(f"{prefix}/none/")), None) is None


def test_a_scan_that_fails_in_the_middle_never_passes_for_a_whole_one(
    real: MinioStore, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **kwargs: object) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(object_name="a", size=1, etag="", last_modified=None, is_dir=False)
        raise ConnectionError("the store went away")

    monkeypatch.setattr(real._client, "list_objects", broken)
    scan = real.scan(prefix)
    assert next(scan).key == "a"
    with pytest.raises(Unavailable, match="went away"):
        next(scan)


def test_a_file_of_several_parts_comes_back_bit_for_bit(store: ObjectStore, prefix: str, tmp_path: Path) -> None:
    data = hashlib.shake_256(prefix.encode()).digest(2 * PART_BYTES + 12345)
    (tmp_path / "out").write_bytes(data)
    store.put_file(f"{prefix}/large", tmp_path / "out")
    store.get_file(f"{prefix}/large", tmp_path / "deep/er/back")
    assert (tmp_path / "deep/er/back").read_bytes() == data
    assert sorted(path.name for path in (tmp_path / "deep/er").iterdir()) == ["back"]


def test_a_conditional_write_happens_once(store: ObjectStore, prefix: str) -> None:
    assert store.put_if_absent(f"{prefix}/once", b"mine")
    assert not store.put_if_absent(f"{prefix}/once", b"theirs")
    assert store.get_bytes(f"{prefix}/once") == b"mine"


def test_of_many_conditional_writers_one_wins(store: ObjectStore, prefix: str) -> None:
    together = threading.Barrier(8)

    def write(writer: int) -> bool:
        together.wait()
        return store.put_if_absent(f"{prefix}/race", f"writer {writer}".encode())

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(write, range(8)))
    assert won.count(True) == 1
    assert store.get_bytes(f"{prefix}/race") == f"writer {won.index(True)}".encode()


def test_a_folder_travels_with_its_commit_marker_last(store: ObjectStore, prefix: str, tmp_path: Path) -> None:
    names = ["manifest.json", "model/config.json", "model/model.safetensors", "zzz"]
    for name in names:
        path = tmp_path / "out" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    assert put_folder(store, tmp_path / "out", prefix, last="manifest.json") == sum(map(len, names))
    assert sorted(get_folder(store, prefix, tmp_path / "back")) == names
    assert (tmp_path / "back/model/config.json").read_text() == "model/config.json"
    if isinstance(store, FakeObjectStore):
        written = [key for call, key in store.calls if call == "put_file"]
        assert written[-1] == f"{prefix}/manifest.json"


def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    store = FakeObjectStore()
    store.put_bytes("x/../../outside", b"evil")
    with pytest.raises(InvalidInput, match="inside"):
        get_folder(store, "x", tmp_path / "in")
    assert not (tmp_path / "outside").exists()


def test_presigned_urls_work_without_credentials(real: MinioStore, prefix: str) -> None:
    signed = real.sign_put(f"{prefix}/a file", sha256=hashlib.sha256(b"by url").hexdigest(), size_bytes=6)
    request = urllib.request.Request(signed.url, data=b"by url", method="PUT", headers=dict(signed.headers))
    with urllib.request.urlopen(request) as reply:
        assert reply.status == 200
    with urllib.request.urlopen(real.presign_get(f"{prefix}/a file")) as reply:
        assert reply.read() == b"by url"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"{real.presign_get(f'{prefix}/a file').partition('?')[0]}")


def test_a_client_s_download_continues_after_its_last_byte(real: MinioStore, prefix: str, tmp_path: Path) -> None:
    body = hashlib.sha256(prefix.encode()).digest() * 10_000
    real.put_bytes(f"{prefix}/weights", body)
    url, digest = real.presign_get(f"{prefix}/weights"), hashlib.sha256(body).hexdigest()
    (tmp_path / "weights.part").write_bytes(body[:300_000])
    heard: list[int] = []
    file = ExportedFile(path="weights", url=url, sha256=digest, bytes=len(body))
    download.get_file(file, tmp_path / "weights", progress=heard.append)
    assert (tmp_path / "weights").read_bytes() == body
    assert heard[0] > 300_000
    refused = dataclasses.replace(file, url=url.partition("?")[0])
    with pytest.raises(ClientError) as caught:
        download.get_file(refused, tmp_path / "other")
    assert caught.value.reason == download.URL_REFUSED


def test_wrong_credentials_are_refused_at_once(server: Server) -> None:
    started = time.monotonic()
    with pytest.raises(Refused):
        connect(server, secret_key="wrong").get_bytes("x")
    assert time.monotonic() - started < 5


def test_a_missing_bucket_is_named(server: Server) -> None:
    with pytest.raises(NotFound, match="no bucket elsewhere"):
        connect(server, bucket="elsewhere").get_bytes("x")


def test_a_store_that_is_away_for_a_while_costs_a_wait(server: Server, prefix: str, tmp_path: Path) -> None:
    """The server is killed, a write begins, the server returns, the write arrives; its failed tries are counted."""
    failures: list[float] = []
    store = connect(server, patience_s=60)
    store.on_retry = lambda: failures.append(time.monotonic())
    store.put_bytes(f"{prefix}/before", b"kept")
    server.stop()
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(store.put_bytes, f"{prefix}/during", b"arrives")
        time.sleep(1.0)
        assert not writing.done()
        server.start()
        writing.result(timeout=30)
    assert failures
    assert store.get_bytes(f"{prefix}/during") == b"arrives"
    assert store.get_bytes(f"{prefix}/before") == b"kept"


def test_a_store_that_stays_away_ends_in_unavailable() -> None:
    store = MinioStore("http://127.0.0.1:9", "retain", access_key="a", secret_key="b" * 8, patience_s=0.4)
    with pytest.raises(Unavailable, match="could not be reached for 0 s"):
        store.get_bytes("x")


def test_closing_ends_a_wait() -> None:
    store = MinioStore("http://127.0.0.1:9", "retain", access_key="a", secret_key="b" * 8, patience_s=600)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(store.get_bytes, "x")
        time.sleep(0.3)
        store.close()
        with pytest.raises(Unavailable):
            reading.result(timeout=5)


def test_the_environment_must_name_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RETAIN_S3_ENDPOINT", "RETAIN_S3_BUCKET", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InvalidInput) as missing:
        MinioStore.from_env()
    assert [violation.field for violation in missing.value.violations] == [
        "RETAIN_S3_ENDPOINT",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
    ]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b" * 8)
    monkeypatch.setenv("RETAIN_S3_ENDPOINT", "127.0.0.1:7075")
    with pytest.raises(InvalidInput, match=r"http://HOST:PORT"):
        MinioStore.from_env()
    monkeypatch.setenv("RETAIN_S3_ENDPOINT", "http://127.0.0.1:7075")
    assert MinioStore.from_env().bucket == "retain"


def test_uris() -> None:
    assert parse_s3_uri("s3://retain/runs/r1/step-000000100") == ("retain", "runs/r1/step-000000100")
    assert parse_s3_uri("s3://retain/") == ("retain", "")
    store = FakeObjectStore("retain")
    assert s3_uri(store, "runs/r1/") == "s3://retain/runs/r1"
    assert key_of(store, "s3://retain/runs/r1") == "runs/r1"
    for wrong in ("http://retain/x", "retain/x", "s3://", "/retain/x"):
        with pytest.raises(InvalidInput, match="s3://BUCKET/KEY"):
            parse_s3_uri(wrong)
    with pytest.raises(InvalidInput, match="elsewhere"):
        key_of(store, "s3://elsewhere/x")
