"""From a run's state to the plain numbers that the gate and the controllers work with, and back."""

from dataclasses import replace

from retain.values import Controller, PipelineSpec, ReplayFor, SetUse
from services.orchestrator.domain.handlers.evidence import not_finite
from services.orchestrator.domain.policy.anticipation import (
    Observed,
    StageController,
    effective_shares,
    project,
    project_onward,
    update_estimate,
    update_guarded,
)
from services.orchestrator.domain.policy.gate import GateInput
from services.orchestrator.domain.policy.projection import Horizon, append_score
from services.orchestrator.domain.run.directives import mix_from
from services.orchestrator.domain.run.state import Checkpoint, StageRun
from services.orchestrator.domain.spec.bounds import anticipation_of, ladder_of, limits_of, rate_shape_of
from services.orchestrator.domain.spec.gauges import is_gauge
from services.orchestrator.domain.spec.plan import GENERAL
from services.orchestrator.domain.values import Measurement


def controller_of(spec: PipelineSpec, stage: StageRun) -> StageController:
    """Who chooses the mix of a stage, and within what."""
    rules, limits = spec.forgetting, limits_of(spec.forgetting)
    rate = rate_shape_of(spec.stages[stage.plan.index].schedule)
    law, passes = anticipation_of(rules), stage.plan.passes
    # Specs that were stored before there was a choice keep the former rule.
    guarding = rules.replay_for is ReplayFor.ALL and GENERAL in stage.plan.shares
    return StageController(
        anticipates=rules.controller in (Controller.ANTICIPATE, Controller.OP_MIX),
        target_scarce=passes is not None and passes.median >= law.scarce_passes,
        guard=GENERAL if guarding else "",
        guarded=frozenset(stage.plan.never_replayed) if guarding else frozenset(),
        limits=limits,
        ladder=ladder_of(rules),
        law=law,
        horizon=Horizon(steps=stage.plan.steps, settle=limits.settle, rate=rate),
    )


def with_effective_shares(spec: PipelineSpec, stage: StageRun, checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with the effective share of each set."""
    before = stage.branch.known_at(checkpoint.boundary - 1)
    trained = mix_from(stage, checkpoint.boundary - 1, decision_delay=spec.evaluation.decision_lag).shares
    shares = effective_shares(
        controller_of(spec, stage),
        before.effective_shares if before is not None else {},
        trained,
        start=before.ref.step if before is not None else 0,
        end=checkpoint.ref.step,
    )
    return replace(checkpoint, effective_shares=shares)


def with_scores(spec: PipelineSpec, stage: StageRun, checkpoint: Checkpoint, measured: Measurement) -> StageRun:
    """The stage with what one boundary says about how its scores fall, and about c of each retention set."""
    scores, step = measured.scores_of(SetUse.CONTROL), checkpoint.ref.step
    controller, shares = controller_of(spec, stage), checkpoint.effective_shares
    remembered = replace(
        stage.gate,
        recent=append_score(stage.gate.recent, step, scores, adjusted_step=stage.gate.adjusted_step),
        constants=update_estimate(controller, stage.gate.constants, scores, shares, step=step),
        guarded=update_guarded(controller, stage.gate.guarded, measured.deciding(SetUse.CONTROL), shares, step=step),
    )
    return replace(stage, gate=remembered)


def observed(stage: StageRun, checkpoint: Checkpoint, measured: Measurement) -> Observed:
    """What a controller knows at this boundary."""
    return Observed(
        step=checkpoint.ref.step,
        mix=stage.branch.mix,
        adjusted_step=stage.gate.adjusted_step,
        effective_shares=checkpoint.effective_shares,
        constants=stage.gate.constants,
        recent=stage.gate.recent,
        scores=measured.scores_of(SetUse.CONTROL),
        guarded=stage.gate.guarded,
    )


def gate_input(spec: PipelineSpec, stage: StageRun, checkpoint: Checkpoint, measured: Measurement) -> GateInput:
    """What the gate looks at on this boundary."""
    controller, known = controller_of(spec, stage), observed(stage, checkpoint, measured)
    return GateInput(
        progress=checkpoint.ref.step / stage.plan.steps,
        last=checkpoint.boundary >= stage.plan.boundaries,
        scores=measured.deciding(SetUse.CONTROL),
        report_scores=measured.deciding(SetUse.REPORT),
        projected=project(controller, known),
        onward=project_onward(controller, known),
        not_finite=not_finite(stage, checkpoint, measured),
        watched=stage.gate.watched,
        may_climb=checkpoint.ref.step > stage.gate.adjusted_step,
        replayed=replayed_in(stage),
        gauges=frozenset(score.retention_set for score in measured.scores if is_gauge(score.retention_set)),
        probe=measured.probe,
    )


def replayed_in(stage: StageRun) -> frozenset[str]:
    """Sets whose text is trained on beside what the stage is to learn."""
    return frozenset(name for name, share in stage.branch.mix.shares.items() if share > 0)
