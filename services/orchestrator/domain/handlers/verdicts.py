"""Carries out the gate's judgements: verdicts in the order of the boundaries, adjustments, rollbacks, acceptance.

Each decided boundary leaves a `VerdictRecord` (what workers are told, fixed from then on) and a `Decision` (for people,
with its evidence).
"""

from dataclasses import replace

from services.orchestrator.domain.gauges import is_gauge
from services.orchestrator.domain.handlers.completion import complete_stage, suspend
from services.orchestrator.domain.handlers.interpolation import RESULT, choose, gains, limit_of, line_point, told
from services.orchestrator.domain.handlers.interpolation import unmeasured as unmeasured_points
from services.orchestrator.domain.handlers.interpolation import wanted as line_wanted
from services.orchestrator.domain.handlers.rollback import begin_rollback, choose_rollback, measured_anew
from services.orchestrator.domain.policy.anticipation import felt_by, next_mix, observe, project, project_onward, raised
from services.orchestrator.domain.policy.gate import Boundary, Judgement, Limits, Ruling, judge
from services.orchestrator.domain.policy.projection import note
from services.orchestrator.domain.policy.recommendations import recommendations
from services.orchestrator.domain.run.commands import Action, RecordCheckpoint, RecordDecision
from services.orchestrator.domain.run.decisions import Decision, Severity, Verdict
from services.orchestrator.domain.run.directives import adjustment_step
from services.orchestrator.domain.run.evidence import decided, not_finite, with_evidence
from services.orchestrator.domain.run.state import (
    Checkpoint,
    RunState,
    RunStatus,
    StageRun,
    StageStatus,
    VerdictRecord,
)
from services.orchestrator.domain.spec.bounds import Ladder
from services.orchestrator.domain.values import LinePoint, Measurement, SetUse

Outcome = tuple[RunState, tuple[Action, ...]]


def decide_ready(state: RunState, stage_index: int, now_s: float) -> Outcome:
    """Decide every boundary of a stage that can be decided: in order, each once, as long as the line goes on."""
    actions: tuple[Action, ...] = ()
    while state.status is RunStatus.RUNNING:
        stage = state.stages[stage_index]
        checkpoint = _next(stage)
        open_line = stage.status is StageStatus.RUNNING and not stage.gives_up
        if not open_line or checkpoint is None or checkpoint.measurement is None:
            break
        measured = checkpoint.measurement
        looks_at_line = line_wanted(state, stage, checkpoint) and not not_finite(stage, checkpoint, measured)
        if looks_at_line and unmeasured_points(state, stage):
            break
        points = (*stage.line, line_point(RESULT, measured)) if looks_at_line else ()
        state, made = _decide(state, stage, checkpoint, measured, points, now_s)
        actions += made
    return state, actions


def restated(state: RunState, stage: StageRun, checkpoint: Checkpoint) -> Checkpoint:
    """A checkpoint that was made again at a boundary whose verdict stands, with the figures of its measurement."""
    measured = checkpoint.measurement
    assert measured is not None, "it has been measured"
    boundary = replace(_boundary(state, stage, checkpoint, measured), last=False)
    return decided(checkpoint, judge(boundary, Limits.of(state.spec.forgetting)), measured)


def _next(stage: StageRun) -> Checkpoint | None:
    """The checkpoint to decide on next; one that was written in a result's place stands for the last boundary."""
    newest = stage.newest
    written = newest is not None and newest.point is not None
    return newest if written else stage.at_boundary(stage.decided_boundary + 1)


