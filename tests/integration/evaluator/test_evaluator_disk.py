"""A disk and a store that are full for a moment: the evaluator says so, waits, and continues by itself."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from retain.evaluator.v1 import resources_pb2, service_pb2
from tests.contract.object_store_servers import minio_server, running, seaweedfs_server
from tests.integration.evaluator import harness

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="small disks need root and mount"),
]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a disk of a size in memory; asked again it changes its size."""
    folder = tmp_path / "small"
    folder.mkdir()

    def of_size(size: str) -> Path:
        remount = "remount," if os.path.ismount(folder) else ""
        command = ["mount", "-t", "tmpfs", "-o", f"{remount}size={size}", "tmpfs", str(folder)]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("this machine mounts no tmpfs")
        return folder

    yield of_size
    if os.path.ismount(folder):
        subprocess.run(["umount", "-l", str(folder)], check=True)


def texts(shared_data: Path) -> list[str]:
    rows = (shared_data / "general" / "tinystories.val.jsonl").read_text().splitlines()
    return [json.loads(row)["text"] for row in rows[:10]]


def waits_for(stub, evaluation_id: str, text: str) -> resources_pb2.Evaluation:
    request = service_pb2.GetEvaluationRequest(evaluation_id=evaluation_id)
    for _ in range(600):
        found = stub.GetEvaluation(request, timeout=10).evaluation
        assert found.state != resources_pb2.EVALUATION_STATE_FAILED, found.error
        if text in found.waiting_for:
            return found
        time.sleep(0.1)
    raise AssertionError(f"it waits for {found.waiting_for!r}, not for {text!r}")


def test_a_full_disk_under_the_cache_is_waited_for(tmp_path: Path, shared_data: Path, small_disk, monkeypatch):
    """300 kB, the model has 1 MB; then there is room."""
    cache = small_disk("300k")
    monkeypatch.setenv("RETAIN_EVALUATOR_CACHE", str(cache))
    with running(seaweedfs_server(tmp_path)) as server:
        store = harness.store_of(server)
        model, tokenizer = harness.stories_model(shared_data)
        base = harness.put_model(store, model, tokenizer, tmp_path / "base")
        few = harness.put_set(store, "general", texts(shared_data), tokenizer, tmp_path / "few")
        evaluator = harness.EvaluatorProcess.on(server.endpoint, tmp_path / "home")
        evaluator.start()
        try:
            asked = harness.request_for(base, [few], base)
            with evaluator.stub() as stub:
                stub.CreateEvaluation(service_pb2.CreateEvaluationRequest(evaluation_id="full", request=asked))
                waits_for(stub, "full", f"disk full at {cache}")
                assert "retain_evaluations_waiting 1.0" in evaluator.metrics()
            small_disk("64m")
            found = evaluator.evaluate("full", asked)
            assert (found.state, found.waiting_for) == (resources_pb2.EVALUATION_STATE_SUCCEEDED, ""), found.error
            assert found.scores[0].ratio == 0.0
        finally:
            evaluator.stop()


def test_a_full_store_is_waited_for(tmp_path: Path, shared_data: Path, shared_tools: Path, small_disk):
    """A MinIO that has no room when the measurement is to be kept."""
    disk = small_disk("400m")
    with running(minio_server(disk, shared_tools)) as server:
        store = harness.store_of(server)
        model, tokenizer = harness.stories_model(shared_data)
        base = harness.put_model(store, model, tokenizer, tmp_path / "base")
        few = harness.put_set(store, "general", texts(shared_data), tokenizer, tmp_path / "few")
        evaluator = harness.EvaluatorProcess.on(server.endpoint, tmp_path / "home")
        evaluator.start()
        try:
            asked = harness.request_for(base, [few], base)
            with evaluator.stub() as stub:
                stub.CreateEvaluation(service_pb2.CreateEvaluationRequest(evaluation_id="full", request=asked))
                filled = disk / "filled"
                with filled.open("wb") as file, pytest.raises(OSError, match="No space left"):
                    while True:
                        file.write(b"x" * 1_000_000)
                        file.flush()
                waits_for(stub, "full", f"object store full at {server.endpoint}")
            filled.unlink()
            found = evaluator.evaluate("full", asked, create_timeout_s=60)
            assert (found.state, found.waiting_for) == (resources_pb2.EVALUATION_STATE_SUCCEEDED, ""), found.error
        finally:
            evaluator.stop()
