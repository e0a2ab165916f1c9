"""What people do to a run, and its turn in the queue."""

from dataclasses import replace
from typing import Any

from retain.values import ApproveAction, CheckpointRef, PipelineSpec, Verdict
from services.common.errors import FailedPrecondition, InvalidTransition
from services.orchestrator.domain.handlers.completion import complete_stage, end_run
from services.orchestrator.domain.handlers.damage import restored
from services.orchestrator.domain.handlers.decision import decision_on_newest, recorded
from services.orchestrator.domain.handlers.rollback import begin_rollback
from services.orchestrator.domain.policy.ladder import Mix
from services.orchestrator.domain.run.commands import Record, RecordDecision
from services.orchestrator.domain.run.events import Admitted, Approved, Cancelled, Retried, SpecUpdated
from services.orchestrator.domain.run.state import (
    DEFAULT_PROJECT,
    Branch,
    Checkpoint,
    Job,
    PipelineRun,
    RunState,
    StagePhase,
    StageRun,
    StageState,
)
from services.orchestrator.domain.spec.plan import plan
from services.orchestrator.domain.spec.update import UNTIL_SUCCESS, updated

Outcome = tuple[PipelineRun, tuple[Record, ...]]


def new_run(
    run_id: str,
    spec: PipelineSpec,
    *,
    store_uri: str,
    base: CheckpointRef | None,
    queue_number: int,
    now_s: float,
    project: str = DEFAULT_PROJECT,
    priority: int = 0,
) -> PipelineRun:
    """A run as it is created: PENDING, every stage locked until the one before it is complete."""
    stages = tuple(
        StageRun(plan=planned, branch=Branch(mix=Mix(shares=dict(planned.shares)))) for planned in plan(spec)
    )
    return PipelineRun(
        id=run_id,
        spec=spec,
        store_uri=store_uri,
        stages=stages,
        base=base,
        queue_number=queue_number,
        sequence=1,
        created_s=now_s,
        updated_s=now_s,
        queued_s=now_s,
        project=project,
        priority=priority,
    )


def on_admitted(state: PipelineRun, event: Admitted) -> Outcome:
    """The workers fit: the next worker group is wanted."""
    if state.status is not RunState.PENDING:
        return state, ()
    state = replace(state, status=RunState.RUNNING, reason="", message="", queue_number=0, restarts=0, interruptions=0)
    return next_group(state), ()


def next_group(state: PipelineRun, *, after_s: float = 0.0) -> PipelineRun:
    """Want a worker group with the next number; everything that older ones say is refused from here on."""
    submission = state.submission + 1
    jobs = (*state.jobs, Job(submission=submission, submit_after_s=after_s))
    return replace(state, submission=submission, jobs=jobs, phase=StagePhase.UNSPECIFIED, workers_wait_for="")


def on_cancelled(state: PipelineRun, event: Cancelled) -> Outcome:
    """End a run. Cancelling a cancelled one changes nothing. Raises InvalidTransition."""
    if state.status is RunState.CANCELLED:
        return state, ()
    if state.status.ended:
        raise InvalidTransition("cancel", state=state.status, expected=["PENDING", "RUNNING", "SUSPENDED"])
    return end_run(
        state, RunState.CANCELLED, "CANCELLED", f"cancelled by {event.actor}", event.now_s, leave_after_s=0.0
    ), ()


def on_approved(state: PipelineRun, event: Approved) -> Outcome:
    """A person accepts a suspended stage's checkpoint as it is, or grants one more retry.

    Raises FailedPrecondition or InvalidTransition.
    """
    if state.status is not RunState.SUSPENDED:
        raise InvalidTransition("approve", state=state.status, expected=["SUSPENDED"])
    stage = state.current
    assert stage is not None, "a suspended run has a stage that is not complete"
    said = f": {event.comment}" if event.comment else ""
    if event.action is ApproveAction.ACCEPT:
        newest = _acceptable(stage)
        state, record = _approval(state, stage, Verdict.ACCEPT, f"accepted as it is{said}", event)
        stage = replace(stage, gate=replace(stage.gate, held_rollback=None))
        state, records = complete_stage(state, stage, newest, event.now_s)
        return state, (record, *records)
    state, stage, records = _continue(state, stage)
    pending = stage.branch.pending_rollback
    back = stage.branch.at_boundary(pending.boundary) if pending is not None else stage.branch.resume_point
    state, record = _approval(state, stage, Verdict.ROLL_BACK, f"one more retry{said}", event, back=back)
    return state, (record, *records)


