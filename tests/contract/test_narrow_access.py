"""What real stores enforce of narrow access: keys of one run and of the evaluator (STS), URLs for one content."""

import http.server
import io
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import urllib3
from minio import Minio
from minio.commonconfig import CopySource
from minio.credentials import Credentials
from minio.error import S3Error

from services.common.errors import FailedPrecondition, NotFound, Refused, Unavailable
from services.common.store.minio_store import PART_BYTES, MinioStore
from services.common.store.narrow_access import NarrowAccess
from services.common.store.policies import evaluator_policy, run_policy
from services.common.store.renewed_keys import RenewedKeys
from services.common.store.signed_put import SignedPut, sign_put
from services.common.store.store_keys import StoreKeys
from tests.contract.object_store_servers import (
    ACCESS_KEY,
    SECRET_KEY,
    Server,
    minio_server,
    running,
    seaweedfs_server,
)
from tests.contract.test_object_store import connect

DIGEST = "0123456789abcdef" * 4
CONTENT = b"12345"


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


def access(server: Server, **settings: Any) -> NarrowAccess:
    return NarrowAccess(server.endpoint, access_key=ACCESS_KEY, secret_key=SECRET_KEY, **settings)


def client_of(server: Server, keys: StoreKeys) -> Minio:
    return Minio(
        server.endpoint.removeprefix("http://"),
        access_key=keys.access_key,
        secret_key=keys.secret_key,
        session_token=keys.session_token,
        secure=False,
        region="us-east-1",
    )


def store_of(server: Server, keys: StoreKeys) -> MinioStore:
    """The client of our own, as a worker has it."""
    return MinioStore(server.endpoint, "retain", keys=RenewedKeys(lambda patiently: keys), patience_s=10)


def put(client: Minio, key: str, data: bytes = b"x") -> Any:
    return client.put_object("retain", key, io.BytesIO(data), len(data))


def denied(call: Callable[[], Any]) -> None:
    with pytest.raises(S3Error) as caught:
        call()
    assert caught.value.code in ("AccessDenied", "AllAccessDisabled"), caught.value.code


def test_keys_of_a_run_open_its_own_prefix_and_nothing_of_others(server: Server) -> None:
    root = connect(server)
    data, base = f"uploads/{DIGEST}/a.txt", "runs/before/pretrain/attempt-0/step-000000010"
    others = ("runs/b/x", "runs/a-evil/x", "uploads/other/x", "history/h", f"{base[:-1]}1/m")
    shared = f"prepared/{DIGEST}/x"
    for key in ("runs/a/x", data, f"{base}/m", shared, *others):
        root.put_bytes(key, b"kept")
    keys = access(server).issue(run_policy("retain", "a", reads=(base, data)), "a")
    assert keys.secret_key not in repr(keys)
    assert keys.session_token not in repr(keys)
    run = client_of(server, keys)
    put(run, "runs/a/y")
    put(run, f"tokenizers/{DIGEST}/x")
    put(run, f"{shared[:-2]}/.damaged")
    for key in ("runs/a/y", f"{shared[:-2]}/.damaged"):
        run.remove_object("retain", key)
    for key in ("runs/a/x", data, f"{base}/m", shared):
        assert run.get_object("retain", key).data == b"kept"
    assert [o.object_name for o in run.list_objects("retain", prefix="runs/a/", recursive=True)] == ["runs/a/x"]
    for key in (*others, data, f"{base}/m", "y"):
        denied(lambda k=key: put(run, k))
        denied(lambda k=key: run.remove_object("retain", k))
    denied(lambda: put(run, "runs/b/big", b"z" * (PART_BYTES + 1)))
    for key in others:
        denied(lambda k=key: run.get_object("retain", k))
        denied(lambda k=key: run.copy_object("retain", "runs/a/stolen", CopySource("retain", k)))
    denied(lambda: run.remove_object("retain", shared))
    # Not even the names of what others have.
    for prefix in ("", "runs/", "runs/b/", "prepared/", f"prepared/{DIGEST[:8]}", "uploads/"):
        denied(lambda p=prefix: list(run.list_objects("retain", prefix=p, recursive=True)))
    denied(lambda: run.make_bucket("another"))
    assert root.get_bytes("runs/b/x") == b"kept"


def test_a_worker_s_client_finds_nothing_where_there_is_nothing(server: Server, tmp_path: Path) -> None:
    """A store may answer "forbidden" for what is not there, and the worker would take it for a refusal."""
    connect(server).put_bytes(f"evalsets/{DIGEST}/meta.json", b"{}")
    store = store_of(server, access(server).issue(run_policy("retain", "c"), "c"))
    assert store.stat("runs/c/none") is None
    assert store.stat(f"prepared/recipes/{DIGEST}.json") is None
    with pytest.raises(NotFound):
        store.get_bytes(f"tokenizers/{DIGEST}/tokenizer.json")
    assert [found.key for found in store.list(f"evalsets/{DIGEST}/")] == [f"evalsets/{DIGEST}/meta.json"]
    assert list(store.list("runs/c/")) == []
    large = tmp_path / "large"
    large.write_bytes(b"x" * (PART_BYTES + 1))
    store.put_file("runs/c/large", large)
    assert store.put_if_absent("runs/c/once", b"1") is True
    assert store.put_if_absent("runs/c/once", b"2") is False
    with pytest.raises(Refused) as caught:
        store.get_bytes("runs/b/x")
    assert caught.value.reason == "STORE_REFUSED"


