"""Checkpoints and their evaluations."""

from dataclasses import replace

from retain.values.faults import mismatch
from services.common.errors import AlreadyExists, FailedPrecondition, InvalidInput, Violation
from services.orchestrator.domain.due import evaluation_of
from services.orchestrator.domain.handlers.completion import LEAVE_AFTER_STOP_S, end_run
from services.orchestrator.domain.handlers.damage import EVALUATOR, set_aside
from services.orchestrator.domain.handlers.interpolation import interpolation_commands, kind_at
from services.orchestrator.domain.handlers.verdicts import decide_ready, restated
from services.orchestrator.domain.policy.interpolation import interpolation_point
from services.orchestrator.domain.run import fence
from services.orchestrator.domain.run.backoff import PASSING_REASONS, PAUSE_FOR_ROOM_S, pause_s
from services.orchestrator.domain.run.commands import Record, RecordCheckpoint, name_of
from services.orchestrator.domain.run.events import CheckpointReported, EvaluationFailed, EvaluationFinished
from services.orchestrator.domain.run.state import (
    Checkpoint,
    CheckpointState,
    PipelineRun,
    RunState,
    StageRun,
    StageState,
)

Outcome = tuple[PipelineRun, tuple[Record, ...]]


def checkpoint_id(state: PipelineRun, stage: StageRun, attempt: int, step: int) -> str:
    """Identity in the lineage, and the path of its folder below runs/."""
    return f"{state.id}/{stage.plan.name}/attempt-{attempt}/step-{step:09d}"


def on_checkpoint(state: PipelineRun, event: CheckpointReported) -> Outcome:
    """Register a checkpoint; the same report again changes nothing. Raises AlreadyExists."""
    fence.check(state, event)
    stage = fence.stage_of(state, event.stage_index)
    at = (event.attempt, event.checkpoint.step)
    interim = (stage.branch.interim,) if stage.branch.interim is not None else ()
    registered = (
        *stage.branch.checkpoints,
        *interim,
        *stage.branch.voided,
        *stage.branch.pruning,
        *stage.branch.damaged,
    )
    known = next((c for c in registered if (c.attempt, c.ref.step) == at and c.point is None), None)
    if known is not None:
        if known.ref.manifest_sha256 != event.checkpoint.manifest_sha256:
            raise AlreadyExists(f"{known.id} is registered with manifest {known.ref.manifest_sha256}")
        return state, ()
    _check_place(state, stage, event)
    checkpoint = _registered(state, stage, event)
    if stage.gives_up or stage.status is not StageState.RUNNING:
        # The branch has been given up while this one was under way.
        checkpoint = replace(checkpoint, status=CheckpointState.VOID)
        stage = replace(stage, branch=replace(stage.branch, voided=(*stage.branch.voided, checkpoint)))
        return state.with_stage(stage), (RecordCheckpoint(checkpoint=checkpoint),)
    stage = _with_report(stage, event)
    state = replace(state, restarts=0, interruptions=0)
    if event.interim:
        return _keep_interim(state, stage, checkpoint)
    checkpoint = _made_again(stage, checkpoint)
    stage = replace(
        stage,
        branch=replace(stage.branch, checkpoints=(*stage.branch.checkpoints, checkpoint)),
        last=replace(stage.last, checkpoint_count=max(stage.last.checkpoint_count, event.boundary)),
    )
    return state.with_stage(stage), (RecordCheckpoint(checkpoint=checkpoint),)


def _registered(state: PipelineRun, stage: StageRun, event: CheckpointReported) -> Checkpoint:
    """The checkpoint that a worker reports, under its name in the lineage."""
    return Checkpoint(
        id=checkpoint_id(state, stage, event.attempt, event.checkpoint.step),
        run_id=state.id,
        stage_index=stage.plan.index,
        stage=stage.plan.name,
        kind=stage.plan.kind,
        domain=stage.plan.domain,
        attempt=event.attempt,
        boundary=event.boundary,
        ref=event.checkpoint,
        parent=event.parent,
        bytes=event.bytes,
        train_loss_nats=event.train_loss_nats,
        created_s=event.now_s,
        interim=event.interim,
    )


