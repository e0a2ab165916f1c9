"""Preparing is done: what was made is checked, and the length of every stage is known from here on."""

import math
from dataclasses import replace

from retain.values import PreparedData, PreparedStage, SetUse
from services.orchestrator.domain.handlers.completion import LEAVE_AFTER_STOP_S, end_run
from services.orchestrator.domain.policy.ladder import Mix
from services.orchestrator.domain.run.commands import Record
from services.orchestrator.domain.run.events import StageEnded
from services.orchestrator.domain.run.state import PipelineRun, RunState, StagePhase, StageRun, StageState
from services.orchestrator.domain.spec.plan import PlannedStage, spacing_of, steps_of_epochs


def on_prepared(state: PipelineRun, event: StageEnded) -> tuple[PipelineRun, tuple[Record, ...]]:
    """Take over what preparing made, or end the run with its fault. A repeated report changes nothing."""
    if state.prepared is not None:
        return state, ()
    if event.failed:
        reason = event.reason or "PREPARE_FAILED"
        return end_run(state, RunState.FAILED, reason, event.message, event.now_s, leave_after_s=LEAVE_AFTER_STOP_S), ()
    fault = _fault(state, event.prepared)
    if fault is not None:
        return end_run(state, RunState.FAILED, fault[0], fault[1], event.now_s, leave_after_s=LEAVE_AFTER_STOP_S), ()
    assert event.prepared is not None, "checked by _fault"
    stages = tuple(_measured_out(state, stage, event.prepared) for stage in state.stages)
    first = replace(stages[0], status=StageState.READY)
    return replace(
        state,
        prepared=event.prepared,
        base=state.base or event.prepared.base,
        stages=(first, *stages[1:]),
        phase=StagePhase.LOADING,
        prepare_progress=1.0,
        restarts=0,
    ), ()


def _fault(state: PipelineRun, prepared: PreparedData | None) -> tuple[str, str] | None:
    """Reason and message of the first fault of what was prepared."""
    if prepared is None:
        return "PREPARED_DATA_MISSING", "preparing ended without telling what it made"
    if [stage.index for stage in prepared.stages] != list(range(len(state.stages))):
        came = [stage.index for stage in prepared.stages]
        return "PREPARED_DATA_INCOMPLETE", f"stages {came} were prepared; the run has 0 to {len(state.stages) - 1}"
    if not (state.base or prepared.base) and state.spec.model.preset is None:
        return "BASE_MISSING", "the model of the spec was not made a checkpoint that can be compared with"
    for stage, made in zip(state.stages, prepared.stages, strict=True):
        fault = _fault_of_stage(stage.plan, made)
        if fault is not None:
            return fault
    return None


def _fault_of_stage(plan: PlannedStage, made: PreparedStage) -> tuple[str, str] | None:
    shards = {shard.name: shard for shard in made.shards}
    names = {use: {s.name for s in made.sets if s.use is use} for use in SetUse}
    for name, uri in plan.sources.items():
        if name not in shards:
            return "PREPARED_DATA_INCOMPLETE", f"{plan.name}: the source {name} was not prepared"
        if shards[name].tokens <= 0 or shards[name].loss_tokens <= 0:
            return "EMPTY_DATA", f"{plan.name}: the source {name} ({uri}) has no tokens to learn from"
    for name in (*plan.sources, *plan.never_replayed):
        if name not in names[SetUse.CONTROL]:
            return "PREPARED_DATA_INCOMPLETE", f"{plan.name}: there is no control set for {name}"
        if name in plan.retention_sets and name not in names[SetUse.REPORT]:
            return "PREPARED_DATA_INCOMPLETE", f"{plan.name}: there is no report set for {name}, as its budget needs"
    return None


def _measured_out(state: PipelineRun, stage: StageRun, prepared: PreparedData) -> StageRun:
    """The stage with its steps and boundaries, and with the mix that it starts with."""
    plan = stage.plan
    duration, made = state.spec.stages[plan.index].duration, prepared.stages[plan.index]
    steps = plan.steps
    if duration.epochs is not None and made.steps > 0:
        steps = made.steps
    elif duration.epochs is not None:
        target = next(s for s in made.shards if s.name == plan.target)
        steps = steps_of_epochs(
            duration.epochs,
            target_tokens=target.tokens,
            target_loss_tokens=target.loss_tokens,
            replay_share=sum(plan.shares.values()),
            tokens_per_step=plan.tokens_per_step,
        )
    spacing = min(spacing_of(state.spec.evaluation.every, plan.tokens_per_step), steps)
    plan = replace(
        plan,
        steps=steps,
        tokens=steps * plan.tokens_per_step,
        steps_per_boundary=spacing,
        boundaries=math.ceil(steps / spacing),
        passes=made.passes,
    )
    mix = Mix(shares=dict(plan.shares))
    return replace(stage, plan=plan, branch=replace(stage.branch, mix=mix, start_mix=mix))
