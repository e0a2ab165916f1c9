"""Runs what is missing: two processes of one thread each, side by side, with progress and the time left."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from model.experiments.arms import Arm
from model.experiments.gate import GateFactory, load_factory
from model.experiments.measuring import write_json
from model.experiments.reuse import counterparts, taken_over
from model.experiments.stage_run import Bench, one_thread, run_arm

PROCESSES = 2
LOOK_SECONDS = 0.5
_steps_done: Any = None  # a shared counter, in a child process


def run_missing(arms: Sequence[Arm], *, shared: Path, root: Path, gate: str, processes: int = PROCESSES) -> int:
    """Play every arm that has no row and write its row; returns how many were played. An arm whose parent is among
    them waits for it. The first run that raises ends the call; rows that are written stay."""
    todo = missing(arms, root)
    if not todo:
        return 0
    for name in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS"):
        os.environ[name] = "1"  # inherited by the children; their own torch is told again
    _make_corpora(todo, shared, root)
    context = multiprocessing.get_context("spawn")
    counter = context.Value("q", 0)
    total_steps = sum(arm.steps for arm in todo)
    waiting = list(todo)
    running: dict[Future[dict[str, Any]], Arm] = {}
    with (
        ProcessPoolExecutor(processes, mp_context=context, initializer=_begin_child, initargs=(counter,)) as pool,
        _progress(total_steps) as bar,
    ):
        report = _Report(len(todo), total_steps, bar)
        while waiting or running:
            for arm in _ready(waiting, root):
                if len(running) == processes:
                    break
                waiting.remove(arm)
                running[pool.submit(_child, arm, shared, root, gate)] = arm
            finished, _ = wait(running, timeout=LOOK_SECONDS, return_when=FIRST_COMPLETED)
            for future in finished:
                report.finished(_row_of(future, running.pop(future), waiting))
            report.steps(counter.value)
    return len(todo)


def read_rows(root: Path) -> dict[str, dict[str, Any]]:
    """All finished rows by digest."""
    rows = [json.loads(path.read_text()) for path in sorted((root / "rows").glob("*.json"))]
    return {row["digest"]: row for row in rows}


def missing(arms: Sequence[Arm], root: Path) -> list[Arm]:
    """The arms without a row, parents first, each once."""
    found: dict[str, Arm] = {}

    def visit(arm: Arm) -> None:
        if arm.parent is not None:
            visit(arm.parent)
        if not row_path(root, arm).is_file():
            found.setdefault(arm.digest, arm)

    for arm in arms:
        visit(arm)
    return list(found.values())


def row_path(root: Path, arm: Arm) -> Path:
    """Where the row of an arm is kept."""
    return root / "rows" / f"{arm.digest}.json"


def _ready(waiting: Sequence[Arm], root: Path) -> list[Arm]:
    return [arm for arm in waiting if arm.parent is None or row_path(root, arm.parent).is_file()]


def _row_of(future: Future[dict[str, Any]], arm: Arm, waiting: list[Arm]) -> dict[str, Any]:
    try:
        return future.result()
    except BaseException:
        waiting.clear()  # what is running ends by itself; nothing new begins
        print(f"failed: {arm.as_dict()}", file=sys.stderr)
        raise


def _make_corpora(arms: Sequence[Arm], shared: Path, root: Path) -> None:
    """Here and not in the children, so that two of them never make the same one."""
    bench = Bench(shared=shared, root=root)
    for arm in arms:
        for name in (arm.domain, *arm.retention_sets):
            bench.corpus(name, arm)


def _begin_child(counter: Any) -> None:
    global _steps_done
    _steps_done = counter
    begin_child()


def begin_child() -> None:
    """What every child process of the experiments begins with: one thread for torch, and an end together with its
    parent. One that is killed cannot end its children, and a run may continue for minutes that nobody keeps."""
    one_thread()
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _child(arm: Arm, shared: Path, root: Path, gate: str) -> dict[str, Any]:
    factory = load_factory(gate) if gate and arm.gate.controller else None
    row = _known(arm, root, factory) if factory else None
    row = row or run_arm(arm, Bench(shared=shared, root=root, factory=factory, on_steps=_count))
    write_json(row_path(root, arm), row)
    return row


def _known(arm: Arm, root: Path, factory: GateFactory) -> dict[str, Any] | None:
    """The row of an arm that comes out as one that has run; None where it must be trained."""
    for other in counterparts(arm):
        path = row_path(root, other)
        found = taken_over(arm, json.loads(path.read_text()), factory) if path.is_file() else None
        if found is not None:
            return found
    return None


def _count(steps: int) -> None:
    with _steps_done.get_lock():
        _steps_done.value += steps


class _Report:
    """A bar on a terminal; elsewhere a line for every finished run with the time left."""

    def __init__(self, runs: int, total_steps: int, bar: Any) -> None:
        self._runs, self._total_steps, self._bar = runs, total_steps, bar
        self._done_runs = 0
        self._started = time.monotonic()
        self._task = bar.add_task("experiments", total=total_steps) if bar is not None else None

    def steps(self, done: int) -> None:
        if self._bar is not None:
            runs = f"run {self._done_runs} of {self._runs}"
            self._bar.update(self._task, completed=min(done, self._total_steps), description=runs)

    def finished(self, row: dict[str, Any]) -> None:
        self._done_runs += 1
        passed = time.monotonic() - self._started
        left = passed * (self._runs - self._done_runs) / self._done_runs
        if self._bar is None:
            said = f"{self._done_runs}/{self._runs} {row['digest']} {row['arm']['domain']} {row['outcome']}"
            print(f"{said} in {row['seconds']:.0f} s; about {left / 60:.0f} min left", file=sys.stderr, flush=True)


def _progress(total_steps: int) -> AbstractContextManager[Any]:
    if not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))
