"""Which checkpoint a retention set is compared with, and which sets a stage is measured on."""

from retain.values import Baseline, CheckpointRef, EvalSetRef, SetUse, StageKind
from services.orchestrator.domain.run.state import PipelineRun, StageRun
from services.orchestrator.domain.spec.gauges import most_bits_per_byte


def parent_of(state: PipelineRun, stage: StageRun) -> CheckpointRef | None:
    """Weights that a stage starts from: the stage before it, else the base; None is random weights."""
    index = stage.plan.index
    return state.base if index == 0 else state.stages[index - 1].accepted


def baseline_of(state: PipelineRun, stage: StageRun, set_name: str) -> CheckpointRef | None:
    """The accepted checkpoint of the stage that introduced a set.

    A domain: the end of its mid-training. Everything else: the end of pre-training, or the imported model where there
    is no pre-training. The same in every later stage, so that small losses add up in sight.
    """
    earlier = state.stages[: stage.plan.index]
    for candidate in earlier:
        if candidate.plan.kind is StageKind.MIDTRAIN and candidate.plan.target == set_name:
            return candidate.accepted
    pretrained = next((s for s in earlier if s.plan.kind is StageKind.PRETRAIN), None)
    return pretrained.accepted if pretrained else state.base


def baselines(state: PipelineRun, stage: StageRun) -> tuple[Baseline, ...]:
    """The baseline of each retention set of a stage."""
    found = ((name, baseline_of(state, stage, name)) for name in stage.plan.retention_sets)
    rules = state.spec.forgetting
    return tuple(
        Baseline(set_name=name, checkpoint=ref, most_bits_per_byte=most_bits_per_byte(rules, name))
        for name, ref in found
        if ref is not None
    )


def sets_at(state: PipelineRun, stage: StageRun, boundary: int) -> tuple[EvalSetRef, ...]:
    """Control sets at every boundary, the report sets too at the last one."""
    if state.prepared is None:
        return ()
    last = boundary >= stage.plan.boundaries
    sets = state.prepared.stages[stage.plan.index].sets
    return tuple(s for s in sets if s.use is SetUse.CONTROL or last)
