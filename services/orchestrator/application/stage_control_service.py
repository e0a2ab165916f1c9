"""What workers do: ask for work, tell how far they are, register checkpoints, ask for verdicts, end attempts."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from retain.values import Verdict
from retain.values.faults import mismatch
from services.common.errors import Stale, Unavailable
from services.orchestrator.application.ports import StoredRun
from services.orchestrator.application.run_store import Observer, RunStore
from services.orchestrator.application.watchdog import Watchdog
from services.orchestrator.domain.handlers.assignment import Work, work_of
from services.orchestrator.domain.policy.ladder import Mix
from services.orchestrator.domain.run import fence
from services.orchestrator.domain.run.commands import Record
from services.orchestrator.domain.run.directives import directive_at
from services.orchestrator.domain.run.events import (
    AttemptAsked,
    CheckpointReported,
    MixTried,
    ProgressReported,
    StageEnded,
    WorkerEvent,
)
from services.orchestrator.domain.run.state import Directive, PipelineRun, RunState

HOLD_S = 5.0  # how long a question about a verdict is held open


class StageControlService(Observer):
    """The use cases of StageControlService. Every call is fenced by submission and attempt in the core."""

    def __init__(
        self,
        run_store: RunStore,
        watchdog: Watchdog,
        *,
        hold_s: float = HOLD_S,
        on_upload: Callable[[str, str, CheckpointReported], None] = lambda run_id, stage, event: None,
    ) -> None:
        self._run_store = run_store
        self._on_upload = on_upload
        self._watchdog = watchdog
        self._hold_s = hold_s

    async def begin_attempt(self, run_id: str, submission: int, request_id: str) -> Work:
        """The group's next piece of work."""
        event = AttemptAsked(submission=submission, request_id=request_id, now_s=self._now_s())
        state = await self._apply(run_id, event)
        self._watchdog.called(run_id, submission)
        return work_of(state)

    async def report_progress(self, run_id: str, event: ProgressReported, heartbeat: int) -> PipelineRun:
        """Keep the last figures of a run."""
        state = await self._apply(run_id, replace(event, now_s=self._now_s()))
        self._watchdog.reported(run_id, event, heartbeat)
        return state

    async def report_checkpoint(self, run_id: str, event: CheckpointReported) -> PipelineRun:
        """Register a checkpoint: it exists once this returns."""
        state = await self._apply(run_id, replace(event, now_s=self._now_s()))
        self._watchdog.called(run_id, event.submission)
        self._on_upload(run_id, state.stages[event.stage_index].plan.name, event)
        return state

    async def report_mix_trial(self, run_id: str, event: MixTried) -> tuple[Mapping[str, float], str]:
        """Choose a stage's shares by a trial, once; the shares that the stage begins with, and why."""
        state = await self._apply(run_id, replace(event, now_s=self._now_s()))
        self._watchdog.called(run_id, event.submission)
        stage = fence.stage_of(state, event.stage_index)
        return stage.branch.start_mix.shares, stage.trial.message if stage.trial else ""

    async def directive(
        self, run_id: str, *, submission: int, attempt: int, stage_index: int, boundary: int
    ) -> Directive | None:
        """The directive at a boundary; None after having held the question open for some seconds."""
        deadline_s = self._run_store.clock.monotonic_s() + self._hold_s
        with self._noted(run_id, submission):
            state = await self._run_store.get(run_id)
        while True:
            fence.check_attempt(state, submission, attempt, stage_index)
            self._watchdog.called(run_id, submission)
            directive = self._directive(state, stage_index, boundary)
            left_s = deadline_s - self._run_store.clock.monotonic_s()
            if directive is not None or left_s <= 0:
                return directive
            with self._noted(run_id, submission):
                state = await self._run_store.wait_for_change(run_id, state.sequence, left_s)

    async def end_stage(self, run_id: str, event: StageEnded) -> PipelineRun:
        """An attempt is over."""
        state = await self._apply(run_id, replace(event, now_s=self._now_s()))
        self._watchdog.called(run_id, event.submission)
        return state

    def changed(self, before: PipelineRun | None, after: StoredRun, records: tuple[Record, ...]) -> None:
        """Forget the liveness of a run that has ended."""
        if after.status.ended:
            self._watchdog.forget(after.id)

    async def _apply(self, run_id: str, event: AttemptAsked | WorkerEvent) -> PipelineRun:
        with self._noted(run_id, event.submission):
            return await self._run_store.apply(run_id, event)

    @contextmanager
    def _noted(self, run_id: str, submission: int) -> Iterator[None]:
        """A call that fails because the database is away shows that its group lives."""
        try:
            yield
        except Unavailable:
            self._watchdog.seen(run_id, submission)
            raise

    def _directive(self, state: PipelineRun, stage_index: int, boundary: int) -> Directive | None:
        stage = fence.stage_of(state, stage_index)
        if state.status.ended and state.status is not RunState.SUCCEEDED:
            return Directive(boundary=boundary, verdict=Verdict.STOP, mix=Mix(), message=f"the run is {state.status}")
        if boundary < 1:
            raise Stale(mismatch(f"boundary {boundary}", f"1 to {stage.plan.boundaries}"))
        return directive_at(stage, boundary, decision_delay=state.spec.evaluation.decision_lag)

    def _now_s(self) -> float:
        return self._run_store.clock.now_s()
