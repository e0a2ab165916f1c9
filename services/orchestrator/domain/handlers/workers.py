"""What worker groups say: they ask for work, tell how far they are, and end an attempt."""

import math
from dataclasses import replace

from retain.values import Severity, Verdict
from retain.values.recommendations import recommendations
from services.common.errors import FailedPrecondition, Stale
from services.orchestrator.domain.handlers.completion import LEAVE_AFTER_STOP_S, end_run, suspend
from services.orchestrator.domain.handlers.damage import WORKER, set_aside
from services.orchestrator.domain.handlers.decision import decision_on_newest, recorded
from services.orchestrator.domain.handlers.jobs import on_told_to_leave
from services.orchestrator.domain.handlers.preparation import on_prepared
from services.orchestrator.domain.handlers.rollback import begin_rollback, enter_branch, rollback_from_start
from services.orchestrator.domain.handlers.verdicts import allowed_retries, decide_ready
from services.orchestrator.domain.metrics.points import bucket_of, progress_point
from services.orchestrator.domain.run import fence
from services.orchestrator.domain.run.backoff import PASSING_REASONS
from services.orchestrator.domain.run.commands import Record, RecordPoint
from services.orchestrator.domain.run.events import AttemptAsked, ProgressReported, StageEnded
from services.orchestrator.domain.run.plausible import check_progress
from services.orchestrator.domain.run.state import Attempt, PipelineRun, RunState, StagePhase, StageRun, StageState
from services.orchestrator.domain.spec.bounds import ladder_of, limits_of

Outcome = tuple[PipelineRun, tuple[Record, ...]]
REMEMBERED_REQUESTS = 64
# Reasons with which a worker says that its loss is no number: a stop of the gate, not a fault of the run.
NOT_FINITE_REASONS = ("NON_FINITE_LOSS", "NON_FINITE")


def on_attempt_asked(state: PipelineRun, event: AttemptAsked) -> Outcome:
    """Begin an attempt of what comes next. A repeated request changes nothing and so gets the same answer.

    Raises Stale.
    """
    fence.check_submission(state, event.submission)
    stage = state.current
    if state.status is not RunState.RUNNING or stage is None:
        return state, ()
    present = state.prepare_request_id if state.prepared is None else stage.attempt.request_id
    if event.request_id and event.request_id == present:
        return state, ()
    if event.request_id in state.used_requests:
        # A late copy of an old request must not fence off the attempt that is at work now.
        raise Stale(f"run {state.id}: request {event.request_id} has been answered before", reason="STALE_REQUEST")
    used = (*state.used_requests, event.request_id)[-REMEMBERED_REQUESTS:]
    jobs = tuple(replace(j, excused=False) if j.submission == event.submission else j for j in state.jobs)
    state = replace(state, used_requests=used, phase=StagePhase.LOADING, workers_wait_for="", jobs=jobs)
    if state.prepared is None:
        state = replace(
            state,
            phase=StagePhase.PREPARING,
            prepare_attempt=state.prepare_attempt + 1,
            prepare_request_id=event.request_id,
            prepare_progress=0.0,
        )
        return state, ()
    return _begin(state, stage, event)


def _begin(state: PipelineRun, stage: StageRun, event: AttemptAsked) -> Outcome:
    """Begin an attempt of a stage. What was measured while no group was at work is decided now; where that completes
    the stage, the attempt is one of the next."""
    stage = _next_attempt(stage, event, decision_delay=state.spec.evaluation.decision_lag)
    state, records = decide_ready(state.with_stage(stage), stage.plan.index, event.now_s)
    following = state.current
    if state.status is RunState.RUNNING and following is not None and following.plan.index != stage.plan.index:
        state, more = _begin(state, following, event)
        records += more
    return state, records


def _next_attempt(stage: StageRun, event: AttemptAsked, *, decision_delay: int) -> StageRun:
    stage = enter_branch(stage, decision_delay=decision_delay)
    resume, costs = stage.branch.resume_point, stage.costs
    begun = Attempt(
        number=stage.attempt.number + 1,
        request_id=event.request_id,
        resume=resume.ref if resume else None,
        resume_boundary=resume.boundary if resume else 0,
        reached=resume.boundary if resume else 0,
    )
    return replace(
        stage,
        status=StageState.RUNNING,
        attempt=begun,
        last=replace(
            stage.last,
            step=resume.ref.step if resume else 0,
            tokens=resume.ref.tokens if resume else 0,
            upload_failures=0,
        ),
        costs=replace(
            costs,
            earlier_wait_s=costs.earlier_wait_s + costs.wait_s,
            earlier_stall_s=costs.earlier_stall_s + costs.stall_s,
            earlier_train_s=costs.earlier_train_s + costs.train_s,
            wait_s=0.0,
            stall_s=0.0,
            train_s=0.0,
        ),
        started_s=stage.started_s or event.now_s,
    )


