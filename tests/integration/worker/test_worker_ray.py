"""The worker group on a real Ray: two workers, a stage, and one of them killed on the way."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from retain.orchestrator.v1 import stage_control_service_pb2 as pb
from services.worker.assignment_loop import work_loop
from tests.contract.object_store_servers import Server, minio_server, running
from tests.fakes.stage_control import FakeStageControl
from tests.gloo_group import spawn_gloo_group
from tests.integration.worker.harness import connect, orchestrator, point_worker_at, small_spec, small_stages

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]
BUCKET = "retain"


@pytest.fixture
def server(shared_tools: Path, tmp_path: Path) -> Iterator[Server]:
    with running(minio_server(tmp_path, shared_tools)) as server:
        connect(server, BUCKET)
        yield server


@pytest.fixture
def ray_folder() -> Iterator[Path]:
    """A folder with a short name: the paths of Ray's sockets may have 107 bytes, and pytest's folders are long."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


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
    server: Server, tmp_path: Path, ray_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers on Ray; the second is killed while the stage trains. Ray restarts the group in the same job, a new
    attempt resumes from the last checkpoint, and the weights are those of two workers that nothing happened to."""
    kept = []
    for kill in (False, True):
        control = FakeStageControl(small_spec(stages=1), small_stages(1))
        control.stages[0].steps, control.stages[0].steps_per_boundary = 60, 20
        kept.append(control)
        with orchestrator(control):
            config = point_worker_at(
                monkeypatch, endpoint=server.endpoint, bucket=BUCKET, control=control, cache=tmp_path / "cache"
            )
            if not kill:
                spawn_gloo_group(2, work_loop, config.as_dict())
                continue
            process = start_group(ray_folder, workers=2)
            victims: list[int] = []

            def strike(request, process=process, control=control, victims=victims) -> None:
                control.resume[0] = request.checkpoint
                if not victims:
                    victims.append(train_workers(process)[1].pid)
                    os.kill(victims[0], signal.SIGKILL)

            control.on_checkpoint = strike
            try:
                assert process.wait(timeout=400) == 0, (ray_folder / "group.log").read_text()[-3000:]
            finally:
                end(process)
    assert [len([stage for stage, _ in control.begun if stage == 0]) for control in kept] == [1, 2]
    assert kept[0].accepted(0).weights_digest == kept[1].accepted(0).weights_digest


def test_a_group_leaves_on_sigterm(
    server: Server, tmp_path: Path, ray_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = FakeStageControl(small_spec(stages=1), small_stages(1))
    control.stages[0].steps, control.stages[0].steps_per_boundary = 5000, 5000
    with orchestrator(control):
        point_worker_at(monkeypatch, endpoint=server.endpoint, bucket=BUCKET, control=control, cache=tmp_path / "cache")
        process = start_group(ray_folder, workers=1)
        try:
            deadline = time.monotonic() + 300
            while not any(p.step > 0 for p in control.progress) and time.monotonic() < deadline:
                time.sleep(0.2)
            assert any(p.step > 0 for p in control.progress), (ray_folder / "group.log").read_text()[-3000:]
            family = psutil.Process(process.pid).children(recursive=True)
            process.terminate()
            assert process.wait(timeout=60) != 0  # Ray's client has its own idea of the number
            _, alive = psutil.wait_procs(family, timeout=60)
            assert alive == []
        finally:
            end(process)


@pytest.mark.long  # test_a_group_leaves_on_sigterm and test_worker_leaving.py show it in `make test`
@pytest.mark.parametrize("rank", [0, 1])
def test_a_worker_that_gets_sigterm_costs_no_step(
    rank: int, server: Server, tmp_path: Path, ray_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM to one of two workers in the midst of an interval, as a drained machine sends it: the whole group
    finishes the step, stores an interim checkpoint and ends without a fault; the next group ends with the same
    weights."""
    # Progress is told every two seconds; an interval lasts longer than that, so that the signal comes in its midst.
    spec, steps, apart = small_spec(stages=1), 450, 150
    spec.stages[0].batch.sequences = 16
    kept = []
    for told in (False, True):
        control = FakeStageControl(spec, small_stages(1))
        control.stages[0].steps, control.stages[0].steps_per_boundary = steps, apart
        kept.append(control)
        with orchestrator(control):
            config = point_worker_at(
                monkeypatch, endpoint=server.endpoint, bucket=BUCKET, control=control, cache=tmp_path / "cache"
            )
            if not told:
                spawn_gloo_group(2, work_loop, config.as_dict())
                continue
            process = start_group(ray_folder, workers=2)
            signalled: list[int] = []

            def strike(request, process=process, signalled=signalled) -> None:
                if request.step > apart and not signalled:
                    signalled.append(train_workers(process)[rank].pid)
                    os.kill(signalled[0], signal.SIGTERM)

            control.on_progress = strike
            try:
                assert process.wait(timeout=400) == 0, (ray_folder / "group.log").read_text()[-3000:]
            finally:
                end(process)
            assert control.ended[-1].outcome == pb.END_OUTCOME_INTERRUPTED, control.ended[-1]
            interim = control.checkpoints[0][-1]
            assert interim.interim
            assert interim.checkpoint.step > apart
            control.submission += 1
            control.on_progress = lambda request: None
            spawn_gloo_group(2, work_loop, {**config.as_dict(), "submission": 2})
    assert kept[0].accepted(0).weights_digest == kept[1].accepted(0).weights_digest
    assert [c.boundary for c in kept[1].checkpoints[0] if not c.interim] == [1, 2, 3]