def test_keys_of_the_evaluator_read_runs_and_write_results(server: Server) -> None:
    root = connect(server)
    step = "runs/a/pretrain/attempt-0/step-000000010"
    for key in (f"{step}/manifest.json", f"evalsets/{DIGEST}/x", "installation", "history/r.json"):
        root.put_bytes(key, b"kept")
    evaluator = client_of(server, access(server).issue(evaluator_policy("retain"), "evaluator"))
    for key in ("evaluator/runs/r/e", f"evaluations/{DIGEST}/s.json", "floors/f", "history/r.json"):
        put(evaluator, key)
    put(evaluator, f"{step}-point-0.5/manifest.json")
    evaluator.remove_object("retain", "history/r.json")
    for key in (f"{step}/manifest.json", f"evalsets/{DIGEST}/x"):
        assert evaluator.get_object("retain", key).data == b"kept"
        denied(lambda k=key: put(evaluator, k))
        denied(lambda k=key: evaluator.remove_object("retain", k))
    denied(lambda: evaluator.get_object("retain", "installation"))
    denied(lambda: put(evaluator, "uploads/u/x"))
    denied(lambda: evaluator.remove_object("retain", f"{step}-point-0.5/manifest.json"))


def test_narrow_keys_make_no_wider_ones(server: Server) -> None:
    keys = access(server).issue(run_policy("retain", "a"), "a")
    held = NarrowAccess(server.endpoint, access_key=keys.access_key, secret_key=keys.secret_key)
    with pytest.raises(FailedPrecondition) as caught:
        held.issue(evaluator_policy("retain"), "more")
    assert keys.secret_key not in str(caught.value)
    without = Minio(server.endpoint[7:], keys.access_key, keys.secret_key, secure=False, region="us-east-1")
    with pytest.raises(S3Error):
        put(without, "runs/a/z")


def test_keys_that_the_store_has_forgotten_are_asked_for_anew(server: Server) -> None:
    gone = StoreKeys(access_key="ASIA0000000000000000", secret_key="x" * 40, session_token="t", expire_s=4e9)
    asked: list[bool] = []

    def ask(patiently: bool) -> StoreKeys:
        asked.append(patiently)
        return gone if len(asked) == 1 else access(server).issue(run_policy("retain", "d"), "d")

    store = MinioStore(server.endpoint, "retain", keys=RenewedKeys(ask), patience_s=10)
    store.put_bytes("runs/d/x", b"1")
    assert asked == [True, True]


def test_a_store_without_sts_says_so() -> None:
    class Page(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_error(501)

        def log_message(self, format: str, *args: Any) -> None:
            """Not to the terminal."""

    with http.server.HTTPServer(("127.0.0.1", 0), Page) as page:
        threading.Thread(target=page.handle_request, daemon=True).start()
        other = NarrowAccess(f"http://127.0.0.1:{page.server_port}", access_key="a", secret_key=SECRET_KEY)
        with pytest.raises(FailedPrecondition) as caught:
            other.issue(run_policy("retain", "a"), "a")
    assert caught.value.reason == "NO_STS"
    assert SECRET_KEY not in str(caught.value)


def test_a_store_that_is_away_is_another_thing() -> None:
    away = NarrowAccess("http://127.0.0.1:9", access_key="a", secret_key="bbbbbbbb")
    with pytest.raises(Unavailable):
        away.issue(run_policy("retain", "a"), "a")


def send(signed: SignedPut, content: bytes, **changes: str | None) -> int:
    """Status of the store's answer; `changes` replaces headers, or leaves them out (None)."""
    headers = {k: v for k, v in {**signed.headers, **{n.replace("_", "-"): v for n, v in changes.items()}}.items() if v}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(signed.url, data=content, method="PUT", headers=headers)
    try:
        with opener.open(request, timeout=20) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code


def signed(server: Server, key: str, *, lives_s: int = 600, now: datetime | None = None) -> SignedPut:
    return sign_put(
        urllib3.util.parse_url(server.endpoint),
        "retain",
        key,
        keys=Credentials(ACCESS_KEY, SECRET_KEY),
        region="us-east-1",
        sha256=sha256(CONTENT).hexdigest(),
        size_bytes=len(CONTENT),
        lives_s=lives_s,
        now=now,
    )


def test_a_signed_url_takes_one_content_once(server: Server) -> None:
    key = "uploads/f/a b+c.txt"
    url = signed(server, key)
    for content in (b"", b"1234", b"123456", b"54321", b"1" * 100_000):
        assert send(url, content) >= 400, f"{content[:10]!r} was taken"
    assert send(url, CONTENT, if_none_match=None) >= 400
    assert send(url, CONTENT, x_amz_checksum_sha256=None) >= 400
    assert send(SignedPut(url=url.url.replace("uploads/f", "runs/b"), headers=url.headers), CONTENT) >= 400
    old = signed(server, key, lives_s=60, now=datetime.now(UTC) - timedelta(minutes=5))
    assert send(old, CONTENT) >= 400, "its time is over"
    assert connect(server).stat(key) is None
    assert send(url, CONTENT) == 200
    assert connect(server).get_bytes(key) == CONTENT
    assert send(url, CONTENT) == 412, "it is written once"
