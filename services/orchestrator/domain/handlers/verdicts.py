"""Carries out what the gate calls for: verdicts in the order of the boundaries, adjustments, rollbacks, acceptance.

Each decided boundary leaves a `Directive` (what workers are told, fixed from then on) and a `Decision` (for people,
with its evidence).
"""

from dataclasses import dataclass, replace

from retain.values import CheckpointRef, Decision, LinePoint, PipelineSpec, Severity, Verdict
from retain.values.recommendations import recommendations
from services.orchestrator.domain.handlers.completion import complete_stage, suspend
from services.orchestrator.domain.handlers.decision import new_decision, recorded
from services.orchestrator.domain.handlers.evidence import decided, not_finite, with_evidence
from services.orchestrator.domain.handlers.gate_input import (
    controller_of,
    gate_input,
    observed,
    replayed_in,
    with_effective_shares,
    with_scores,
)
from services.orchestrator.domain.handlers.interpolation import should_interpolate
from services.orchestrator.domain.handlers.interpolation import unmeasured as unmeasured_points
from services.orchestrator.domain.handlers.rollback import begin_rollback, choose_rollback, measured_anew
from services.orchestrator.domain.metrics.points import boundary_point, bucket_of
from services.orchestrator.domain.policy.anticipation import next_mix, with_anticipated_shares
from services.orchestrator.domain.policy.gate import GateOutcome, apply_gate
from services.orchestrator.domain.policy.interpolation import (
    RESULT,
    choose,
    describe,
    interpolation_point,
    limit_of,
    meets_min_gain,
)
from services.orchestrator.domain.policy.ladder import Mix
from services.orchestrator.domain.run.commands import Record, RecordCheckpoint, RecordPoint
from services.orchestrator.domain.run.directives import adjustment_step
from services.orchestrator.domain.run.state import (
    Checkpoint,
    Directive,
    PipelineRun,
    Rollback,
    RunState,
    StageRun,
    StageState,
)
from services.orchestrator.domain.spec.bounds import ladder_of, limits_of
from services.orchestrator.domain.spec.gauges import is_gauge
from services.orchestrator.domain.values import Measurement

Outcome = tuple[PipelineRun, tuple[Record, ...]]


@dataclass(frozen=True, kw_only=True)
class _Resolution:
    """What the platform can do about what the gate calls for: the verdict that holds, the mix from here on, what people
    are told; with ROLL_BACK and STOP where to go back to, and the checkpoint there (None: the stage's start)."""

    verdict: Verdict
    mix: Mix
    message: str
    rollback: Rollback | None = None
    target: CheckpointRef | None = None


def decide_ready(state: PipelineRun, stage_index: int, now_s: float) -> Outcome:
    """Decide every boundary of a stage that can be decided: in order, each once, as long as the branch continues."""
    records: tuple[Record, ...] = ()
    while state.status is RunState.RUNNING:
        stage = state.stages[stage_index]
        checkpoint = _next(stage)
        open_branch = stage.status is StageState.RUNNING and not stage.gives_up
        if not open_branch or checkpoint is None or checkpoint.measurement is None:
            break
        measured = checkpoint.measurement
        interpolates = should_interpolate(state, stage, checkpoint) and not not_finite(stage, checkpoint, measured)
        if interpolates and unmeasured_points(state, stage):
            break
        points = (*stage.known_interpolation.points, interpolation_point(RESULT, measured)) if interpolates else ()
        state, made = _decide(state, stage, checkpoint, measured, points, now_s)
        records += made
    return state, records


def restated(state: PipelineRun, stage: StageRun, checkpoint: Checkpoint) -> Checkpoint:
    """A checkpoint that was made again at a boundary whose verdict stands, with the figures of its measurement."""
    measured = checkpoint.measurement
    assert measured is not None, "it has been measured"
    at = replace(gate_input(state.spec, stage, checkpoint, measured), last=False)
    return decided(checkpoint, apply_gate(at, limits_of(state.spec.forgetting)), measured)


def _next(stage: StageRun) -> Checkpoint | None:
    """The checkpoint to decide on next; one that was written in a result's place stands for the last boundary."""
    newest = stage.branch.newest
    written = newest is not None and newest.point is not None
    return newest if written else stage.branch.at_boundary(stage.branch.decided_boundary + 1)


