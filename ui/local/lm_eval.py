"""lm-evaluation-harness on a checkpoint: a child process on its verified files, and its result as a value."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ui.client.errors import EXIT_BAD_INPUT, BadInput, ClientError
from ui.client.views import Benchmark, BenchmarkMetric, BenchmarkTask, CheckpointRef


def run_harness(folder: Path, arguments: Sequence[str], *, most_s: float) -> dict[str, Any]:
    """The document of `python -m model.cli.lm_eval`; its progress goes to standard error. Raises BadInput for what it
    refuses, ClientError where it fails or takes longer than `most_s`."""
    command = [sys.executable, "-P", "-m", "model.cli.lm_eval", str(folder), *arguments]
    try:
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE, timeout=most_s, text=True)
    except subprocess.TimeoutExpired as error:
        raise ClientError(
            f"the harness took more than {most_s:g} s; --most-seconds allows more", reason="TOO_SLOW"
        ) from error
    if done.returncode == EXIT_BAD_INPUT:
        raise BadInput(message="the harness refuses: its words are above", reason="HARNESS_REFUSED")
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        raise ClientError(f"the harness ended with exit code {done.returncode}", reason="HARNESS_FAILED")
    document: dict[str, Any] = json.loads(lines[-1])
    return document


def benchmark_of(document: dict[str, Any], checkpoint: CheckpointRef) -> Benchmark:
    """The document as what the platform keeps of a checkpoint."""
    return Benchmark(
        checkpoint=checkpoint,
        harness=document["harness"],
        versions=document["versions"],
        settings=document["settings"],
        tasks=tuple(
            BenchmarkTask(
                task=task["task"],
                version=task["version"],
                digest=task["digest"],
                samples=task["samples"],
                metrics=tuple(BenchmarkMetric(**metric) for metric in task["metrics"]),
            )
            for task in document["tasks"]
        ),
    )
