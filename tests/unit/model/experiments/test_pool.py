"""Processes of the experiments end with the one that began them, however that ends."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

PARENT = """
import multiprocessing, time
from concurrent.futures import ProcessPoolExecutor
from model.experiments import gauges, pool as runs

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(1, mp_context=context, **BEGIN)
    pool.submit(time.sleep, 0).result()
    pool.submit(time.sleep, 600)
    print("at work", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize(
    "begin",
    [
        '{"initializer": runs._begin_child, "initargs": (context.Value("q", 0),)}',
        '{"initializer": gauges.begin_child}',
    ],
    ids=["runs", "gauges"],
)
def test_no_child_outlives_a_killed_parent(tmp_path: Path, begin: str) -> None:
    (tmp_path / "parent.py").write_text(PARENT.replace("BEGIN", begin))
    command = [sys.executable, str(tmp_path / "parent.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "at work\n"
        children = psutil.Process(running.pid).children(recursive=True)
        assert children
        running.kill()
    _, alive = psutil.wait_procs(children, timeout=20)
    for child in alive:
        child.kill()
    assert alive == []
