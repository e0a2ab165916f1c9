"""From the wire's messages to the torch core's settings. The spec comes with every default filled in by the
orchestrator; what may still be absent here (an optional number) falls back to the default that spec.proto
documents."""

import hashlib
from typing import Any

from model.dataloader.curriculum import CurriculumSpec, Strategy
from model.errors import BadConfig
from model.nn.config import ModelConfig, preset
from model.training.acceleration import Acceleration
from model.training.job import Directive, Verdict
from model.training.lr_schedule import Schedule, ScheduleKind
from model.training.optimizer import OptimizerSettings
from retain.orchestrator.v1 import resources_pb2
from retain.orchestrator.v1 import stage_control_service_pb2 as control_pb2
from retain.types.v1 import spec_pb2

_SCHEDULES = {
    spec_pb2.SCHEDULE_KIND_COSINE: ScheduleKind.COSINE,
    spec_pb2.SCHEDULE_KIND_WSD: ScheduleKind.WSD,
    spec_pb2.SCHEDULE_KIND_LINEAR: ScheduleKind.LINEAR,
    spec_pb2.SCHEDULE_KIND_CONSTANT: ScheduleKind.CONSTANT,
}
_STRATEGIES = {
    spec_pb2.CURRICULUM_STRATEGY_STAGED: Strategy.STAGED,
    spec_pb2.CURRICULUM_STRATEGY_COMPETENCE: Strategy.COMPETENCE,
    spec_pb2.CURRICULUM_STRATEGY_SELF_PACED: Strategy.SELF_PACED,
    spec_pb2.CURRICULUM_STRATEGY_RANDOM: Strategy.RANDOM,
}
_VERDICTS = {
    resources_pb2.VERDICT_CONTINUE: Verdict.CONTINUE,
    resources_pb2.VERDICT_ADJUST: Verdict.ADJUST,
    resources_pb2.VERDICT_ROLL_BACK: Verdict.ROLL_BACK,
    resources_pb2.VERDICT_STOP: Verdict.STOP,
    resources_pb2.VERDICT_ACCEPT: Verdict.ACCEPT,
}
_PRECISIONS = {spec_pb2.PRECISION_FP32: "fp32", spec_pb2.PRECISION_BF16: "bf16"}
DEFAULT_SEQUENCES = 16


def model_config(spec: spec_pb2.PipelineSpec, *, vocab_size: int) -> ModelConfig:
    """Sizes of a model with random weights."""
    return preset(spec.model.preset, vocab_size=vocab_size, context=spec.model.context or None)


def schedule(stage: spec_pb2.StageSpec, total_steps: int) -> Schedule:
    """The learning rate's shape. Defaults by kind of stage, as spec.proto says."""
    pretrain = stage.kind == spec_pb2.STAGE_KIND_PRETRAIN
    given = stage.schedule
    return Schedule(
        kind=_SCHEDULES.get(given.kind, ScheduleKind.COSINE if pretrain else ScheduleKind.LINEAR),
        total_steps=total_steps,
        warmup=given.warmup if given.HasField("warmup") else 0.05,
        floor=given.floor if given.HasField("floor") else (0.1 if pretrain else 0.0),
        decay=given.decay if given.HasField("decay") else 0.2,
    )


def optimizer(stage: spec_pb2.StageSpec) -> OptimizerSettings:
    """AdamW's numbers; what the spec leaves out keeps the torch core's default."""
    given: dict[str, Any] = {
        name: getattr(stage.optimizer, name)
        for name in ("weight_decay", "beta1", "beta2", "clip")
        if stage.optimizer.HasField(name)
    }
    return OptimizerSettings(learning_rate=stage.learning_rate, **given)


def curriculum(stage: spec_pb2.StageSpec) -> CurriculumSpec | None:
    """The curriculum, or None for random order over the whole data."""
    if stage.curriculum.strategy not in _STRATEGIES:
        return None
    return CurriculumSpec(strategy=_STRATEGIES[stage.curriculum.strategy], levels=stage.curriculum.levels or 3)


def epochs(stage: spec_pb2.StageSpec) -> float | None:
    """Passes over the target, or None for a duration in tokens or steps."""
    return stage.duration.epochs if stage.duration.WhichOneof("amount") == "epochs" else None


def rows(stage: spec_pb2.StageSpec) -> int:
    """Sequences in a global batch."""
    return stage.batch.sequences or DEFAULT_SEQUENCES


def acceleration(compute: spec_pb2.ComputeSpec, stage: spec_pb2.StageSpec, *, gpus: bool) -> Acceleration:
    """How the stage computes. Shards of weights are for GPUs, and for stages whose every weight learns freely."""
    return Acceleration(
        precision=_PRECISIONS.get(compute.precision, "auto"),
        compile=compute.compile,
        activation_checkpointing=compute.activation_checkpointing,
        sharded=gpus and not (stage.lora.rank or penalised(stage)),
    )


def penalised(stage: spec_pb2.StageSpec) -> bool:
    """Whether leaving the parent costs something."""
    return bool(stage.penalty.ewc or stage.penalty.l2_sp or stage.penalty.distill)


def directive(response: control_pb2.GetDirectiveResponse) -> Directive:
    """A directive off the wire. An LR scale of 0 is a field that was not set: as before. Raises BadConfig."""
    if response.verdict not in _VERDICTS:
        raise BadConfig("directive.verdict", response.verdict, sorted(_VERDICTS.values()))
    return Directive(
        verdict=_VERDICTS[response.verdict],
        shares=dict(response.shares) if response.shares else None,
        lr_scale=response.lr_scale or None,
    )


def spec_digest(spec: spec_pb2.PipelineSpec) -> str:
    """SHA-256 (hex) of the spec, for the manifests."""
    return hashlib.sha256(spec.SerializeToString(deterministic=True)).hexdigest()


def stream_seed(spec: spec_pb2.PipelineSpec, stage_index: int) -> int:
    """Seed of a stage's batches: every stage of a run draws another order, every attempt of a stage the same."""
    text = f"{spec.seed}/{stage_index}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")