def _decide(
    state: PipelineRun,
    stage: StageRun,
    checkpoint: Checkpoint,
    measured: Measurement,
    points: tuple[LinePoint, ...],
    now_s: float,
) -> Outcome:
    """Decide on one boundary: remember what was measured, ask the gate, choose among the points, see what can be had,
    write the decision down, carry it out."""
    spec = state.spec
    checkpoint = with_effective_shares(spec, stage, checkpoint)
    stage = with_scores(spec, stage, checkpoint, measured)
    outcome = apply_gate(gate_input(spec, stage, checkpoint, measured), limits_of(spec.forgetting))
    outcome, chosen = _choose_point(spec, outcome, points)
    checked = decided(checkpoint, outcome, measured)
    stage = with_evidence(stage, checked, outcome, measured)
    resolution = _resolve(spec, stage, checkpoint, measured, outcome)
    stage = _adjusted(stage, checkpoint, resolution, outcome, decision_delay=spec.evaluation.decision_lag)
    decision = _decision(state, stage, checkpoint, measured, outcome, resolution, points, now_s)
    state, record = recorded(state, decision)
    state, records = _carry_out(state, stage, checked, decision, resolution, outcome, chosen)
    kept = RecordPoint(
        stage_index=stage.plan.index,
        bucket=bucket_of(stage, checkpoint.ref.step),
        point=boundary_point(checkpoint, measured, now_s),
        of_boundary=True,
    )
    return state, (RecordCheckpoint(checkpoint=checked), record, kept, *records)


def _choose_point(
    spec: PipelineSpec, outcome: GateOutcome, points: tuple[LinePoint, ...]
) -> tuple[GateOutcome, LinePoint | None]:
    """What a result calls for whose interpolation was measured: a point takes its place, or the gate's word on it
    stands. A result that gains too little is no success, whatever it kept: a person is to look at it."""
    if not points:
        return outcome, None
    least = spec.forgetting.interpolation.least_gain_nats
    chosen = choose(points, limit=limit_of(limits_of(spec.forgetting)), least_gain_nats=least)
    message = f"{outcome.message}; {describe(points, chosen)}"
    if chosen is not None and chosen.point != RESULT:
        taken = replace(outcome, verdict=Verdict.INTERPOLATE, compared=chosen.forgetting, message=message)
        return taken, chosen
    if outcome.verdict is Verdict.ACCEPT and not meets_min_gain(points, RESULT, least):
        message += f"; the least gain is {least:g} nats"
        return replace(outcome, verdict=Verdict.STOP, hold_reason="GAIN_TOO_SMALL", message=message), chosen
    return replace(outcome, message=message), chosen


def _resolve(
    spec: PipelineSpec, stage: StageRun, checkpoint: Checkpoint, measured: Measurement, outcome: GateOutcome
) -> _Resolution:
    """What can be done about what the gate calls for."""
    if outcome.verdict in (Verdict.ROLL_BACK, Verdict.STOP):
        return _turn_back(spec, stage, checkpoint, outcome)
    if outcome.verdict in (Verdict.CONTINUE, Verdict.ADJUST) and not outcome.keeps_mix:
        return _continue(spec, stage, checkpoint, measured, outcome)
    return _Resolution(verdict=outcome.verdict, mix=stage.branch.mix, message=outcome.message)


def _continue(
    spec: PipelineSpec, stage: StageRun, checkpoint: Checkpoint, measured: Measurement, outcome: GateOutcome
) -> _Resolution:
    """Train on, with another mix where the controllers choose one."""
    something_kept = bool(stage.plan.retention_sets) and outcome.severity is not Severity.UNRESOLVED
    if outcome.verdict is Verdict.CONTINUE and not something_kept:
        return _Resolution(verdict=Verdict.CONTINUE, mix=stage.branch.mix, message=outcome.message)
    mix, changed = next_mix(controller_of(spec, stage), observed(stage, checkpoint, measured), outcome)
    return _Resolution(
        verdict=Verdict.CONTINUE if mix == stage.branch.mix else Verdict.ADJUST,
        mix=mix,
        message=f"{outcome.message}; {changed}" if changed else outcome.message,
    )


