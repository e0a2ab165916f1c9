"""From a spec to its plan: what each stage reads, builds on, must keep, and how many steps and boundaries it has."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from retain.values import ComputeSpec, Domain, IntervalSpec, Passes, PipelineSpec, StageKind, StageSpec
from services.orchestrator.domain.spec.defaults import domains_of
from services.orchestrator.domain.spec.gauges import gauge_names, warnings_of

GENERAL = "general"  # role of the text that a model is taught first


@dataclass(frozen=True, kw_only=True)
class PlannedStage:
    """One stage of the plan. `steps`, `tokens` and `boundaries` are 0 until preparing tells how long an epoch is.

    `sources` maps a role (`general`, a domain's name, `chat`, a further retention set) to a URI; `target` is the role
    that is learned, `retention_sets` those that must be kept; `shares` gives each of these its part of the target
    tokens, but for those in `never_replayed`, which have neither a source nor a share.
    """

    index: int
    name: str
    kind: StageKind
    domain: Domain
    target: str
    sources: Mapping[str, str]
    retention_sets: tuple[str, ...] = ()
    never_replayed: tuple[str, ...] = ()
    shares: Mapping[str, float] = field(default_factory=dict)
    learning_rate: float
    base: str
    tokens_per_step: int
    steps: int = 0
    tokens: int = 0
    steps_per_boundary: int
    boundaries: int = 0
    passes: Passes | None = None

    def boundary_step(self, boundary: int) -> int:
        """Step at which a boundary (from 1) lies; the last one lies at the stage's end."""
        return min(boundary * self.steps_per_boundary, self.steps)


def plan(spec: PipelineSpec) -> tuple[PlannedStage, ...]:
    """The plan of a filled and valid spec. Nothing is read: what only the data can tell stays 0."""
    return tuple(_plan_stage(spec, index) for index in range(len(spec.stages)))


def warnings(stages: tuple[PlannedStage, ...]) -> tuple[str, ...]:
    """What people should know about a plan before they start it."""
    return tuple(said for stage in stages for said in warnings_of(stage.name, stage.retention_sets, stage.shares))


def _plan_stage(spec: PipelineSpec, index: int) -> PlannedStage:
    stage, earlier = spec.stages[index], spec.stages[:index]
    target = target_of(stage)
    sources = {target: source_of(stage, target)}
    shares = dict(stage.data.replay)
    for name in shares:
        sources[name] = _replay_source(spec, stage, earlier, name)
    # Pre-training has nothing to keep (random weights know nothing): there is no retention set of any kind.
    never_replayed = () if stage.kind is StageKind.PRETRAIN else gauge_names(spec.forgetting)
    tokens_per_step = stage.batch.sequences * spec.model.context
    steps = 0
    if stage.duration.steps is not None:
        steps = stage.duration.steps
    elif stage.duration.tokens is not None:
        steps = math.ceil(stage.duration.tokens / tokens_per_step)
    spacing = spacing_of(spec.evaluation.every, tokens_per_step)
    return PlannedStage(
        index=index,
        name=stage.name,
        kind=stage.kind,
        domain=stage.domain,
        target=target,
        sources=sources,
        retention_sets=(*shares, *never_replayed),
        never_replayed=never_replayed,
        shares=shares,
        learning_rate=stage.learning_rate,
        base=base_of(spec, index),
        tokens_per_step=tokens_per_step,
        steps=steps,
        tokens=steps * tokens_per_step,
        steps_per_boundary=min(spacing, steps) if steps else spacing,
        boundaries=math.ceil(steps / spacing) if steps else 0,
    )


def target_of(stage: StageSpec) -> str:
    """Role of the text that a stage is to learn."""
    if stage.kind is StageKind.PRETRAIN:
        return GENERAL
    return "chat" if stage.kind is StageKind.FINETUNE else stage.domain.lower()


def source_of(stage: StageSpec, target: str) -> str:
    """URI of the text that a stage is to learn."""
    if target == GENERAL:
        return stage.data.general
    return stage.data.chat if target == "chat" else stage.data.domain


def spacing_of(every: IntervalSpec, tokens_per_step: int) -> int:
    """Steps between two boundaries, at least 1."""
    if every.steps is not None:
        return every.steps
    return max(1, round((every.tokens or 0) / tokens_per_step))


def base_of(spec: PipelineSpec, index: int) -> str:
    """What a stage starts from, for people: random weights, the model of the spec, or an earlier stage."""
    if index > 0:
        return spec.stages[index - 1].name
    return spec.model.huggingface or spec.model.checkpoint or f"{spec.model.preset} (random weights)"


def slots_of(compute: ComputeSpec) -> int:
    """Worker slots (CPUs) that a run takes; a worker on a GPU takes one whatever its CPUs."""
    if compute.gpus_per_worker > 0:
        return compute.workers
    return math.ceil(compute.workers * compute.cpus_per_worker)


def steps_of_epochs(
    epochs: float, *, target_tokens: int, target_loss_tokens: int, replay_share: float, tokens_per_step: int
) -> int:
    """Steps in which a stage passes over its target text `epochs` times if every row were full, at least 1: what is
    used when preparing did not count them (it does, see model/dataloader/passes.py, by drawing the batches themselves).

    `replay_share` is of the target tokens. Where only some tokens of the stage's own text are targets (d of them: the
    answers of a conversation), the target takes f = (1 - s) / (1 - s + s d) of all tokens for a replay share of s.
    """
    density = target_loss_tokens / target_tokens
    target_part = (1 - replay_share) / (1 - replay_share + replay_share * density)
    return max(1, math.ceil(epochs * target_tokens / (target_part * tokens_per_step)))


def _replay_source(spec: PipelineSpec, stage: StageSpec, earlier: tuple[StageSpec, ...], name: str) -> str:
    if name in spec.forgetting.retention:
        return spec.forgetting.retention[name]
    if name in domains_of(earlier):
        return next(s.data.domain for s in earlier if s.kind is StageKind.MIDTRAIN and s.domain.lower() == name)
    return stage.data.general
