"""Carries out the gate's judgements: verdicts in the order of the boundaries, adjustments, rollbacks, acceptance.

Each decided boundary leaves a `VerdictRecord` (what workers are told, fixed from then on) and a `Decision` (for people,
with its evidence).
"""

import math
from dataclasses import replace

from services.orchestrator.domain.actions import Action, RecordCheckpoint, RecordDecision
from services.orchestrator.domain.complete import complete_stage, suspend
from services.orchestrator.domain.controller import next_mix, observe, project
from services.orchestrator.domain.decision import Decision, Severity, Verdict
from services.orchestrator.domain.directive import adjustment_step
from services.orchestrator.domain.gate import Boundary, Judgement, Limits, Ruling, judge
from services.orchestrator.domain.projection import note
from services.orchestrator.domain.recommend import recommendations
from services.orchestrator.domain.rollback import begin_rollback, choose_rollback
from services.orchestrator.domain.run_state import (
    Checkpoint,
    Mix,
    RunState,
    RunStatus,
    StageRun,
    StageStatus,
    VerdictRecord,
)
from services.orchestrator.domain.values import Measurement, SetRole, SetUse


def decide_ready(state: RunState, stage_index: int, now_s: float) -> tuple[RunState, tuple[Action, ...]]:
    """Decide every boundary of a stage that can be decided: in order, each once, as long as the line goes on."""
    actions: tuple[Action, ...] = ()
    while state.status is RunStatus.RUNNING:
        stage = state.stages[stage_index]
        checkpoint = stage.at_boundary(stage.decided_boundary + 1)
        open_line = stage.status is StageStatus.RUNNING and stage.pending_rollback is None
        if not open_line or checkpoint is None or checkpoint.measurement is None:
            break
        state, made = _decide(state, stage, checkpoint, checkpoint.measurement, now_s)
        actions += made
    return state, actions


def _decide(
    state: RunState, stage: StageRun, checkpoint: Checkpoint, measured: Measurement, now_s: float
) -> tuple[RunState, tuple[Action, ...]]:
    limits, lag = Limits.of(state.spec.forgetting), state.spec.evaluation.decision_lag
    stage = observe(state.spec, note(state.spec, stage, checkpoint, measured), checkpoint, measured)
    judgement = judge(_boundary(state, stage, checkpoint, measured), limits)
    severity = judgement.severity
    decided = replace(
        checkpoint,
        measurement=None,
        severity=Severity.OK if severity is Severity.UNSPECIFIED else severity,
        forgetting=judgement.worst.ratio if judgement.worst else None,
        target_loss_nats=_target_loss(measured),
    )
    stage = _with_evidence(stage, decided, judgement, measured)
    verdict, mix, message, target = Verdict.CONTINUE, stage.mix, judgement.message, None
    actions: tuple[Action, ...] = (RecordCheckpoint(checkpoint=decided),)

    if judgement.ruling is Ruling.MORE_REPLAY or (judgement.ruling is Ruling.GO_ON and stage.plan.retention_sets):
        mix, changed = next_mix(state.spec, stage, checkpoint, judgement)
        if changed:
            verdict, message = Verdict.ADJUST, f"{message}; {changed}"
            heard = adjustment_step(stage, checkpoint.boundary, lag=lag)
            stage = replace(stage, mix=mix, adjusted_step=heard)
    stage = replace(stage, watched=stage.watched + 1 if judgement.ruling is Ruling.WATCH else 0)

    if judgement.ruling is Ruling.GO_BACK:
        # Nothing compared: something was no number, and only the learning rate can help.
        rollback, changed = choose_rollback(stage, checkpoint, judgement.act_on, lag=lag)
        mix, message = rollback.mix, f"{message}; {changed}"
        allowed = (state.spec.forgetting.max_retries or 0) + stage.extra_retries
        if stage.retries < allowed:
            verdict = Verdict.ROLL_BACK
            at = stage.at_boundary(rollback.boundary)
            target = at.ref if at else None
        else:
            verdict = Verdict.STOP
            message += f"; all {allowed} retries are used: Approve (ACCEPT or CONTINUE) or Cancel"
    elif judgement.ruling is Ruling.ACCEPT:
        verdict = Verdict.ACCEPT

    record = VerdictRecord(boundary=checkpoint.boundary, verdict=verdict, mix=mix, message=message)
    stage = replace(stage, verdicts=(*stage.verdicts, record))
    decision = Decision(
        run_id=state.id,
        number=state.decisions + 1,
        stage=stage.plan.name,
        attempt=stage.attempt,
        boundary=checkpoint.boundary,
        step=checkpoint.ref.step,
        verdict=verdict,
        severity=severity,
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
        recommendations=recommendations(severity, limits),
    )
    state = replace(state.with_stage(stage), decisions=decision.number)
    actions += (RecordDecision(decision=decision),)
    if verdict is Verdict.ROLL_BACK:
        state, more = begin_rollback(state, stage, rollback)
        actions += more
    elif verdict is Verdict.STOP:
        state = suspend(state, replace(stage, held_rollback=rollback), message, now_s)
    elif verdict is Verdict.ACCEPT:
        state, more = complete_stage(state, stage, decided, now_s)
        actions += more
    return state, actions