def _turn_back(spec: PipelineSpec, stage: StageRun, checkpoint: Checkpoint, outcome: GateOutcome) -> _Resolution:
    """Go back while there are retries; after that, and for what is a person's to decide, stop and ask one."""
    if outcome.impossible:
        rollback, changed = measured_anew(stage, checkpoint)
    else:
        decision_delay, ladder = spec.evaluation.decision_lag, ladder_of(spec.forgetting)
        rollback, changed = choose_rollback(
            stage, checkpoint, outcome.act_on, decision_delay=decision_delay, ladder=ladder
        )
        mix, changed = with_anticipated_shares(
            controller_of(spec, stage), stage.gate.constants, stage.gate.guarded, rollback.mix, changed
        )
        rollback = replace(rollback, mix=mix)
    allowed = allowed_retries(spec, stage)
    if outcome.verdict is Verdict.ROLL_BACK and stage.gate.retries < allowed:
        at = stage.branch.at_boundary(rollback.boundary)
        return _Resolution(
            verdict=Verdict.ROLL_BACK,
            mix=rollback.mix,
            message=f"{outcome.message}; {changed}",
            rollback=rollback,
            target=at.ref if at else None,
        )
    used_up = f"all {allowed} retries are used: " if outcome.verdict is Verdict.ROLL_BACK else ""
    message = f"{outcome.message}; {used_up}Approve (ACCEPT, or CONTINUE: {changed}) or Cancel"
    return _Resolution(verdict=Verdict.STOP, mix=rollback.mix, message=message, rollback=rollback)


def allowed_retries(spec: PipelineSpec, stage: StageRun) -> int:
    """Rollbacks that a stage may make, those that a person granted among them."""
    return (spec.forgetting.max_retries or 0) + stage.gate.extra_retries


def _adjusted(
    stage: StageRun, checkpoint: Checkpoint, resolution: _Resolution, outcome: GateOutcome, *, decision_delay: int
) -> StageRun:
    """The stage with the mix that was chosen, and with how long a score has been watched."""
    if resolution.verdict is Verdict.ADJUST:
        heard = adjustment_step(stage, checkpoint.boundary, decision_delay=decision_delay)
        gate = replace(stage.gate, adjusted_step=heard)
        stage = replace(stage, branch=replace(stage.branch, mix=resolution.mix), gate=gate)
    watched = stage.gate.watched + 1 if outcome.in_doubt else 0
    return replace(stage, gate=replace(stage.gate, watched=watched))


def _decision(
    state: PipelineRun,
    stage: StageRun,
    checkpoint: Checkpoint,
    measured: Measurement,
    outcome: GateOutcome,
    resolution: _Resolution,
    points: tuple[LinePoint, ...],
    now_s: float,
) -> Decision:
    """The decision with its evidence, for people."""
    worst, doubted, limits = outcome.worst, outcome.doubted, limits_of(state.spec.forgetting)
    made = new_decision(
        state,
        stage,
        resolution.verdict,
        resolution.mix,
        resolution.message,
        boundary=checkpoint.boundary,
        step=checkpoint.ref.step,
        actor="gate",
        now_s=now_s,
    )
    return replace(
        made,
        severity=outcome.severity,
        forgetting=worst.ratio if worst else None,
        projected=outcome.compared,
        threshold=outcome.threshold,
        worst_set=worst.retention_set if worst else "",
        scores=measured.scores,
        probe=measured.probe,
        target=resolution.target,
        recommendations=recommendations(
            outcome.severity,
            limits,
            doubted=doubted.ratio if doubted is not None else None,
            name=doubted.retention_set if doubted is not None else "",
            replayed=doubted is not None and doubted.retention_set in replayed_in(stage),
            never_replayed=worst is not None and is_gauge(worst.retention_set),
        ),
        points=points,
        suspicious=doubted is not None,
    )


def _carry_out(
    state: PipelineRun,
    stage: StageRun,
    checked: Checkpoint,
    decision: Decision,
    resolution: _Resolution,
    outcome: GateOutcome,
    chosen: LinePoint | None,
) -> Outcome:
    """Do what was decided. Workers hear of it by the verdict that is stored here."""
    if chosen is not None and resolution.verdict is Verdict.INTERPOLATE:
        # Workers hear nothing of it: the last boundary has no verdict before the written point has been measured.
        interpolation = replace(stage.known_interpolation, chosen=chosen.point)
        return state.with_stage(replace(stage, interpolation=interpolation)), ()
    record = Directive(
        boundary=decision.boundary, verdict=resolution.verdict, mix=resolution.mix, message=resolution.message
    )
    stage = replace(stage, branch=replace(stage.branch, verdicts=(*stage.branch.verdicts, record)))
    state = state.with_stage(stage)
    if resolution.verdict is Verdict.ROLL_BACK and resolution.rollback is not None:
        return begin_rollback(state, stage, resolution.rollback)
    if resolution.verdict is Verdict.STOP:
        held = replace(stage, gate=replace(stage.gate, held_rollback=resolution.rollback))
        reason = outcome.hold_reason or "RETRIES_USED_UP"
        return suspend(state, held, reason, resolution.message, decision.time_s), ()
    if resolution.verdict is Verdict.ACCEPT:
        return complete_stage(state, stage, checked, decision.time_s)
    return state, ()
