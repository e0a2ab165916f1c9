"""From the wire's messages to the torch core's settings. The orchestrator has filled in every default; what is missing
here all the same is an error (BadConfig by its field), never a second home of that default."""

import hashlib
from typing import Any, TypeVar

from google.protobuf.message import Message

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
Number = TypeVar("Number", int, float)
FILLED_IN = "a value: the orchestrator fills in every default"


def model_config(spec: spec_pb2.PipelineSpec, *, vocab_size: int) -> ModelConfig:
    """Sizes of a model with random weights."""
    return preset(spec.model.preset, vocab_size=vocab_size, context=spec.model.context or None)


def schedule(stage: spec_pb2.StageSpec, total_steps: int) -> Schedule:
    """The learning rate's shape. Raises BadConfig for what is missing."""
    given = stage.schedule
    if given.kind not in _SCHEDULES:
        raise BadConfig("schedule.kind", given.kind, FILLED_IN)
    warmup, floor, decay = (_number(given, name, "schedule") for name in ("warmup", "floor", "decay"))
    return Schedule(kind=_SCHEDULES[given.kind], total_steps=total_steps, warmup=warmup, floor=floor, decay=decay)


def optimizer(stage: spec_pb2.StageSpec) -> OptimizerSettings:
    """AdamW's numbers. Raises BadConfig for what is missing."""
    decay, beta1, beta2, clip = (
        _number(stage.optimizer, name, "optimizer") for name in ("weight_decay", "beta1", "beta2", "clip")
    )
    return OptimizerSettings(learning_rate=stage.learning_rate, weight_decay=decay, beta1=beta1, beta2=beta2, clip=clip)


def curriculum(stage: spec_pb2.StageSpec) -> CurriculumSpec | None:
    """The curriculum, or None for random order over the whole data. Raises BadConfig for levels that are missing."""
    given = stage.curriculum
    if given.strategy not in _STRATEGIES:
        return None
    if given.strategy != spec_pb2.CURRICULUM_STRATEGY_STAGED:
        return CurriculumSpec(strategy=_STRATEGIES[given.strategy])
    return CurriculumSpec(strategy=_STRATEGIES[given.strategy], levels=_above_0(given.levels, "curriculum.levels"))


def epochs(stage: spec_pb2.StageSpec) -> float | None:
    """Passes over the target, or None for a duration in tokens or steps."""
    return stage.duration.epochs if stage.duration.WhichOneof("amount") == "epochs" else None


def rows(stage: spec_pb2.StageSpec) -> int:
    """Sequences in a global batch. Raises BadConfig for none."""
    return _above_0(stage.batch.sequences, "batch.sequences")


def lora_alpha(stage: spec_pb2.StageSpec) -> int:
    """Scale of a stage's adapters. Raises BadConfig for none."""
    return round(_above_0(stage.lora.alpha, "lora.alpha"))


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


def alone(stage: spec_pb2.StageSpec) -> tuple[str, ...]:
    """Roles of the replayed text on which the parent's word stands in place of the tokens."""
    return ("general",) if stage.penalty.distill_alone else ()


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


def sampled(work: control_pb2.StageWork) -> tuple[dict[str, Any], ...]:
    """Text that a model wrote among the stage's, for the manifests."""
    names = ("name", "uri", "digest", "parent", "prompts", "temperature", "top_p", "seed", "tokens", "documents")
    return tuple({name: getattr(text, name) for name in names} for text in work.sampled)


def stream_seed(spec: spec_pb2.PipelineSpec, stage_index: int) -> int:
    """Seed of a stage's batches: every stage of a run draws another order, every attempt of a stage the same."""
    text = f"{spec.seed}/{stage_index}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")


def _number(given: Message, name: str, where: str) -> float:
    if not given.HasField(name):
        raise BadConfig(f"{where}.{name}", "nothing", FILLED_IN)
    value: float = getattr(given, name)
    return value


def _above_0(value: Number, field: str) -> Number:
    if not value > 0:
        raise BadConfig(field, value, FILLED_IN)
    return value