def _acceptable(stage: StageRun) -> Checkpoint:
    """The checkpoint that a person can accept. Raises FailedPrecondition where there is none."""
    newest = stage.branch.newest
    decided = stage.branch.decided_boundary
    if newest is not None and newest.boundary < decided:
        raise FailedPrecondition(
            f"the checkpoint at boundary {decided} of {stage.plan.name}, which was decided about, "
            "was set aside; expected CONTINUE or Cancel",
            reason="NOTHING_TO_ACCEPT",
        )
    if newest is None or newest.severity is None or (newest.forgetting is None and stage.plan.retention_sets):
        raise FailedPrecondition(
            f"stage {stage.plan.name} has no measured checkpoint to accept; expected CONTINUE or Cancel",
            reason="NOTHING_TO_ACCEPT",
        )
    if not stage.gate.finite:
        raise FailedPrecondition(
            f"{newest.id} has a loss or score that is not a finite number; expected CONTINUE or Cancel",
            reason="NOT_FINITE",
        )
    return newest


def _approval(
    state: PipelineRun,
    stage: StageRun,
    verdict: Verdict,
    message: str,
    event: Approved,
    *,
    back: Checkpoint | None = None,
) -> tuple[PipelineRun, RecordDecision]:
    """What a person decided is written down, and the run waits for its turn again. `back`: the checkpoint that a
    rollback goes to (None: the stage's start)."""
    decision = decision_on_newest(
        state, stage, verdict, stage.branch.mix, message, actor=event.actor, now_s=event.now_s
    )
    state, record = recorded(state, replace(decision, target=back.ref if back is not None else None))
    return replace(state, status=RunState.PENDING, reason="", message="", **_in_line(event)), record


def on_retried(state: PipelineRun, event: Retried) -> Outcome:
    """A failed or cancelled run waits for its turn again; its stage resumes at the last checkpoint.

    Raises InvalidTransition.
    """
    if state.status not in (RunState.FAILED, RunState.CANCELLED):
        raise InvalidTransition("retry", state=state.status, expected=["FAILED", "CANCELLED"])
    state, given_back = restored(state)
    stage, records = state.current, ()  # type: tuple[StageRun | None, tuple[Record, ...]]
    if stage is not None and stage.gate.held_rollback is not None:
        state, stage, records = _continue(state, stage)
    elif stage is not None:
        ready = StageState.READY if stage.status is StageState.FAILED else stage.status
        checkpoints = tuple(replace(c, evaluation_tries=0, evaluation_pause_s=0.0) for c in stage.branch.checkpoints)
        stage = replace(stage, status=ready, ended_s=0.0, branch=replace(stage.branch, checkpoints=checkpoints))
        if stage.interpolation is not None:
            stage = replace(stage, interpolation=replace(stage.interpolation, tries=0, pause_s=0.0))
        state = state.with_stage(stage)
    return replace(state, status=RunState.PENDING, reason="", message="", restarts=0, ended_s=0.0, **_in_line(event)), (
        *given_back,
        *records,
    )


def on_updated(state: PipelineRun, event: SpecUpdated) -> Outcome:
    """Change what may change of the spec. Verdicts that were made stand; the next one is made by the new rules.

    Raises InvalidInput or InvalidTransition.
    """
    spec = updated(state.spec, event.spec, event.paths)
    late = [path for path in event.paths if path in UNTIL_SUCCESS]
    if late and state.status is RunState.SUCCEEDED:
        expected = [other.value for other in RunState if other and other is not RunState.SUCCEEDED]
        raise InvalidTransition(f"change {', '.join(late)}", state=state.status, expected=expected)
    return replace(state, spec=spec), ()


def _in_line(event: Approved | Retried) -> dict[str, Any]:
    """A place at the end of the queue."""
    return {"queue_number": event.queue_number, "queued_s": event.now_s}


def _continue(state: PipelineRun, stage: StageRun) -> tuple[PipelineRun, StageRun, tuple[Record, ...]]:
    """Carry out the rollback that was held back, with one retry more."""
    rollback = stage.gate.held_rollback
    gate = replace(stage.gate, held_rollback=None, extra_retries=stage.gate.extra_retries + 1)
    stage = replace(stage, status=StageState.READY, gate=gate, ended_s=0.0)
    if rollback is None:
        return state.with_stage(stage), stage, ()
    state, records = begin_rollback(state, stage, rollback)
    return state, state.stages[stage.plan.index], records
