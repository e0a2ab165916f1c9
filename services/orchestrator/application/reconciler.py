"""The reconcile loop: looks at what is wanted and what is, carries out what is due, and feeds back what happened.

Level-triggered: every pass starts from the stored states, so a crash loses nothing and a wake-up that comes twice or
never does no harm. Every command has a name that the other side knows; it may be carried out twice.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from services.common.concurrency.tasks import end
from services.common.errors import Corrupt, NotFound, RetainError, Unavailable
from services.common.logging import get_logger
from services.orchestrator.application.command_executor import CommandExecutor
from services.orchestrator.application.ports import JobState, Overview, StoredRun, job_id
from services.orchestrator.application.queue import Queue
from services.orchestrator.application.run_store import Observer, RunStore
from services.orchestrator.application.watchdog import Watchdog
from services.orchestrator.domain.due import due, needs_attention
from services.orchestrator.domain.run.commands import Record, StopJob, name_of, wait_of
from services.orchestrator.domain.run.events import Admitted, JobEnded, QueueMoved, WorkersHung
from services.orchestrator.domain.run.state import JobStatus, PipelineRun, RunState
from services.orchestrator.domain.run.tries import MAX_RESTARTS

FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 15.0
TOLD_OF_THE_QUEUE = 20  # runs at the head of the queue whose watchers hear of every move


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How often and how long, in seconds. `max_restarts`: worker groups without a new checkpoint between them."""

    pass_every_s: float = 1.0
    job_poll_s: float = 2.0
    stall_timeout_s: float = 45.0
    start_timeout_s: float = 600.0
    max_restarts: int = MAX_RESTARTS


GARBAGE = "garbage"  # first word of the names of what throws something away
GARBAGE_AT_ONCE = 4
LONGEST_GARBAGE_BACKOFF_S = 300.0  # nobody waits for it


