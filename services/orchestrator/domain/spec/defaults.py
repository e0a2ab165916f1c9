"""Fills in what a spec leaves out, so that every later reader finds plain values.

Learning rates and the general share are the seed's ladder: 3e-4 / 1e-5 / 1e-6 and 0.1. The rates suit models of some
hundred million parameters; for the tiny presets they are small, and templates for those name larger ones.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace

from retain.values import (
    AnticipateSpec,
    CheckpointSpec,
    Controller,
    CurriculumStrategy,
    DomainOptions,
    EvaluationSpec,
    ForgettingSpec,
    GaugeSpec,
    IntervalSpec,
    LadderSpec,
    PipelineSpec,
    ProbeSpec,
    ReplayFor,
    ScheduleKind,
    ScheduleSpec,
    StageKind,
    StageSpec,
    StopOn,
)
from retain.values.severity import SUSPICIOUS_BELOW
from retain.values.thresholds import ACTION, MINOR, STOP
from services.orchestrator.domain.policy.limits import PROJECTED_CEILING_FACTOR, UNSETTLED_STOP_FACTOR
from services.orchestrator.domain.spec.bounds import anticipation_of, ladder_of
from services.orchestrator.domain.spec.gauges import KINDS, MOST_BITS_PER_BYTE
from services.orchestrator.domain.spec.presets import PRESETS
from services.orchestrator.domain.spec.probe import fill_probe
from services.orchestrator.domain.spec.self_replay import sampling_of
from services.orchestrator.domain.spec.teacher import UNKNOWN_MEMORY, Memory, with_distillation

LEARNING_RATES: Mapping[StageKind, float] = {
    StageKind.PRETRAIN: 3e-4,
    StageKind.MIDTRAIN: 1e-5,
    StageKind.FINETUNE: 1e-6,
}
GENERAL_SHARE = 0.1  # of a mid-training, as in the seed
REPLAY_SHARE = 0.05  # of each retention set that has no share of its own
KEEP_LAST = 3
LONGEST_DEFAULT_CONTEXT = 2048  # an imported model may allow 128k tokens; nobody means to train on that by default


def fill(
    spec: PipelineSpec, *, base_context: int | None = None, parameters: int = 0, memory: Memory = UNKNOWN_MEMORY
) -> PipelineSpec:
    """The spec with every default filled in. `base_context`: longest sequence of an imported model, in tokens;
    `parameters` of the model (0: not known) and `memory` of the workers decide whether a stage asks its parent."""
    context = spec.model.context or PRESETS.get(spec.model.preset or "", 0)
    if not context and base_context:
        context = min(base_context, LONGEST_DEFAULT_CONTEXT)
    stages: list[StageSpec] = []
    for stage in spec.stages:
        extra = tuple(spec.forgetting.retention)
        stages.append(_fill_stage(stage, earlier=tuple(stages), extra=extra, context=context))
    compute = spec.compute
    filled = replace(
        spec,
        model=replace(spec.model, context=context),
        stages=tuple(stages),
        forgetting=replace(
            fill_forgetting(spec.forgetting),
            probe=fill_probe(
                spec.forgetting.probe or ProbeSpec(),
                model=spec.model,
                mitigate=spec.forgetting.mitigate is not False,
            ),
        ),
        evaluation=_fill_evaluation(spec.evaluation),
        compute=replace(
            compute,
            workers=compute.workers or 1,
            cpus_per_worker=compute.cpus_per_worker or 1.0,
            min_workers=compute.min_workers or compute.workers or 1,
        ),
        checkpoints=fill_checkpoints(spec.checkpoints),
    )
    return with_distillation(filled, parameters=parameters, memory=memory)


def domains_of(stages: tuple[StageSpec, ...]) -> tuple[str, ...]:
    """Names of the retention sets that mid-trainings introduced: code, math, science."""
    return tuple(stage.domain.lower() for stage in stages if stage.kind is StageKind.MIDTRAIN)


def replay_of(stage: StageSpec, *, earlier: tuple[StageSpec, ...], extra: tuple[str, ...]) -> dict[str, float]:
    """Share of each retention set that a stage replays, with `domain` spelt out as the sets that it stands for."""
    if stage.kind is StageKind.PRETRAIN:
        return {}
    given = dict(stage.data.replay)
    every_domain = given.pop("domain", None)
    general = given.get("general", stage.data.general_share)
    if general is None:
        general = GENERAL_SHARE if stage.kind is StageKind.MIDTRAIN else REPLAY_SHARE
    shares = {"general": general}
    for name in domains_of(earlier):
        shares[name] = given.get(name, REPLAY_SHARE if every_domain is None else every_domain)
    for name in extra:
        shares[name] = given.get(name, REPLAY_SHARE)
    return shares | {name: share for name, share in given.items() if name not in shares}


def _fill_stage(stage: StageSpec, *, earlier: tuple[StageSpec, ...], extra: tuple[str, ...], context: int) -> StageSpec:
    general = stage.data.general or next((s.data.general for s in earlier if s.data.general), "")
    shares = replay_of(stage, earlier=earlier, extra=extra)
    sampling = sampling_of(stage, general=general, share=shares.get("general", 0.0), earlier=earlier, context=context)
    general_share = shares.get("general") if stage.kind is StageKind.MIDTRAIN else stage.data.general_share
    options = stage.domain_options
    if stage.name == "midtrain/code" and not options.languages:
        options = DomainOptions(languages=("python",), difficulty=options.difficulty, fields=options.fields)
    curriculum = stage.curriculum
    if curriculum.strategy is CurriculumStrategy.STAGED:
        curriculum = replace(curriculum, levels=curriculum.levels or 3)
    lora = replace(stage.lora, alpha=stage.lora.alpha or 2.0 * stage.lora.rank) if stage.lora.rank else stage.lora
    adam = stage.optimizer
    return replace(
        stage,
        data=replace(stage.data, general=general, general_share=general_share, replay=shares, sampling=sampling),
        domain_options=options,
        learning_rate=stage.learning_rate or LEARNING_RATES.get(stage.kind, 0.0),
        schedule=_fill_schedule(stage.schedule, stage.kind),
        curriculum=curriculum,
        batch=replace(stage.batch, sequences=stage.batch.sequences or 16),
        optimizer=replace(
            adam,
            weight_decay=_or(adam.weight_decay, 0.1),
            beta1=_or(adam.beta1, 0.9),
            beta2=_or(adam.beta2, 0.95),
            clip=_or(adam.clip, 1.0),
        ),
        lora=lora,
    )


def _fill_schedule(schedule: ScheduleSpec, kind: StageKind) -> ScheduleSpec:
    first = kind is StageKind.PRETRAIN
    shape = schedule.kind
    if shape is ScheduleKind.UNSPECIFIED:
        shape = ScheduleKind.COSINE if first else ScheduleKind.LINEAR
    return ScheduleSpec(
        kind=shape,
        warmup=_or(schedule.warmup, 0.05),
        floor=_or(schedule.floor, 0.1 if first else 0.0),
        decay=_or(schedule.decay, 0.2),
    )


def fill_forgetting(given: ForgettingSpec) -> ForgettingSpec:
    """The rules with every default; filled ones stay as they are."""
    action = _or(given.action, ACTION)
    budget = given.budget if given.mitigate is False else _or(given.budget, action)
    controller = Controller.ANTICIPATE if given.controller is Controller.UNSPECIFIED else given.controller
    return replace(
        given,
        minor=_or(given.minor, MINOR),
        action=action,
        stop=_or(given.stop, STOP),
        budget=budget,
        settle=_or(given.settle, 0.2),
        confirm=0 if given.confirm is None else given.confirm,
        mitigate=True if given.mitigate is None else given.mitigate,
        max_retries=2 if given.max_retries is None else given.max_retries,
        controller=controller,
        stop_on=StopOn.PROJECTED if given.stop_on is StopOn.UNSPECIFIED else given.stop_on,
        replay_for=ReplayFor.ALL if given.replay_for is ReplayFor.UNSPECIFIED else given.replay_for,
        suspicious_below=_or(given.suspicious_below, SUSPICIOUS_BELOW),
        unsettled_stop_factor=_or(given.unsettled_stop_factor, UNSETTLED_STOP_FACTOR),
        projected_ceiling_factor=_or(given.projected_ceiling_factor, PROJECTED_CEILING_FACTOR),
        ladder=LadderSpec(**asdict(ladder_of(given))),
        anticipate=AnticipateSpec(**asdict(anticipation_of(given))),
        gauges=_fill_gauges(given.gauges or GaugeSpec()),
    )


def fill_checkpoints(given: CheckpointSpec) -> CheckpointSpec:
    """Which checkpoints are kept, with the default."""
    return replace(given, keep_last=given.keep_last or KEEP_LAST)


def _fill_gauges(given: GaugeSpec) -> GaugeSpec:
    if given.off:
        return given
    return replace(
        given, kinds=given.kinds or KINDS, most_bits_per_byte=_or(given.most_bits_per_byte, MOST_BITS_PER_BYTE)
    )


def _fill_evaluation(given: EvaluationSpec) -> EvaluationSpec:
    every = given.every
    if every.tokens is None and every.steps is None:
        every = IntervalSpec(tokens=100_000)
    return replace(given, every=every, tokens_per_set=given.tokens_per_set or 15_000)


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
