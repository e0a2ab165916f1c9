"""What a plan says of the policy: who decides, by which score, with which help, and why."""

from retain.values import Controller, PipelineSpec, ReplayFor, StageKind, StageSpec, StopOn
from services.orchestrator.domain.spec.bounds import anticipation_of
from services.orchestrator.domain.spec.gauges import gauge_names
from services.orchestrator.domain.spec.model_size import PRESET_SIZES
from services.orchestrator.domain.spec.op_mix import op_mix_of, trial_steps, tries_mixes
from services.orchestrator.domain.spec.plan import PlannedStage, plan
from services.orchestrator.domain.spec.self_replay import tokens_written
from services.orchestrator.domain.spec.teacher import UNKNOWN_MEMORY, Memory, Teacher, held_otherwise, teacher_of


def policy_told(spec: PipelineSpec, *, parameters: int = 0, memory: Memory = UNKNOWN_MEMORY) -> tuple[str, ...]:
    """Sentences for people about a filled spec; none where nothing is kept. `parameters` of the model and `memory` of
    the workers, where they are known, tell whether a parent can be asked."""
    later = [stage for stage in spec.stages if stage.kind is not StageKind.PRETRAIN]
    if not later:
        return ()
    written = tuple(told for index in range(len(spec.stages)) if (told := _written(spec, index)))
    probed = (_probe(spec),) if any(stage.kind is StageKind.FINETUNE for stage in later) else ()
    if spec.forgetting.mitigate is False:
        return (*written, "mitigate is off: forgetting is measured, and nothing is done about it", *probed)
    distillations = (
        _distillation(stage, teacher_of(spec, stage, parameters=parameters, memory=memory)) for stage in later
    )
    scarce = (told for stage in later if (told := _scarce(spec, stage)))
    return (*written, _controller(spec, later), _stop(spec), *distillations, *scarce, *probed)


def _written(spec: PipelineSpec, index: int) -> str:
    """What the base writes for a stage, before the run's first one."""
    stage, tokens = spec.stages[index], tokens_written(spec, index)
    sampling = stage.data.sampling
    if not tokens or sampling is None:
        return ""
    how = f"at temperature {sampling.temperature:g}" + (f", top_p {sampling.top_p:g}" if sampling.top_p != 1 else "")
    whose = spec.model.huggingface or spec.model.checkpoint
    return (
        f"{stage.name} replays what the model writes itself ({stage.data.general}): {tokens:,} tokens of {whose}, "
        f"{how}, written once while the data is prepared"
    )


def _controller(spec: PipelineSpec, later: list[StageSpec]) -> str:
    if spec.forgetting.controller is Controller.LADDER:
        return "controller LADDER: more replay once a threshold is crossed, then a lower rate"
    if spec.forgetting.controller is Controller.OP_MIX:
        return _op_mix(spec)
    if not any(share > 0 for stage in later for share in stage.data.replay.values()):
        return "controller ANTICIPATE: nothing is replayed yet; a share is chosen once something is forgotten"
    anticipates = (
        "controller ANTICIPATE: there is replay, so the smallest share that keeps the budget is chosen beforehand"
    )
    guards = spec.forgetting.replay_for is ReplayFor.ALL and gauge_names(spec.forgetting)
    return f"{anticipates}, that of general text for the gauges too" if guards else anticipates


def _op_mix(spec: PipelineSpec) -> str:
    trials = [stage for stage in plan(spec) if tries_mixes(spec, stage)]
    if not trials:
        return "controller OP_MIX: nothing is replayed, so no mix is tried; it does as ANTICIPATE"
    settings = op_mix_of(spec.forgetting)
    costs = ", ".join(f"{stage.name} {_trial_tokens(spec, stage)}" for stage in trials)
    return (
        f"controller OP_MIX: before a stage two short runs with adapters of rank {settings.rank} try "
        f"{len(settings.shares)} mixes, and the share that keeps the budget and learns most is taken; then as "
        f"ANTICIPATE. It costs tokens besides the stage's: {costs}"
    )


def _trial_tokens(spec: PipelineSpec, stage: PlannedStage) -> str:
    if not stage.steps and op_mix_of(spec.forgetting).tokens is None:
        return "a fifth of it"
    steps = trial_steps(spec.forgetting, tokens_per_step=stage.tokens_per_step, steps=stage.steps)
    return f"{2 * steps * stage.tokens_per_step:,}"


def _stop(spec: PipelineSpec) -> str:
    if spec.forgetting.stop_on is StopOn.PROJECTED:
        return "stop on PROJECTED: a stage goes back for what it will end with, so that an early peak may pass"
    return "stop on RAW: a stage goes back for the score as it stands at any boundary after settling"


def _probe(spec: PipelineSpec) -> str:
    probe = spec.forgetting.probe
    if probe is None or probe.off is not False:
        sizes = PRESET_SIZES.get(spec.model.preset or "")
        small = sizes is not None and not sizes.vocabulary
        why = "a model this small knows nothing that it could lose" if small else "it is off"
        return f"no probe in fine-tuning: {why}"
    when = f"at every {probe.every} boundaries and at the end" if probe.every else "at the end"
    budget = "measured only" if probe.budget is None else f"a loss surely over {100 * probe.budget:g}% goes back"
    return f"probe in fine-tuning: choices, forms, JSON and ends of turns, asked {when}; {budget}"


def _scarce(spec: PipelineSpec, stage: StageSpec) -> str:
    """Where the spec itself says how often the target is passed over; a length in tokens is known after preparing."""
    epochs, law = stage.duration.epochs, anticipation_of(spec.forgetting)
    if epochs is None or epochs < law.scarce_passes or spec.forgetting.controller is Controller.LADDER:
        return ""
    why = "replay has helped targets of which there was little, so a share may rise and does not fall"
    return f"{stage.name} passes over its target {epochs:g} times: {why}"


def _distillation(stage: StageSpec, teacher: Teacher) -> str:
    if stage.penalty.distill:
        alone = ", in place of the tokens where the model wrote them itself" if stage.penalty.distill_alone else ""
        return f"{stage.name} distils with strength {stage.penalty.distill:g}{alone}: {teacher.why}"
    if teacher.possible and (other := held_otherwise(stage)):
        return f"{stage.name} does not distil, though it could: {other} holds it to its parent; {teacher.why}"
    if teacher.possible:
        asked = "penalty.distill is 0, and a strength of 1 would ask the parent about replayed text, for a pass of it"
        return f"{stage.name} does not distil, though it could: {asked}; {teacher.why}"
    return f"{stage.name} does not distil: {teacher.why}"