def _decide(
    state: RunState,
    stage: StageRun,
    checkpoint: Checkpoint,
    measured: Measurement,
    points: tuple[LinePoint, ...],
    now_s: float,
) -> Outcome:
    limits, ladder = Limits.of(state.spec.forgetting), Ladder.of(state.spec.forgetting)
    lag = state.spec.evaluation.decision_lag
    checkpoint = felt_by(state.spec, stage, checkpoint)
    stage = observe(state.spec, note(stage, checkpoint, measured), checkpoint, measured)
    judgement = judge(_boundary(state, stage, checkpoint, measured), limits)
    chosen: LinePoint | None = None
    if points:
        least = state.spec.forgetting.interpolation.least_gain_nats
        chosen = choose(points, limit=limit_of(limits), least_gain_nats=least)
        judgement = _on_the_line(judgement, points, chosen, least)
    checked = decided(checkpoint, judgement, measured)
    stage = with_evidence(stage, checked, judgement, measured)
    verdict, mix, message, target = Verdict.CONTINUE, stage.mix, judgement.message, None
    actions: tuple[Action, ...] = (RecordCheckpoint(checkpoint=checked),)

    resolved = judgement.severity is not Severity.UNRESOLVED
    goes_on = judgement.ruling is Ruling.GO_ON and stage.plan.retention_sets and resolved
    if judgement.ruling is Ruling.MORE_REPLAY or goes_on:
        mix, changed = next_mix(state.spec, stage, checkpoint, judgement)
        message = f"{message}; {changed}" if changed else message
        if mix != stage.mix:
            verdict = Verdict.ADJUST
            heard = adjustment_step(stage, checkpoint.boundary, lag=lag)
            stage = replace(stage, mix=mix, adjusted_step=heard)
    stage = replace(stage, watched=stage.watched + 1 if judgement.in_doubt else 0)

    if judgement.ruling in (Ruling.GO_BACK, Ruling.HOLD):
        if judgement.impossible:
            rollback, changed = measured_anew(stage, checkpoint)
        else:
            rollback, changed = choose_rollback(stage, checkpoint, judgement.act_on, lag=lag, ladder=ladder)
            rollback, changed = raised(state.spec, stage, rollback, changed)
        mix = rollback.mix
        allowed = (state.spec.forgetting.max_retries or 0) + stage.extra_retries
        if judgement.ruling is Ruling.GO_BACK and stage.retries < allowed:
            verdict, message = Verdict.ROLL_BACK, f"{message}; {changed}"
            at = stage.at_boundary(rollback.boundary)
            target = at.ref if at else None
        else:
            used_up = f"all {allowed} retries are used: " if judgement.ruling is Ruling.GO_BACK else ""
            verdict = Verdict.STOP
            message += f"; {used_up}Approve (ACCEPT, or CONTINUE: {changed}) or Cancel"
    elif judgement.ruling is Ruling.ACCEPT:
        verdict = Verdict.ACCEPT
    elif judgement.ruling is Ruling.TAKE_POINT:
        verdict = Verdict.INTERPOLATE

    decision = Decision(
        run_id=state.id,
        number=state.decisions + 1,
        stage=stage.plan.name,
        attempt=stage.attempt,
        boundary=min(checkpoint.boundary, stage.plan.boundaries),
        step=checkpoint.ref.step,
        verdict=verdict,
        severity=judgement.severity,
        forgetting=judgement.worst.ratio if judgement.worst else None,
        projected=judgement.compared,
        threshold=judgement.threshold,
        worst_set=judgement.worst.retention_set if judgement.worst else "",
        scores=measured.scores,
        shares=mix.shares,
        lr_scale=mix.lr_scale,
        target=target,
        message=message,
        time_s=now_s,
        recommendations=recommendations(
            judgement.severity,
            limits,
            judgement.doubted,
            replayed=replayed_in(stage),
            never_replayed=judgement.worst is not None and is_gauge(judgement.worst.retention_set),
        ),
        points=points,
        suspicious=judgement.doubted is not None,
    )
    state = replace(state, decisions=decision.number)
    actions += (RecordDecision(decision=decision),)
    if chosen is not None and verdict is Verdict.INTERPOLATE:
        # Workers hear nothing of it: the last boundary has no verdict before the written point has been measured.
        return state.with_stage(replace(stage, chosen_point=chosen.point)), actions
    record = VerdictRecord(boundary=decision.boundary, verdict=verdict, mix=mix, message=message)
    stage = replace(stage, verdicts=(*stage.verdicts, record))
    state = state.with_stage(stage)
    if verdict is Verdict.ROLL_BACK:
        state, more = begin_rollback(state, stage, rollback)
        actions += more
    elif verdict is Verdict.STOP:
        reason = judgement.hold_reason or "RETRIES_USED_UP"
        state = suspend(state, replace(stage, held_rollback=rollback), reason, message, now_s)
    elif verdict is Verdict.ACCEPT:
        state, more = complete_stage(state, stage, checked, now_s)
        actions += more
    return state, actions


def _on_the_line(
    judgement: Judgement, points: tuple[LinePoint, ...], chosen: LinePoint | None, least: float
) -> Judgement:
    """The judgement on a result whose line was measured: a point takes its place, or the gate's word on it stands. A
    result that gains too little is no success, whatever it kept: a person is to look at it."""
    message = f"{judgement.message}; {told(points, chosen)}"
    if chosen is not None and chosen.point != RESULT:
        return replace(judgement, ruling=Ruling.TAKE_POINT, compared=chosen.forgetting, message=message)
    if judgement.ruling is Ruling.ACCEPT and not gains(points, RESULT, least):
        message += f"; the least gain is {least:g} nats"
        return replace(judgement, ruling=Ruling.HOLD, hold_reason="GAIN_TOO_SMALL", message=message)
    return replace(judgement, message=message)


def _boundary(state: RunState, stage: StageRun, checkpoint: Checkpoint, measured: Measurement) -> Boundary:
    return Boundary(
        progress=checkpoint.ref.step / stage.plan.steps,
        last=checkpoint.boundary >= stage.plan.boundaries,
        scores=measured.deciding(SetUse.CONTROL),
        report_scores=measured.deciding(SetUse.REPORT),
        projected=project(state.spec, stage, checkpoint, measured),
        onward=project_onward(state.spec, stage, checkpoint, measured),
        not_finite=not_finite(stage, checkpoint, measured),
        watched=stage.watched,
        may_climb=checkpoint.ref.step > stage.adjusted_step,
        replayed=replayed_in(stage),
    )


def replayed_in(stage: StageRun) -> frozenset[str]:
    """Sets whose text is trained on beside what the stage is to learn."""
    return frozenset(name for name, share in stage.mix.shares.items() if share > 0)