def _with_report(stage: StageRun, event: CheckpointReported) -> StageRun:
    """The stage with how far it has come and what the upload took."""
    return replace(
        stage,
        attempt=replace(stage.attempt, reached=event.boundary),
        last=replace(
            stage.last,
            step=event.checkpoint.step,
            tokens=event.checkpoint.tokens,
            train_loss_nats=event.train_loss_nats,
        ),
        costs=replace(
            stage.costs,
            upload_s=stage.costs.upload_s + event.upload_s,
            upload_bytes=stage.costs.upload_bytes + event.bytes,
        ),
    )


def _keep_interim(state: PipelineRun, stage: StageRun, checkpoint: Checkpoint) -> Outcome:
    """One interim checkpoint is kept: the newest. The one before it goes the way of what retention gives up."""
    records: tuple[Record, ...] = (RecordCheckpoint(checkpoint=checkpoint),)
    if stage.branch.interim is not None:
        given_up = replace(stage.branch.interim, status=CheckpointState.PRUNING)
        stage = replace(stage, branch=replace(stage.branch, pruning=(*stage.branch.pruning, given_up)))
        records = (RecordCheckpoint(checkpoint=given_up), *records)
    return state.with_stage(replace(stage, branch=replace(stage.branch, interim=checkpoint))), records


def _made_again(stage: StageRun, checkpoint: Checkpoint) -> Checkpoint:
    """A checkpoint in the place of one that was set aside. With the same weights what was decided about them holds;
    with others (another world size) it is measured, and the verdict of the boundary stands all the same."""
    twins = [c for c in stage.branch.damaged if c.boundary == checkpoint.boundary and c.point is None and not c.interim]
    same = [c for c in twins if c.ref.weights_digest == checkpoint.ref.weights_digest and c.severity is not None]
    if checkpoint.boundary > stage.branch.decided_boundary or not same:
        return checkpoint
    twin = same[-1]
    return replace(
        checkpoint,
        severity=twin.severity,
        forgetting=twin.forgetting,
        target_loss_nats=twin.target_loss_nats,
        effective_shares=twin.effective_shares,
    )


def _check_place(state: PipelineRun, stage: StageRun, event: CheckpointReported) -> None:
    if state.status.ended or stage.status is StageState.COMPLETE:
        raise FailedPrecondition(f"run {state.id} is {state.status}, stage {stage.plan.name} {stage.status}")
    reached = max(stage.branch.newest_trained.boundary if stage.branch.newest_trained else 0, stage.attempt.reached)
    expected = reached if event.interim else reached + 1
    lost_branch = stage.gives_up or stage.status is not StageState.RUNNING
    faults = []
    if not lost_branch and event.boundary != expected:
        faults.append(Violation(field="boundary", description=mismatch(event.boundary, expected)))
    step, got = stage.plan.boundary_step(event.boundary), event.checkpoint.step
    after = stage.plan.boundary_step(event.boundary + 1)
    # At the next boundary's own step when the workers left before the verdict that it waits for was known.
    if event.interim and not step < got <= after:
        said = mismatch(got, f"{step + 1} to {after} for an interim checkpoint after boundary {event.boundary}")
        faults.append(Violation(field="checkpoint.step", description=said))
    if not event.interim and got != step:
        said = mismatch(got, f"{step}, where boundary {event.boundary} lies")
        faults.append(Violation(field="checkpoint.step", description=said))
    prefix = f"{state.store_uri}/runs/{state.id}/{stage.plan.name}/attempt-{event.attempt}/"
    if not event.checkpoint.uri.startswith(prefix):
        said = mismatch(repr(event.checkpoint.uri), f"what lies below {prefix}, where this attempt writes")
        faults.append(Violation(field="checkpoint.uri", description=said))
    if len(event.checkpoint.manifest_sha256) != 64:
        said = mismatch(repr(event.checkpoint.manifest_sha256), "64 hex digits")
        faults.append(Violation(field="checkpoint.manifest_sha256", description=said))
    if faults:
        raise InvalidInput(faults)


