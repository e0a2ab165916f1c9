"""The object store of the local stack from outside: without keys nobody writes, deletes or reads, by no door.

Every port on which the program listens is tried, on loopback, as another user of the machine or a web page could.
"""

import http.client
import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import grpc
import psutil
import pytest
from minio import Minio

from deploy.local.components import BUCKET
from deploy.local.home import Home
from deploy.local.listening import Listening, own_names
from services.common.errors import Unavailable
from services.common.store.minio_store import MinioStore
from ui.client.errors import ClientError
from ui.local.transfer import open_url

pytestmark = [pytest.mark.integration, pytest.mark.slow]
CONTENT = b"c" * 6_000_000  # more than one part of a multipart upload


def launcher(home: Path, *arguments: str, path: str) -> str:
    command = [sys.executable, "-m", "deploy.local", *arguments, "--home", str(home)]
    env = {**os.environ, "PATH": path}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Store:
    """A running object store with an object in it."""

    def __init__(self, home: Path, path: str) -> None:
        self._home, self._path = home, path
        self.endpoint = json.loads(launcher(home, "up", "--json", "--only", "object_store", path=path))["object_store"]
        keys = Home(path=home).credentials()
        self.objects = MinioStore(
            self.endpoint, BUCKET, access_key=keys.access_key, secret_key=keys.secret_key, patience_s=20
        )
        self.objects.put_bytes("runs/a/model", CONTENT)

    def down(self) -> None:
        launcher(self._home, "down", path=self._path)

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(Home(path=self._home).read_record()["processes"]["object_store"]["pid"])

    def listening(self) -> list[str]:
        """All TCP addresses of the program, whatever they are for; all of them on loopback."""
        found = [one.laddr for one in self.process.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
        assert {address.ip for address in found} <= {"127.0.0.1", "::1"}
        return sorted(f"[{one.ip}]:{one.port}" if ":" in one.ip else f"{one.ip}:{one.port}" for one in found)


class Kind(NamedTuple):
    """A make of object store, and the PATH on which the launcher finds that one."""

    name: str
    path: str


@pytest.fixture(scope="module", params=["seaweedfs", "minio"])
def kind(request: pytest.FixtureRequest) -> Kind:
    path = os.environ["PATH"]
    if request.param == "minio":
        tools = request.getfixturevalue("shared_tools")
        unpacked = subprocess.run([str(tools / "unpack")], check=True, capture_output=True, text=True).stdout.strip()
        path = f"{unpacked}:{path}"
    while request.param == "seaweedfs" and (found := shutil.which("minio", path=path)):
        path = os.pathsep.join(one for one in path.split(os.pathsep) if one != str(Path(found).parent))
    return Kind(request.param, path)


@pytest.fixture(scope="module")
def store(kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    home = tmp_path_factory.mktemp(kind.name)
    running = Store(home, kind.path)
    try:
        assert (home / "objects" / kind.name).is_dir(), "another server than the one under test"
        yield running
    finally:
        running.down()


def answer(method: str, address: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Status and content of an HTTP request; 0 where no HTTP is spoken."""
    request = urllib.request.Request(f"http://{address}{path}", method=method, data=body)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=5) as reply:
            return reply.status, reply.read(len(CONTENT) + 1)
    except urllib.error.HTTPError as error:
        return error.code, b""
    except (OSError, http.client.HTTPException):  # a port of gRPC
        return 0, b""


# What SeaweedFS's servers do for whoever comes, and S3's own verbs without a signature.
HARMFUL = [
    ("GET", "/dir/assign", None),
    ("POST", "/dir/assign", b""),
    ("POST", "/submit", b"x"),
    ("GET", "/vol/grow?count=1&replication=000", None),
    ("GET", "/vol/vacuum", None),
    ("POST", f"/col/delete?collection={BUCKET}", b""),
    ("GET", f"/col/delete?collection={BUCKET}", None),
    ("PUT", f"/buckets/{BUCKET}/runs/a/model", b"evil"),
    ("POST", f"/buckets/{BUCKET}/evil", b"evil"),
    ("DELETE", f"/buckets/{BUCKET}/runs/a/model", None),
    ("DELETE", "/buckets?recursive=true", None),
    ("PUT", f"/{BUCKET}/runs/a/model", b"evil"),
    ("POST", f"/{BUCKET}/evil", b"evil"),
    ("DELETE", f"/{BUCKET}/runs/a/model", None),
    ("DELETE", f"/{BUCKET}", None),
    ("POST", "/minio/admin/v3/add-user?accessKey=evil", b"{}"),
    *(("POST", f"/{volume},01637037d6", b"x") for volume in range(1, 15)),
    *(("DELETE", f"/{volume},01637037d6", None) for volume in range(1, 15)),
]
REVEALING = [
    f"/buckets/{BUCKET}/runs/a/model",
    f"/{BUCKET}/runs/a/model",
    f"/{BUCKET}?list-type=2",
    "/buckets/?pretty=y",
    "/dir/status",
    "/dir/lookup?volumeId=1",
    "/vol/status",
    "/minio/v2/metrics/cluster",
]


def test_http_without_keys_changes_nothing_and_reads_nothing(store: Store) -> None:
    for address in store.listening():
        for method, path, body in HARMFUL:
            status, _ = answer(method, address, path, body)
            assert status == 0 or status >= 400, f"{method} {address}{path} answers {status}"
        for path in REVEALING:
            status, content = answer("GET", address, path)
            assert status == 0 or status >= 400, f"GET {address}{path} answers {status} {content[:200]!r}"
    assert store.objects.get_bytes("runs/a/model") == CONTENT
    assert [info.key for info in store.objects.list("")] == ["runs/a/model"]


CALLS = [
    ("/master_pb.Seaweed/Assign", b"\x08\x01"),
    ("/master_pb.Seaweed/CollectionDelete", b"\x0a\x06retain"),
    ("/master_pb.Seaweed/ListMasterClients", b""),
    ("/volume_server_pb.VolumeServer/DeleteCollection", b"\x0a\x06retain"),
    ("/volume_server_pb.VolumeServer/VolumeServerStatus", b""),
    ("/filer_pb.SeaweedFiler/DeleteEntry", b"\x0a\x08/buckets\x12\x06retain\x28\x01\x30\x01"),
    ("/filer_pb.SeaweedFiler/GetFilerConfiguration", b""),
    ("/filer_pb.SeaweedFiler/KvGet", b""),
    ("/s3_pb.SeaweedS3IamCache/PutIdentity", b""),
]


def test_grpc_without_the_certificate_of_this_start_is_not_spoken(store: Store) -> None:
    for target in [*store.listening(), *unix_sockets(store.process)]:
        for method, body in CALLS:
            with (
                grpc.insecure_channel(target, options=(("grpc.enable_http_proxy", 0),)) as channel,
                pytest.raises(grpc.RpcError) as caught,
            ):
                channel.unary_unary(method)(body, timeout=3)
            # UNIMPLEMENTED would be the answer of a server that let the caller in.
            refused = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
            assert caught.value.code() in refused, f"{target} {method}: {caught.value.code()}"
    assert store.objects.get_bytes("runs/a/model") == CONTENT


def unix_sockets(process: psutil.Process) -> list[str]:
    """Also those in /tmp, as gRPC targets; nobody else may even connect to them."""
    found = {one.laddr for one in process.net_connections("unix") if one.laddr and str(one.laddr).startswith("/")}
    for path in found:
        assert Path(path).stat().st_mode & 0o022 == 0, f"{path} lets others in"
    return [f"unix:{path}" for path in sorted(found)]


def test_wrong_keys_open_nothing(store: Store) -> None:
    for access, secret in (("retain", "retain"), ("minioadmin", "minioadmin"), ("any", "")):
        client = Minio(
            store.endpoint.removeprefix("http://"), access_key=access, secret_key=secret or "-", secure=False
        )
        with pytest.raises(Exception, match=r"(?i)denied|does not exist|signature|invalid"):
            client.remove_object(BUCKET, "runs/a/model")
    assert store.objects.get_bytes("runs/a/model") == CONTENT


def test_no_secret_can_be_read_by_others(store: Store) -> None:
    home = store._home
    secret = Home(path=home).credentials().secret_key
    assert not any(secret in word for word in store.process.cmdline()), "a command line is readable by every user"
    for path in home.rglob("*"):
        if path.is_file() and (path.suffix in (".pem", ".json") or path.name == "ray_token"):
            mode = path.stat().st_mode & 0o077
            inside_private = any(parent.stat().st_mode & 0o077 == 0 for parent in path.parents if parent != Path("/"))
            assert mode == 0 or inside_private, path


def test_beyond_loopback_the_store_speaks_tls_alone(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `--listen`: neither plain HTTP nor a caller who does not know the authority; links name the machine."""
    address = next((one for one in own_names() if one.count(".") == 3 and not one.startswith("127.")), None)
    if address is None:
        pytest.skip("required: an IPv4 address beyond loopback")
    monkeypatch.setenv("RETAIN_LISTEN", address)
    home = tmp_path / "home"
    try:
        told = json.loads(launcher(home, "up", "--json", "--only", "object_store", path=kind.path))
        assert (home / "objects" / kind.name).is_dir(), "another server than the one under test"
        port = told["object_store"].rpartition(":")[2]
        assert answer("GET", f"{address}:{port}", f"/{BUCKET}")[0] in (0, 400)
        keys = Home(path=home).credentials()
        options = {"access_key": keys.access_key, "secret_key": keys.secret_key, "patience_s": 1.0}
        public = Listening.of(Home(path=home), {"RETAIN_LISTEN": address}).public_url(int(port))
        assert public == f"https://{address}:{port}"
        with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
            MinioStore(public, BUCKET, **options).put_bytes("a", b"a")
        store = MinioStore(public, BUCKET, ca_bundle=told["ca"], **options)
        store.put_bytes("a", CONTENT)
        link = urllib.request.Request(store.presign_get("a"))
        with pytest.raises(ClientError, match="--ca"):
            open_url(link)
        with open_url(link, ca=Path(told["ca"])) as reply:
            assert reply.read() == CONTENT
    finally:
        launcher(home, "down", path=kind.path)