class Reconciler(Observer):
    """One loop for all runs; what may take long runs in a task of its own, one for each command."""

    def __init__(
        self, run_store: RunStore, queue: Queue, executor: CommandExecutor, watchdog: Watchdog, timing: Timing
    ) -> None:
        self._run_store = run_store
        self._queue = queue
        self._executor = executor
        self._watchdog = watchdog
        self._timing = timing
        self._tasks: dict[tuple[Any, ...], asyncio.Task[None]] = {}
        self._not_before: dict[tuple[Any, ...], tuple[float, float]] = {}  # name -> (time, last pause)
        self._due_since_s: dict[str, dict[tuple[str, str | int], float]] = {}  # when each command was first seen
        self._polled_at_s: dict[str, float] = {}
        self._wake = asyncio.Event()
        self._changed: dict[str, StoredRun] = {}

    def changed(self, before: PipelineRun | None, after: StoredRun, records: tuple[Record, ...]) -> None:
        """Something happened to a run: look at it at once, and at whoever waits for its workers."""
        if needs_attention(after) or after.status is RunState.PENDING:
            self._changed[after.id] = after
        self._wake.set()

    async def start(self) -> None:
        """Take over what the database holds."""
        run_store = self._run_store
        self._queue.load(await run_store.read(run_store.repository.pending))
        await run_store.look()

    async def run(self) -> None:
        """Pass after pass, until cancelled. A fault of one pass is logged and does not end the loop.

        A wake-up looks at the runs that changed; every `pass_every_s` all of them are read from the database.
        """
        clock, next_full_s = self._run_store.clock, 0.0
        while True:
            self._wake.clear()
            try:
                if clock.monotonic_s() >= next_full_s:
                    next_full_s = clock.monotonic_s() + self._timing.pass_every_s
                    await self.once()
                else:
                    await self._after_changes()
            except RetainError as error:
                self.failed(error)
            # Not wait_for: it swallows a cancellation that comes together with the wake-up, and this would never end.
            try:
                async with asyncio.timeout(max(0.01, next_full_s - clock.monotonic_s())):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def failed(self, error: RetainError) -> None:
        """A pass failed. While the database is away nothing that workers say is written, or held against them."""
        if isinstance(error, Unavailable):
            self._watchdog.blind()
        get_logger().warning("reconcile pass failed", error=str(error))

    async def once(self) -> None:
        """One pass over every run that has something to look at."""
        run_store = self._run_store
        await self._admit()
        self._changed.clear()
        begun_s = run_store.clock.monotonic_s()
        overview = await run_store.look()
        if run_store.clock.monotonic_s() - begun_s >= self._timing.stall_timeout_s / 2:
            self._watchdog.blind()  # the database was away for so long that calls of workers were not noted
        await self._take_over(overview)
        for state in overview.attention:
            self._alone(self._carry_out, state)
            self._alone(self._look, state)
        self._forget_others(overview)
        await self._throw_away()

    async def _after_changes(self) -> None:
        await self._admit()
        changed, self._changed = self._changed, {}
        for state in changed.values():
            self._alone(self._carry_out, state)

    async def _throw_away(self) -> None:
        """Each thing in a task of its own, with pauses of its own: one that cannot be deleted now stops no other."""
        repository = self._run_store.repository
        under_way = sum(1 for name in self._tasks if name[0] == GARBAGE)
        for uri in await self._run_store.read(repository.garbage):
            if under_way >= GARBAGE_AT_ONCE:
                break
            under_way += self._start((GARBAGE, uri), self._executor.throw_away(uri))

    def _alone(self, look: Callable[[StoredRun], None], state: StoredRun) -> None:
        """Look at one run; an unhandled exception is that run's, and stops no other."""
        try:
            look(state)
        except Exception as error:  # noqa: BLE001 - whatever it is: the next run is looked at
            get_logger().error("unhandled exception", what=look.__name__, run=state.id, exc_info=error)

    async def _take_over(self, overview: Overview) -> None:
        """Let runs wait that nobody was told of."""
        for run_id in self._queue.unknown(overview):
            try:
                state = await self._run_store.get(run_id)
            except (NotFound, Corrupt):
                continue  # deleted meanwhile, or set aside
            self._queue.changed(None, state, ())

    def _forget_others(self, overview: Overview) -> None:
        """What is remembered of runs that are not looked at any more."""
        present = {state.id for state in overview.attention}
        self._watchdog.keep(present)
        self._polled_at_s = {run: at_s for run, at_s in self._polled_at_s.items() if run in present}
        self._due_since_s = {run: since for run, since in self._due_since_s.items() if run in present}
        long_ago_s = self._run_store.clock.monotonic_s() - LONGEST_GARBAGE_BACKOFF_S
        self._not_before = {name: pause for name, pause in self._not_before.items() if pause[0] > long_ago_s}

    async def close(self) -> None:
        """End the tasks under way; the next process finds everything in the database."""
        await end(self._tasks.values())

    async def _admit(self) -> None:
        moved = False
        while (run_id := self._queue.head()) is not None:
            before = self._queue.position(run_id)
            try:
                async with self._run_store.choosing:  # from here on it may use what others have prepared
                    await self._run_store.apply(run_id, Admitted(now_s=self._run_store.clock.now_s()))
            except (NotFound, Corrupt) as error:
                self._queue.forget(run_id)  # it must not keep the others waiting
                get_logger().error("a run that waits cannot be admitted", run=run_id, error=str(error))
                continue
            moved = True
            if self._queue.position(run_id) == before:
                break
        if moved:
            for run_id in self._queue.waiting(TOLD_OF_THE_QUEUE):
                if self._run_store.watched(run_id):
                    await self._run_store.apply(run_id, QueueMoved(now_s=self._run_store.clock.now_s()))

    def _carry_out(self, state: StoredRun) -> None:
        now_s = self._run_store.clock.monotonic_s()
        commands = {name_of(command): command for command in due(state)}
        before = self._due_since_s.pop(state.id, {})
        since_s = {name: before.get(name, now_s) for name in commands}
        if since_s:
            self._due_since_s[state.id] = since_s
        for name, command in commands.items():
            if isinstance(command, StopJob) and (state.id, "SubmitJob", command.submission) in self._tasks:
                continue  # first let the submission come to its end, so that the stop finds the job
            if now_s - since_s[name] < wait_of(command):
                continue
            self._start((state.id, *name), self._executor.carry_out(state, command))

    def _look(self, state: StoredRun) -> None:
        """Is the present group's job alive, and does it make progress?"""
        now_s = self._run_store.clock.monotonic_s()
        if state.jobs and now_s - self._polled_at_s.get(state.id, 0.0) >= self._timing.job_poll_s:
            self._polled_at_s[state.id] = now_s
            for job in state.jobs:
                if job.status is JobStatus.SUBMITTED:
                    self._start((state.id, "poll", job.submission), self._poll(state, job.submission))
        present = next((job for job in state.jobs if job.submission == state.submission), None)
        if state.status is RunState.RUNNING and present is not None and present.status is JobStatus.SUBMITTED:
            said = self._watchdog.overdue(
                state.id,
                state.submission,
                stall_timeout_s=self._timing.stall_timeout_s,
                start_timeout_s=self._timing.start_timeout_s,
            )
            if said is not None:
                event = WorkersHung(
                    submission=state.submission,
                    message=said,
                    max_restarts=self._timing.max_restarts,
                    now_s=self._run_store.clock.now_s(),
                )
                self._start((state.id, "hung", state.submission), self._apply(state.id, event))

    async def _poll(self, state: StoredRun, submission: int) -> None:
        view = await self._executor.jobs(self._executor.launcher.status, job_id(state.id, submission))
        if view.state in (JobState.ENDED, JobState.NOT_FOUND):
            event = JobEnded(
                submission=submission,
                message=view.message,
                max_restarts=self._timing.max_restarts,
                now_s=self._run_store.clock.now_s(),
            )
            await self._apply(state.id, event)

    async def _apply(self, run_id: str, event: Any) -> None:
        await self._run_store.apply(run_id, event)

    def _start(self, name: tuple[Any, ...], work: Coroutine[Any, Any, None]) -> bool:
        """Run some work unless the same is under way, or failed a moment ago; whether it was begun."""
        allowed_at_s, _ = self._not_before.get(name, (0.0, 0.0))
        if name in self._tasks or self._run_store.clock.monotonic_s() < allowed_at_s:
            work.close()
            return False
        task = asyncio.create_task(self._guard(name, work))
        self._tasks[name] = task
        task.add_done_callback(lambda done: self._done(name, done))
        return True

    def _done(self, name: tuple[Any, ...], task: asyncio.Task[None]) -> None:
        """Forget a task; an unhandled exception is logged, and it is tried again after the longest pause."""
        self._tasks.pop(name, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._not_before[name] = (self._run_store.clock.monotonic_s() + LONGEST_BACKOFF_S, LONGEST_BACKOFF_S)
            get_logger().error("unhandled exception", what=str(name), exc_info=error)

    async def _guard(self, name: tuple[Any, ...], work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except RetainError as error:
            longest_s = LONGEST_GARBAGE_BACKOFF_S if name[0] == GARBAGE else LONGEST_BACKOFF_S
            pause_s = min(longest_s, 2 * self._not_before.get(name, (0.0, FIRST_BACKOFF_S / 2))[1])
            self._not_before[name] = (self._run_store.clock.monotonic_s() + pause_s, pause_s)
            level = "info" if isinstance(error, Unavailable) else "warning"
            getattr(get_logger(), level)("will be tried again", what=str(name), after_s=pause_s, error=str(error))
        else:
            self._not_before.pop(name, None)
            if name[0] != GARBAGE:  # nothing follows from it
                self._wake.set()