def on_evaluation_finished(state: PipelineRun, event: EvaluationFinished) -> Outcome:
    """Keep a measurement and decide what can be decided. The result of a voided checkpoint changes nothing."""
    stage, checkpoint = _waiting(state, event)
    if checkpoint is None:
        return state, ()
    if event.of_interpolation and event.point is not None:
        known = stage.known_interpolation
        points = (*known.points, interpolation_point(event.point, event.measurement, kind_at(state, event.point)))
        stage = replace(stage, interpolation=replace(known, points=points))
        return decide_ready(state.with_stage(stage), event.stage_index, event.now_s)
    if event.measurement.measure_s > 0:  # what came from the store says nothing about speed
        costs = replace(
            stage.costs,
            evaluation_s=stage.costs.evaluation_s + event.measurement.measure_s,
            evaluation_tokens=stage.costs.evaluation_tokens + sum(r.tokens for r in event.measurement.results),
        )
        stage = replace(stage, costs=costs)
        state = state.with_stage(stage)
    measured = replace(checkpoint, measurement=event.measurement)
    if checkpoint.point is None and checkpoint.boundary <= stage.branch.decided_boundary:
        measured = restated(state, stage, measured)
    stage = replace(stage, branch=stage.branch.with_checkpoint(measured))
    return decide_ready(state.with_stage(stage), event.stage_index, event.now_s)


def on_evaluation_failed(state: PipelineRun, event: EvaluationFailed) -> Outcome:
    """Ask again under another name, and end the run when that does not help: an unmeasured model is never accepted."""
    stage, checkpoint = _waiting(state, event)
    if checkpoint is None:
        return state, ()
    if event.damaged is not None:
        state, records = set_aside(state, event.damaged, actor=EVALUATOR, message=event.message, now_s=event.now_s)
        state, more = decide_ready(state, event.stage_index, event.now_s)  # a point that is left out is not waited for
        return state, (*records, *more)
    what, passes = checkpoint.id, event.reason in PASSING_REASONS
    if event.of_interpolation:
        what = f"the point {event.point:g} before {what}"
        known = stage.known_interpolation
        tries = known.tries + (0 if passes else 1)
        pause = PAUSE_FOR_ROOM_S if passes else pause_s(tries)
        again = replace(known, tries=tries, failed=known.failed + 1, pause_s=pause)
        stage = replace(stage, interpolation=again)
    else:
        tries = checkpoint.evaluation_tries + (0 if passes else 1)
        pause = PAUSE_FOR_ROOM_S if passes else pause_s(tries)
        tried = replace(
            checkpoint,
            evaluation_tries=tries,
            evaluations_failed=checkpoint.evaluations_failed + 1,
            evaluation_pause_s=pause,
        )
        stage = replace(stage, branch=stage.branch.with_checkpoint(tried))
    state = _said_to_wait(state.with_stage(stage), stage, what, event, pause)
    if passes or tries < event.max_tries or state.status not in (RunState.RUNNING, RunState.PENDING):
        return state, ()
    not_done = "measured or written" if event.of_interpolation else "measured"
    message = f"{what} could not be {not_done} ({event.max_tries} tries): {event.message}"
    reason = event.reason or "EVALUATION_FAILED"
    return end_run(state, RunState.FAILED, reason, message, event.now_s, leave_after_s=LEAVE_AFTER_STOP_S), ()


def _said_to_wait(state: PipelineRun, stage: StageRun, what: str, event: EvaluationFailed, pause: float) -> PipelineRun:
    """The state with what is waited for until the next try, under the names of what is asked then."""
    if event.of_interpolation:
        names = [str(name_of(one)[1]) for one in interpolation_commands(state, stage)]
    else:
        at = (event.attempt, event.step)
        names = [
            evaluation_of(state, stage, c).evaluation_id
            for c in stage.branch.checkpoints
            if (c.attempt, c.ref.step) == at
        ]
    said = f"{what} could not be measured ({event.message}): it is tried again in {pause:g} s"
    return replace(state, evaluations_wait={**state.evaluations_wait, **dict.fromkeys(names, said)})


def _waiting(state: PipelineRun, event: EvaluationFinished | EvaluationFailed) -> tuple[StageRun, Checkpoint | None]:
    """The stage, and the checkpoint that waits for this result (of an interpolation: the result that it belongs to)."""
    stage = fence.stage_of(state, event.stage_index)
    named = event.evaluation_id if isinstance(event, EvaluationFailed) else ""
    for checkpoint in stage.branch.checkpoints:
        if checkpoint.attempt != event.attempt or checkpoint.ref.step != event.step:
            continue
        if event.of_interpolation:
            asked = {(q.point, q.attempt) for q in interpolation_commands(state, stage) if named in ("", name_of(q)[1])}
            return stage, checkpoint if (event.point, event.attempt) in asked else None
        if checkpoint.point == event.point:
            undecided = checkpoint.severity is None and checkpoint.measurement is None
            present = named in ("", evaluation_of(state, stage, checkpoint).evaluation_id)
            return stage, checkpoint if undecided and present else None
    return stage, None
