"""Carries out commands through the ports and feeds back what happened: of runs that are stored, and of no others."""

import asyncio
from collections.abc import Awaitable, Callable

from retain.values import CheckpointRef
from services.common.concurrency.blocking import Blocking
from services.common.errors import (
    CheckpointDamaged,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    Refused,
    RetainError,
    Unavailable,
)
from services.common.logging import get_logger
from services.common.store.layout import MANIFEST
from services.common.store.object_store import ObjectStore, key_of
from services.orchestrator.application.ports import (
    RECORDS,
    EvaluationProgress,
    EvaluationView,
    EvaluatorPort,
    JobLauncher,
    JobRequest,
    JobState,
    Notifier,
    StoredRun,
    job_id,
)
from services.orchestrator.application.run_store import RunStore
from services.orchestrator.domain.run.commands import Annotate, Command, Evaluate, Prune, StopJob, SubmitJob, WritePoint
from services.orchestrator.domain.run.events import (
    CheckpointPruned,
    DecisionAnnotated,
    EvaluationFailed,
    EvaluationFinished,
    EvaluationWaits,
    JobEnded,
    JobSubmitted,
    PointWritten,
)
from services.orchestrator.domain.run.tries import MAX_RESTARTS

EVALUATION_POLL_S = 0.25
EVALUATION_LIMIT_S = 900.0  # an evaluation that has no result by then is requested again, which is said
JOB_CALL_LIMIT_S = 60.0
FILES_LIMIT_S = 900.0  # thousands of files may have to be deleted one by one


