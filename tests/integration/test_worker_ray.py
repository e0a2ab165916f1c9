"""The worker group on a real Ray: two workers, a stage, and one of them killed on the way."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.contract.object_store_servers import Server, minio_server, running
from tests.fakes.stage_control import FakeStageControl
from tests.integration.worker_world import connect, orchestrator, point_worker_at, small_spec, small_stages

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]
BUCKET = "retain"


@pytest.fixture
def server(shared_tools: Path, tmp_path: Path) -> Iterator[Server]:
    with running(minio_server(tmp_path, shared_tools)) as server:
        connect(server, BUCKET)
        yield server


def start_group(tmp_path: Path, *, workers: int) -> subprocess.Popen[bytes]:
    """`python -m services.worker.main` as a Ray job would run it, on a small Ray of its own."""
    code = (
        "import ray, sys; ray.init(num_cpus=2, object_store_memory=80_000_000, include_dashboard=False,"
        f" _temp_dir={str(tmp_path / 'r')!r});"
        "from services.worker.main import main; main(sys.argv[1:])"
    )
    arguments = ["--run", "r1", "--submission", "1", "--workers", str(workers), "--cpus-per-worker", "0.5"]
    environment = {
        **os.environ,
        "RAY_DISABLE_USAGE_STATS": "1",
        "RAY_AUTH_MODE": "disabled",
        "RAY_raylet_start_wait_time_s": "120",
    }
    log = (tmp_path / "group.log").open("wb")
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], env=environment, stdout=log, stderr=log, start_new_session=True
    )


def end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, as Ray stops a job; then whatever is left of its session."""
    family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
    for child in family:
        if child.is_running():
            child.kill()


def train_workers(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The processes of the group, found by the title that Ray gives them."""
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if "RayTrainWorker" in " ".join(child.cmdline())]


def test_a_killed_worker_costs_an_attempt_and_no_bits(
    server: Server, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers; the second is killed while the stage trains. Ray restarts the group in the same job, a new attempt
    resumes from the last checkpoint, and the weights are those of a run that nothing happened to."""
    digests = []
    for kill in (False, True):
        control = FakeStageControl(small_spec(stages=1), small_stages(1))
        control.stages[0].steps, control.stages[0].steps_per_boundary = 60, 20
        victim: list[int] = []

        with orchestrator(control):
            point_worker_at(
                monkeypatch, endpoint=server.endpoint, bucket=BUCKET, control=control, cache=tmp_path / "cache"
            )
            folder = tmp_path_factory.mktemp("ray")
            process = start_group(folder, workers=2)

            def strike(request, process=process, control=control, victim=victim) -> None:
                control.resume[0] = request.checkpoint
                if not victim:
                    victim.append(train_workers(process)[1].pid)
                    os.kill(victim[0], signal.SIGKILL)

            control.on_checkpoint = strike if kill else (lambda request: None)
            try:
                assert process.wait(timeout=240) == 0, (folder / "group.log").read_text()[-3000:]
            finally:
                end(process)
        assert not control.failed, control.ended
        assert bool(victim) is kill
        assert len([stage for stage, _ in control.begun if stage == 0]) == (2 if kill else 1)
        digests.append(control.accepted(0).weights_digest)
    assert digests[0] == digests[1]


def test_a_group_leaves_on_sigterm(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    control = FakeStageControl(small_spec(stages=1), small_stages(1))
    control.stages[0].steps, control.stages[0].steps_per_boundary = 5000, 5000
    with orchestrator(control):
        point_worker_at(monkeypatch, endpoint=server.endpoint, bucket=BUCKET, control=control, cache=tmp_path / "cache")
        process = start_group(tmp_path, workers=1)
        try:
            deadline = time.monotonic() + 120
            while not any(p.step > 0 for p in control.progress) and time.monotonic() < deadline:
                time.sleep(0.2)
            assert any(p.step > 0 for p in control.progress), (tmp_path / "group.log").read_text()[-3000:]
            family = psutil.Process(process.pid).children(recursive=True)
            process.terminate()
            assert process.wait(timeout=30) == 128 + signal.SIGTERM
            _, alive = psutil.wait_procs(family, timeout=20)
            assert alive == []
        finally:
            end(process)