def on_progress(state: PipelineRun, event: ProgressReported) -> Outcome:
    """Keep the last figures. They are for people: nothing is decided by them."""
    fence.check(state, event)
    if state.status is not RunState.RUNNING:
        return state, ()
    state = replace(state, phase=event.phase, workers_wait_for=event.waiting_for)
    if event.stage_index == fence.PREPARING:
        return replace(state, prepare_progress=min(1.0, max(0.0, event.prepare_progress))), ()
    stage = fence.stage_of(state, event.stage_index)
    if stage.status is not StageState.RUNNING:
        return state, ()
    check_progress(stage.plan, event)
    moved = event.step >= stage.last.step and not stage.gives_up
    last = replace(
        stage.last,
        step=event.step if moved else stage.last.step,
        tokens=event.tokens if moved else stage.last.tokens,
        train_loss_nats=event.train_loss_nats,
        learning_rate=event.learning_rate,
        tokens_per_second=event.tokens_per_second,
        pace=event.tokens_per_second or stage.last.pace,
        curriculum_level=event.curriculum_level,
        upload_failures=event.upload_failures,
    )
    costs = replace(stage.costs, wait_s=event.wait_s, stall_s=event.stall_s, train_s=event.train_s)
    records: tuple[Record, ...] = ()
    if moved and event.step > stage.last.step:
        point, bucket = progress_point(stage, event), bucket_of(stage, event.step)
        records = (RecordPoint(stage_index=stage.plan.index, bucket=bucket, point=point),)
    return state.with_stage(replace(stage, last=last, costs=costs)), records


def on_stage_ended(state: PipelineRun, event: StageEnded) -> Outcome:
    """An attempt ended: preparing is done, a stage is done, one of them cannot be done, or the workers had to leave.

    Raises FailedPrecondition.
    """
    if event.interrupted and any(j.submission == event.submission and j.told_to_leave for j in state.jobs):
        return state, ()
    fence.check(state, event)
    if state.status is not RunState.RUNNING:
        return state, ()
    if event.damaged is not None:
        message = event.message or "its files are not those of its manifest"
        state, records = set_aside(state, event.damaged, actor=WORKER, message=message, now_s=event.now_s)
        jobs = tuple(replace(j, excused=True) if j.submission == event.submission else j for j in state.jobs)
        return replace(state, jobs=jobs), records
    if event.interrupted or (event.failed and event.reason in PASSING_REASONS):
        return on_told_to_leave(state, event), ()
    if event.stage_index == fence.PREPARING:
        return on_prepared(state, event)
    stage = fence.stage_of(state, event.stage_index)
    if not event.failed:
        if stage.status is not StageState.COMPLETE:
            raise FailedPrecondition(
                f"stage {stage.plan.name} is {stage.status}: it is complete once its last checkpoint is accepted",
                reason="STAGE_NOT_ACCEPTED",
            )
        return state, ()
    if stage.status is not StageState.RUNNING or stage.gives_up:
        return state, ()
    if event.reason in NOT_FINITE_REASONS:
        return _not_finite(state, stage, event)
    reason = event.reason or "STAGE_FAILED"
    ended = end_run(state, RunState.FAILED, reason, event.message, event.now_s, leave_after_s=LEAVE_AFTER_STOP_S)
    return ended, ()


def _not_finite(state: PipelineRun, stage: StageRun, event: StageEnded) -> Outcome:
    """Training itself came to NaN: the same as a stop at a boundary, back with a smaller learning rate."""
    rollback, changed = rollback_from_start(stage, ladder_of(state.spec.forgetting))
    allowed = allowed_retries(state.spec, stage)
    goes_back = stage.gate.retries < allowed and math.isfinite(rollback.mix.lr_scale)
    at = stage.branch.at_boundary(rollback.boundary)
    message = f"{event.message}; {changed}"
    if not goes_back:
        message += f"; all {allowed} retries are used: Approve (ACCEPT or CONTINUE) or Cancel"
    verdict = Verdict.ROLL_BACK if goes_back else Verdict.STOP
    decision = replace(
        decision_on_newest(state, stage, verdict, rollback.mix, message, actor="gate", now_s=event.now_s),
        severity=Severity.STOP,
        step=stage.last.step,
        forgetting=None,
        target=at.ref if goes_back and at else None,
        recommendations=recommendations(Severity.STOP, limits_of(state.spec.forgetting)),
    )
    state, record = recorded(state, decision)
    if not goes_back:
        held = replace(stage, gate=replace(stage.gate, held_rollback=rollback))
        return suspend(state, held, "RETRIES_USED_UP", message, event.now_s), (record,)
    state, records = begin_rollback(state, stage, rollback)
    return state, (record, *records)