class CommandExecutor:
    """Does what the core asks for, once the database holds that it was asked for."""

    def __init__(
        self,
        run_store: RunStore,
        *,
        launcher: JobLauncher,
        evaluator: EvaluatorPort,
        store: ObjectStore,
        notifier: Notifier,
        issue_code: Callable[[str, int], Awaitable[str]],
        evaluation_poll_s: float = EVALUATION_POLL_S,
        max_restarts: int = MAX_RESTARTS,
    ) -> None:
        self._run_store = run_store
        self.launcher = launcher
        self._evaluator = evaluator
        self._store = store
        self._notifier = notifier
        self._issue_code = issue_code
        self._evaluation_poll_s = evaluation_poll_s
        self._max_restarts = max_restarts
        self.jobs = Blocking("ray", threads=4, limit_s=JOB_CALL_LIMIT_S)
        self._files = Blocking("store", threads=4, limit_s=FILES_LIMIT_S)
        self._graphs = Blocking("grafana", threads=1, limit_s=JOB_CALL_LIMIT_S)

    async def carry_out(self, state: StoredRun, command: Command) -> None:
        """Do what is due. Raises Unavailable when the other side is away: the loop tries again later."""
        match command:
            case SubmitJob():
                await self._submit(state, command)
            case StopJob():
                await self._stop(state, command)
            case Evaluate():
                await self._evaluate(state, command)
            case WritePoint():
                await self._write_point(state, command)
            case Annotate():
                await self._annotate(state, command)
            case Prune():
                await self._prune(state, command)

    def close(self) -> None:
        """Give up the threads."""
        for side in (self.jobs, self._files, self._graphs):
            side.close()

    def _now_s(self) -> float:
        return self._run_store.clock.now_s()

    async def _submit(self, state: StoredRun, command: SubmitJob) -> None:
        labels = {"retain.run": state.id, **state.spec.labels}
        request = JobRequest(
            run_id=state.id,
            submission=command.submission,
            compute=state.spec.compute,
            labels=labels,
            join_code=await self._issue_code(state.id, command.submission),
        )
        try:
            await self.jobs(self.launcher.submit, request)
        except (Refused, FailedPrecondition) as error:
            # Trying the same again would not help for ever: counted like a job that died, so that the run ends with it.
            event: JobEnded | JobSubmitted = JobEnded(
                submission=command.submission,
                message=error.message,
                max_restarts=self._max_restarts,
                now_s=self._now_s(),
            )
        else:
            event = JobSubmitted(submission=command.submission, now_s=self._now_s())
        await self._run_store.apply(state.id, event)

    async def _stop(self, state: StoredRun, command: StopJob) -> None:
        name = job_id(state.id, command.submission)
        view = await self.jobs(self.launcher.status, name)
        if view.state in (JobState.PENDING, JobState.RUNNING):
            await self.jobs(self.launcher.stop, name)
            view = await self.jobs(self.launcher.status, name)
        if view.state in (JobState.PENDING, JobState.RUNNING):
            raise Unavailable(f"the job {name} is still ending", reason="JOB_STOPPING")
        await self._run_store.apply(
            state.id,
            JobEnded(
                submission=command.submission,
                message=view.message,
                max_restarts=self._max_restarts,
                now_s=self._now_s(),
            ),
        )

    async def _evaluate(self, state: StoredRun, request: Evaluate) -> None:
        try:
            view = await self._evaluator.create(state.id, request)
        except (Refused, FailedPrecondition) as error:
            view = EvaluationView(progress=EvaluationProgress.FAILED, error_reason=error.reason, error=error.message)
        asked_s, told = self._run_store.clock.monotonic_s(), ""
        while view.progress is EvaluationProgress.UNDER_WAY:
            if view.waiting_for:
                asked_s = self._run_store.clock.monotonic_s()  # somebody makes room: that may take as long as it takes
            if view.waiting_for != told:
                told = view.waiting_for
                waits = EvaluationWaits(evaluation_id=request.evaluation_id, waiting_for=told, now_s=self._now_s())
                await self._run_store.apply(state.id, waits)
            if self._run_store.clock.monotonic_s() - asked_s >= EVALUATION_LIMIT_S:
                raise Unavailable(
                    f"the evaluation {request.evaluation_id} has no result after {EVALUATION_LIMIT_S:g} s",
                    reason="EVALUATION_TOO_SLOW",
                )
            await asyncio.sleep(self._evaluation_poll_s)
            view = await self._look_again(state, request)
        if view.progress is EvaluationProgress.SUCCEEDED and view.measurement is not None:
            await self._run_store.apply(
                state.id,
                EvaluationFinished(
                    stage_index=request.stage_index,
                    attempt=request.attempt,
                    step=request.checkpoint.step,
                    measurement=view.measurement,
                    point=request.point,
                    of_interpolation=request.of_interpolation,
                    now_s=self._now_s(),
                ),
            )
            return
        await self._run_store.apply(
            state.id,
            EvaluationFailed(
                stage_index=request.stage_index,
                attempt=request.attempt,
                step=request.checkpoint.step,
                reason=view.error_reason,
                message=view.error,
                point=request.point,
                of_interpolation=request.of_interpolation,
                damaged=view.damaged,
                evaluation_id=request.evaluation_id,
                now_s=self._now_s(),
            ),
        )

    async def _look_again(self, state: StoredRun, request: Evaluate) -> EvaluationView:
        try:
            return await self._evaluator.get(request.evaluation_id)
        except NotFound:
            # The evaluator was restarted without its records: the same request again.
            return await self._evaluator.create(state.id, request)

    async def _write_point(self, state: StoredRun, order: WritePoint) -> None:
        event: PointWritten | EvaluationFailed
        try:
            written, size = await self._evaluator.write_point(order)
        except (Refused, FailedPrecondition, CheckpointDamaged) as error:
            event = EvaluationFailed(
                stage_index=order.stage_index,
                attempt=order.attempt,
                step=order.result.step,
                reason=error.reason,
                message=error.message,
                point=order.point,
                of_interpolation=True,
                damaged=damaged_end(order, error),
                evaluation_id=order.order_id,
                now_s=self._now_s(),
            )
        else:
            event = PointWritten(
                stage_index=order.stage_index,
                attempt=order.attempt,
                point=order.point,
                checkpoint=written,
                bytes=size,
                now_s=self._now_s(),
            )
        await self._run_store.apply(state.id, event)

    async def _annotate(self, state: StoredRun, command: Annotate) -> None:
        decision = await self._run_store.read(self._run_store.repository.decision, state.id, command.number)
        if decision is not None:
            await self._graphs(self._notifier.annotate, decision)
        await self._run_store.apply(state.id, DecisionAnnotated(number=command.number, now_s=self._now_s()))

    async def _prune(self, state: StoredRun, command: Prune) -> None:
        await self._files(self._empty, command.uri, MANIFEST)
        await self._run_store.apply(
            state.id, CheckpointPruned(checkpoint_id=command.checkpoint_id, now_s=self._now_s())
        )

    async def throw_away(self, uri: str) -> None:
        """What a deleted run left behind: its files, or what the evaluator keeps of it."""
        if uri.startswith(RECORDS):
            await self._evaluator.delete_run_records(uri.removeprefix(RECORDS))
        else:
            await self._files(self._empty, uri, None)
        await self._run_store.read(self._run_store.repository.forget_garbage, uri)
        get_logger().info("what a deleted run left behind is gone", uri=uri)

    def _empty(self, uri: str, kept_name: str | None) -> None:
        try:
            key = key_of(self._store, uri)
        except InvalidInput:
            return  # another bucket: not ours to delete
        for info in list(self._store.list(key + "/")):
            if kept_name is None or info.key != f"{key}/{kept_name}":
                self._store.delete(info.key)


def damaged_end(order: WritePoint, error: RetainError) -> CheckpointRef | None:
    """The end of the interpolation that the evaluator found damaged; None when the error says nothing of the kind."""
    if not isinstance(error, CheckpointDamaged):
        return None
    ends = (order.result, order.parent)
    return next((end for end in ends if end.manifest_sha256 == error.metadata.get("manifest_sha256")), None)
