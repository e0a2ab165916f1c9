"""Following a run: the stream of changes, shown as progress bars on a terminal and as plain lines anywhere else."""

import math
import time
from collections.abc import Callable
from typing import Any, Protocol

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, Task, TaskID, TextColumn
from rich.text import Text

from ui.client.errors import EXIT_DONE, EXIT_FAILED, EXIT_SUSPENDED
from ui.client.views import Decision, Run, Stage
from ui.render import formatting
from ui.render.progress_table import PHASES
from ui.render.tables import STATE_STYLES, decision_line
from ui.updates import RunSource, updates

LINE_EVERY_S = 30.0  # without a terminal: somebody who reads along sees that it moves, and a log stays short


class RunView(Protocol):
    """Something that shows a run while it changes."""

    def __enter__(self) -> "RunView": ...
    def __exit__(self, *_: object) -> None: ...
    def show(self, run: Run) -> None: ...
    def decided(self, decision: Decision) -> None: ...


def follow(client: RunSource, run_id: str, view: RunView) -> Run:
    """Shows every change until the run has ended or waits for a person, and returns it as it then is.

    Raises RuntimeError.
    """
    run: Run | None = None
    with view:
        for update in updates(client, run_id):
            run = update.run
            for decision in update.decisions:
                view.decided(decision)
            view.show(run)
    if run is None:
        raise RuntimeError(f"the server closed the watch of {run_id} without telling how the run stands")
    return run


def exit_code(run: Run) -> int:
    """0 succeeded or still going, 1 failed or cancelled, 5 waits for a person."""
    if run.state == "SUSPENDED":
        return EXIT_SUSPENDED
    return EXIT_FAILED if run.state in {"FAILED", "CANCELLED"} else EXIT_DONE


def outcome_line(run: Run) -> str:
    """How the run stands, in one line of rich markup."""
    style = STATE_STYLES.get(run.state, "default")
    why = f": {escape(run.status.message or run.status.reason)}" if run.status.message or run.status.reason else ""
    hint = f"; `retain approve {run.id} --accept` or `--continue` lets it continue" if run.state == "SUSPENDED" else ""
    waits = f"; waits for: {escape(run.status.waiting_for)}" if run.status.waiting_for else ""
    return f"[{style}]{run.state}[/{style}] {run.id}{why}{waits}{hint}"


def stage_detail(stage: Stage) -> str:
    """What is known of a running stage: loss, speed, cost of boundaries, forgetting, shares, LR factor."""
    parts = []
    if stage.train_loss_nats:
        parts.append(f"loss {stage.train_loss_nats:.3f}")
    if stage.tokens_per_second and stage.state == "RUNNING":
        parts.append(f"{formatting.rate(stage.tokens_per_second)} tok/s")
    if stage.time_left_seconds is not None and stage.state == "RUNNING":
        parts.append(f"{formatting.duration(stage.time_left_seconds)} left")
    if stage.boundary_share is not None:
        parts.append(f"boundaries {formatting.percent(stage.boundary_share, signed=False)} of the time")
    if stage.forgetting is not None:
        parts.append(f"forgetting {formatting.percent(stage.forgetting)} {stage.worst_set}".rstrip())
    if stage.shares:
        parts.append(f"replay {formatting.shares(stage.shares)}")
    if stage.lr_scale not in {0.0, 1.0}:
        parts.append(f"LR x{stage.lr_scale:g}")
    if stage.attempt > 1:
        parts.append(f"attempt {stage.attempt}")
    return "  ".join(parts)


class _Sign(SpinnerColumn):
    """Turns for what is at work; what waits stands still."""

    def render(self, task: Task) -> RenderableType:
        return Text("○", "dim") if task.fields["waiting"] else super().render(task)


class TerminalView:
    """One progress bar per stage, one for preparing, and the decisions above them as they come."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            _Sign(finished_text="✓"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("[dim]{task.fields[detail]}"),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "TerminalView":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, run: Run) -> None:
        prepared = 1.0 if any(stage.attempt for stage in run.stages) else run.status.prepare_progress
        self._bar("prepare", prepared, 1.0, self._where(run) if prepared < 1.0 else "", waiting=False)
        for stage in run.stages:
            detail = stage_detail(stage)
            if stage.state == "RUNNING" and run.status.phase != "TRAINING":
                detail = f"{PHASES.get(run.status.phase, '')}  {detail}"
            elif stage.state == "SUSPENDED":
                detail = f"waits for a person  {detail}"
            if stage.state == "RUNNING" and run.status.waiting_for:
                detail = f"waits for: {run.status.waiting_for}  {detail}"
            self._bar(
                stage.name,
                stage.step,
                stage.total_steps or None,
                detail,
                waiting=stage.state in {"LOCKED", "READY", ""},
            )

    def _where(self, run: Run) -> str:
        if run.state == "PENDING":
            return f"place {run.status.queue_position} in the queue" if run.status.queue_position else "pending"
        if run.status.waiting_for:
            return f"waits for: {run.status.waiting_for}"
        return PHASES.get(run.status.phase, "")

    def _bar(self, name: str, done: float, total: float | None, detail: str, *, waiting: bool) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=total, detail=detail, waiting=waiting)
        self._progress.update(self._tasks[name], completed=done, total=total, detail=detail, waiting=waiting)

    def decided(self, decision: Decision) -> None:
        self._console.print(decision_line(decision))


class PlainView:
    """One line per change that matters, and one every half minute between them; for pipes and logs."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._clock = console, clock
        self._last: tuple[Any, ...] = ()
        self._said_s = -math.inf

    def __enter__(self) -> "PlainView":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, run: Run) -> None:
        stage = next((stage for stage in run.stages if stage.state == "RUNNING"), None)
        at = (stage.name, stage.attempt, stage.latest) if stage else ("", 0, None)
        mark = (run.state, *at, run.status.waiting_for)
        if mark == self._last and self._clock() - self._said_s < LINE_EVERY_S:
            return
        self._last, self._said_s = mark, self._clock()
        where = f" {stage.name} step {stage.step}/{stage.total_steps} {stage_detail(stage)}" if stage else ""
        if not stage and run.state == "RUNNING":
            where = f" {PHASES.get(run.status.phase, '')} {run.status.prepare_progress:.0%}"
        elif stage and run.status.phase != "TRAINING":
            where += f"  {PHASES.get(run.status.phase, '')}"
        if run.status.waiting_for:
            where += f"  waits for: {run.status.waiting_for}"
        self._console.print(f"{run.state}{where}".rstrip(), soft_wrap=True, highlight=False)

    def decided(self, decision: Decision) -> None:
        self._console.print(decision_line(decision), soft_wrap=True)


def view_for(console: Console) -> RunView:
    """Progress bars where the console is a terminal, lines where it is not."""
    return TerminalView(console) if console.is_terminal else PlainView(console)
