"""The launcher on a real Ray head with token authentication: jobs by our own number, once however often submitted."""

import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from retain.values import ComputeSpec
from services.common.errors import Refused, Unavailable
from services.orchestrator.adapters.ray_jobs import RayJobs, auth_headers, job_env
from services.orchestrator.application.ports import JobRequest, JobState
from tests.ports import free_port

PRINTS_AND_WAITS = """#!/bin/sh
echo "entry: $*"
echo "server: $RETAIN_SERVER"
exec sleep 120
"""


@pytest.fixture(scope="module")
def ray_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("ray")
    token = folder / "token"
    token.write_text(secrets.token_hex(16))
    dashboard, head = free_port(), free_port()
    env = {
        **os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "RAY_DISABLE_USAGE_STATS": "1",
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    short = Path("/tmp") / f"retain-ray-{secrets.token_hex(3)}"  # the sockets' paths must stay short
    process = subprocess.Popen(
        [
            Path(sys.executable).parent / "ray", "start", "--head", "--block", "--num-cpus=1", f"--port={head}",
            "--node-ip-address=127.0.0.1", "--include-dashboard=true", "--dashboard-host=127.0.0.1",
            f"--dashboard-port={dashboard}", f"--temp-dir={short}", "--object-store-memory=80000000",
        ],
        env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    try:
        jobs = RayJobs(f"http://127.0.0.1:{dashboard}", env={})
        end = time.monotonic() + 90
        while True:
            try:
                assert jobs.status("none").state is JobState.NOT_FOUND
                break
            except Unavailable:
                assert time.monotonic() < end, "the Ray head did not come up"
                time.sleep(0.5)
        yield f"http://127.0.0.1:{dashboard}"
    finally:
        del os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN_PATH"]
        process.terminate()
        process.wait(timeout=60)
        subprocess.run(["rm", "-rf", str(short)], check=False)


@pytest.mark.integration
@pytest.mark.slow
def test_a_job_is_started_once_seen_stopped_and_read(ray_address: str, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(PRINTS_AND_WAITS)
    python.chmod(0o755)
    jobs = RayJobs(ray_address, env={"RETAIN_SERVER": "127.0.0.1:9"}, python=str(python))
    request = JobRequest(
        run_id="demo-1",
        submission=3,
        compute=ComputeSpec(workers=2, min_workers=1, cpus_per_worker=0.5),
        labels={"retain.run": "demo-1"},
    )
    for _ in range(3):
        jobs.submit(request)
    assert request.job_id == "retain-demo-1-3"
    end = time.monotonic() + 60
    while jobs.status(request.job_id).state is not JobState.RUNNING:
        assert time.monotonic() < end
        time.sleep(0.3)
    while "server:" not in (log := b"".join(jobs.log(request.job_id)).decode()):
        assert time.monotonic() < end
        time.sleep(0.3)
    assert b"".join(jobs.log(request.job_id, last_lines=1)).decode() == log.splitlines(keepends=True)[-1]
    follower = jobs.log(request.job_id, last_lines=1, follow=True)
    pieces = iter(follower)
    assert next(pieces).decode() == log.splitlines(keepends=True)[-1]
    ended: list[bytes | None] = []
    waits = threading.Thread(target=lambda: ended.append(next(pieces, None)))
    waits.start()
    follower.close()
    waits.join(10)
    assert ended == [None], "who waits for a line is woken up when the stream is closed"
    wanted = "--run demo-1 --submission 3 --workers 2 --min-workers 1 --cpus-per-worker 0.5"
    assert f"entry: -m services.worker.main {wanted}" in log
    assert "server: 127.0.0.1:9" in log
    jobs.stop(request.job_id)
    while (view := jobs.status(request.job_id)).state is not JobState.ENDED:
        assert time.monotonic() < end
        time.sleep(0.3)
    assert "STOPPED" in view.message
    jobs.stop(request.job_id)
    jobs.stop("retain-unknown-1")
    assert list(jobs.log("retain-unknown-1")) == []
    assert jobs.status("retain-unknown-1").state is JobState.NOT_FOUND


@pytest.mark.integration
@pytest.mark.slow
def test_a_wrong_token_is_refused(ray_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "wrong")
    with pytest.raises(Refused):
        RayJobs(ray_address, env={}).status("x")


def test_the_token_is_found_as_ray_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert auth_headers({}) == {}
    with pytest.raises(Refused, match="RAY_AUTH_TOKEN"):
        auth_headers({"RAY_AUTH_MODE": "token"})
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("home\n")
    assert auth_headers({"RAY_AUTH_MODE": "token"}) == {"Authorization": "Bearer home"}
    (tmp_path / "t").write_text("path")
    with_path = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(tmp_path / "t")}
    assert auth_headers(with_path) == {"Authorization": "Bearer path"}
    assert auth_headers(with_path | {"RAY_AUTH_TOKEN": "env"}) == {"Authorization": "Bearer env"}


def test_workers_get_our_settings_and_not_the_database() -> None:
    env = job_env(
        {
            "RETAIN_S3_BUCKET": "b",
            "AWS_REGION": "r",
            "RETAIN_DATABASE_URL": "secret",
            "RETAIN_SERVICE_TOKEN": "secret",
            "RETAIN_ADMIN_TOKEN": "secret",
            "AWS_ACCESS_KEY_ID": "secret",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "HF_TOKEN": "secret",
            "WANDB_API_KEY": "secret",
            "MLFLOW_TRACKING_PASSWORD": "secret",
            "RETAIN_S3_PUBLIC_ENDPOINT": "of the service",
            "RETAIN_STACK_MEMBER": "m",
            "PATH": "p",
            "HF_HOME": "h",
        },
        extra={"RETAIN_SERVER": "s"},
    )
    assert env == {"RETAIN_S3_BUCKET": "b", "AWS_REGION": "r", "HF_HOME": "h", "RETAIN_SERVER": "s"}


def test_a_head_that_is_away_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        RayJobs(f"http://127.0.0.1:{free_port()}", env={}).status("x")