def _boundary(state: RunState, stage: StageRun, checkpoint: Checkpoint, measured: Measurement) -> Boundary:
    return Boundary(
        progress=checkpoint.ref.step / stage.plan.steps,
        last=checkpoint.boundary >= stage.plan.boundaries,
        scores=measured.scores_of(SetUse.CONTROL),
        report_scores=measured.scores_of(SetUse.REPORT),
        projected=project(state.spec, stage, measured),
        not_finite=_not_finite(stage, checkpoint, measured),
        watched=stage.watched,
        may_climb=checkpoint.ref.step > stage.adjusted_step,
    )


def _not_finite(stage: StageRun, checkpoint: Checkpoint, measured: Measurement) -> str:
    """Names the first figure that is NaN, infinite or missing although the gate needs it; empty when all is well."""
    if not math.isfinite(checkpoint.train_loss_nats):
        return "the training loss"
    control = measured.results_of(SetUse.CONTROL)
    for result in measured.results:
        if not result.finite:
            return f"the loss on the {result.set.use.lower()} set of {result.set.name}"
    names = {score.retention_set for score in measured.scores_of(SetUse.CONTROL)}
    missing = [name for name in stage.plan.retention_sets if name not in names]
    if missing:
        return f"the missing score of {', '.join(missing)}"
    return "" if control else "the missing result of every control set"


def _target_loss(measured: Measurement) -> float | None:
    targets = [r for r in measured.results_of(SetUse.CONTROL) if r.set.role is SetRole.TARGET]
    return targets[0].loss_nats if targets else None


def _with_evidence(stage: StageRun, decided: Checkpoint, judgement: Judgement, measured: Measurement) -> StageRun:
    """The stage with the checkpoint decided and the last figures that people see."""
    report_results = measured.results_of(SetUse.REPORT)
    return replace(
        stage,
        checkpoints=tuple(decided if c.id == decided.id else c for c in stage.checkpoints),
        forgetting=decided.forgetting,
        worst_set=judgement.worst.retention_set if judgement.worst else "",
        scores=measured.scores_of(SetUse.CONTROL),
        results=measured.results_of(SetUse.CONTROL),
        report_scores=measured.scores_of(SetUse.REPORT) if report_results else stage.report_scores,
        report_results=report_results or stage.report_results,
    )


def decision_of_person(
    state: RunState, stage: StageRun, *, verdict: Verdict, mix: Mix, message: str, actor: str, now_s: float
) -> Decision:
    """The record of what a person decided about a suspended stage."""
    newest = stage.newest
    return Decision(
        run_id=state.id,
        number=state.decisions + 1,
        stage=stage.plan.name,
        attempt=stage.attempt,
        boundary=newest.boundary if newest else 0,
        step=newest.ref.step if newest else 0,
        verdict=verdict,
        severity=newest.severity if newest and newest.severity else Severity.UNSPECIFIED,
        forgetting=newest.forgetting if newest else None,
        threshold=state.spec.forgetting.action or 0.0,
        worst_set=stage.worst_set,
        scores=stage.scores,
        shares=mix.shares,
        lr_scale=mix.lr_scale,
        message=message,
        time_s=now_s,
        actor=actor,
    )
