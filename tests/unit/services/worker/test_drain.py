"""`python -m services.worker.drain`: finds living workers by their locks, tells them, waits for them."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from services.common.cache.content_cache import ContentCache
from services.worker import drain
from services.worker.present import FOLDER, Present, present

WORKER = """
import sys, time
from pathlib import Path
from services.common.cache.content_cache import ContentCache
from services.worker.leaving import PROCESS, leave_on_sigterm
from services.worker.present import Present
leave_on_sigterm()
with Present(ContentCache(Path(sys.argv[1]), max_bytes=1), run_id="r1"), PROCESS.at_work():
    print("at work", flush=True)
    while not PROCESS.asked:
        time.sleep(0.05)
    time.sleep(float(sys.argv[2]))
"""


def start(root: Path, takes_s: float) -> subprocess.Popen[bytes]:
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(root), str(takes_s)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert worker.stdout is not None
    assert any(line == b"at work\n" for line in worker.stdout)
    return worker


def test_it_waits_until_all_have_left(tmp_path: Path) -> None:
    workers = [start(tmp_path / "cache", takes_s) for takes_s in (0.0, 0.5)]
    try:
        assert sorted(w.pid for w in present(tmp_path / "cache")) == sorted(worker.pid for worker in workers)
        assert drain.main(["--grace-s", "60", "--cache", str(tmp_path / "cache")]) == 0
        assert [worker.wait(timeout=10) for worker in workers] == [0, 0]
        assert present(tmp_path / "cache") == []
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
            worker.stdout.close()


def test_its_patience_ends_and_it_says_so(tmp_path: Path) -> None:
    worker = start(tmp_path / "cache", 3600.0)
    try:
        assert drain.main(["--grace-s", "0.5", "--cache", str(tmp_path / "cache")]) == 1
        assert worker.poll() is None
    finally:
        worker.kill()
        worker.wait()
        worker.stdout.close()
    assert present(tmp_path / "cache") == []  # killed: its lock went with it
    assert [*(tmp_path / "cache" / FOLDER).iterdir()] == []


def test_outside_of_the_train_function_sigterm_ends_the_process() -> None:
    code = (
        "import time; from services.worker.leaving import leave_on_sigterm; leave_on_sigterm(); leave_on_sigterm();"
        "print('idle', flush=True); time.sleep(600)"
    )
    idle = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert idle.stdout is not None
        assert any(line == b"idle\n" for line in idle.stdout)
        idle.terminate()
        assert idle.wait(timeout=30) == 128 + 15
    finally:
        idle.kill()
        idle.wait()
        idle.stdout.close()


def test_nobody_there_is_done(tmp_path: Path) -> None:
    assert drain.main(["--cache", str(tmp_path / "never made")]) == 0


def test_numbers_of_another_container_mean_nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = ContentCache(tmp_path / "cache", max_bytes=1)
    with Present(cache, run_id="r1") as me:
        assert [worker.pid for worker in present(cache.root)] == [os.getpid()]
        assert me is not None
        monkeypatch.setattr("services.worker.present.namespace", lambda: "1")
        assert present(cache.root) == []
    assert time.monotonic() > 0


def test_a_process_has_one_worker(tmp_path: Path) -> None:
    from services.common.errors import Stale

    cache = ContentCache(tmp_path / "cache", max_bytes=1)
    with Present(cache, run_id="r1"), pytest.raises(Stale), Present(cache, run_id="r1"):
        raise AssertionError("not reached")
