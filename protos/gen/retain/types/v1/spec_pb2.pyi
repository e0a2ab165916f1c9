from retain.types.v1 import values_pb2 as _values_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StageKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STAGE_KIND_UNSPECIFIED: _ClassVar[StageKind]
    STAGE_KIND_PRETRAIN: _ClassVar[StageKind]
    STAGE_KIND_MIDTRAIN: _ClassVar[StageKind]
    STAGE_KIND_FINETUNE: _ClassVar[StageKind]

class Domain(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DOMAIN_UNSPECIFIED: _ClassVar[Domain]
    DOMAIN_CODE: _ClassVar[Domain]
    DOMAIN_MATH: _ClassVar[Domain]
    DOMAIN_SCIENCE: _ClassVar[Domain]

class ScheduleKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SCHEDULE_KIND_UNSPECIFIED: _ClassVar[ScheduleKind]
    SCHEDULE_KIND_COSINE: _ClassVar[ScheduleKind]
    SCHEDULE_KIND_WSD: _ClassVar[ScheduleKind]
    SCHEDULE_KIND_LINEAR: _ClassVar[ScheduleKind]
    SCHEDULE_KIND_CONSTANT: _ClassVar[ScheduleKind]

class CurriculumStrategy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CURRICULUM_STRATEGY_UNSPECIFIED: _ClassVar[CurriculumStrategy]
    CURRICULUM_STRATEGY_STAGED: _ClassVar[CurriculumStrategy]
    CURRICULUM_STRATEGY_COMPETENCE: _ClassVar[CurriculumStrategy]
    CURRICULUM_STRATEGY_SELF_PACED: _ClassVar[CurriculumStrategy]
    CURRICULUM_STRATEGY_RANDOM: _ClassVar[CurriculumStrategy]

class Controller(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONTROLLER_UNSPECIFIED: _ClassVar[Controller]
    CONTROLLER_LADDER: _ClassVar[Controller]
    CONTROLLER_ANTICIPATE: _ClassVar[Controller]
    CONTROLLER_OP_MIX: _ClassVar[Controller]

class StopOn(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STOP_ON_UNSPECIFIED: _ClassVar[StopOn]
    STOP_ON_RAW: _ClassVar[StopOn]
    STOP_ON_PROJECTED: _ClassVar[StopOn]

class ReplayFor(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REPLAY_FOR_UNSPECIFIED: _ClassVar[ReplayFor]
    REPLAY_FOR_REPLAYED: _ClassVar[ReplayFor]
    REPLAY_FOR_ALL: _ClassVar[ReplayFor]

class GaugeKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GAUGE_KIND_UNSPECIFIED: _ClassVar[GaugeKind]
    GAUGE_KIND_ENCYCLOPAEDIC: _ClassVar[GaugeKind]
    GAUGE_KIND_NARRATIVE: _ClassVar[GaugeKind]
    GAUGE_KIND_CODE: _ClassVar[GaugeKind]
    GAUGE_KIND_CONVERSATION: _ClassVar[GaugeKind]

class Precision(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRECISION_UNSPECIFIED: _ClassVar[Precision]
    PRECISION_FP32: _ClassVar[Precision]
    PRECISION_BF16: _ClassVar[Precision]
STAGE_KIND_UNSPECIFIED: StageKind
STAGE_KIND_PRETRAIN: StageKind
STAGE_KIND_MIDTRAIN: StageKind
STAGE_KIND_FINETUNE: StageKind
DOMAIN_UNSPECIFIED: Domain
DOMAIN_CODE: Domain
DOMAIN_MATH: Domain
DOMAIN_SCIENCE: Domain
SCHEDULE_KIND_UNSPECIFIED: ScheduleKind
SCHEDULE_KIND_COSINE: ScheduleKind
SCHEDULE_KIND_WSD: ScheduleKind
SCHEDULE_KIND_LINEAR: ScheduleKind
SCHEDULE_KIND_CONSTANT: ScheduleKind
CURRICULUM_STRATEGY_UNSPECIFIED: CurriculumStrategy
CURRICULUM_STRATEGY_STAGED: CurriculumStrategy
CURRICULUM_STRATEGY_COMPETENCE: CurriculumStrategy
CURRICULUM_STRATEGY_SELF_PACED: CurriculumStrategy
CURRICULUM_STRATEGY_RANDOM: CurriculumStrategy
CONTROLLER_UNSPECIFIED: Controller
CONTROLLER_LADDER: Controller
CONTROLLER_ANTICIPATE: Controller
CONTROLLER_OP_MIX: Controller
STOP_ON_UNSPECIFIED: StopOn
STOP_ON_RAW: StopOn
STOP_ON_PROJECTED: StopOn
REPLAY_FOR_UNSPECIFIED: ReplayFor
REPLAY_FOR_REPLAYED: ReplayFor
REPLAY_FOR_ALL: ReplayFor
GAUGE_KIND_UNSPECIFIED: GaugeKind
GAUGE_KIND_ENCYCLOPAEDIC: GaugeKind
GAUGE_KIND_NARRATIVE: GaugeKind
GAUGE_KIND_CODE: GaugeKind
GAUGE_KIND_CONVERSATION: GaugeKind
PRECISION_UNSPECIFIED: Precision
PRECISION_FP32: Precision
PRECISION_BF16: Precision

class PipelineSpec(_message.Message):
    __slots__ = ("name", "model", "tokenizer", "stages", "forgetting", "evaluation", "compute", "checkpoints", "seed", "labels")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TOKENIZER_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    FORGETTING_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINTS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    name: str
    model: ModelSpec
    tokenizer: TokenizerSpec
    stages: _containers.RepeatedCompositeFieldContainer[StageSpec]
    forgetting: ForgettingSpec
    evaluation: EvaluationSpec
    compute: ComputeSpec
    checkpoints: CheckpointSpec
    seed: int
    labels: _containers.ScalarMap[str, str]
    def __init__(self, name: _Optional[str] = ..., model: _Optional[_Union[ModelSpec, _Mapping]] = ..., tokenizer: _Optional[_Union[TokenizerSpec, _Mapping]] = ..., stages: _Optional[_Iterable[_Union[StageSpec, _Mapping]]] = ..., forgetting: _Optional[_Union[ForgettingSpec, _Mapping]] = ..., evaluation: _Optional[_Union[EvaluationSpec, _Mapping]] = ..., compute: _Optional[_Union[ComputeSpec, _Mapping]] = ..., checkpoints: _Optional[_Union[CheckpointSpec, _Mapping]] = ..., seed: _Optional[int] = ..., labels: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ModelSpec(_message.Message):
    __slots__ = ("preset", "huggingface", "checkpoint", "context")
    PRESET_FIELD_NUMBER: _ClassVar[int]
    HUGGINGFACE_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    preset: str
    huggingface: str
    checkpoint: str
    context: int
    def __init__(self, preset: _Optional[str] = ..., huggingface: _Optional[str] = ..., checkpoint: _Optional[str] = ..., context: _Optional[int] = ...) -> None: ...

class TokenizerSpec(_message.Message):
    __slots__ = ("train",)
    TRAIN_FIELD_NUMBER: _ClassVar[int]
    train: TrainTokenizer
    def __init__(self, train: _Optional[_Union[TrainTokenizer, _Mapping]] = ...) -> None: ...

class TrainTokenizer(_message.Message):
    __slots__ = ("vocab_size",)
    VOCAB_SIZE_FIELD_NUMBER: _ClassVar[int]
    vocab_size: int
    def __init__(self, vocab_size: _Optional[int] = ...) -> None: ...

class StageSpec(_message.Message):
    __slots__ = ("kind", "domain", "domain_options", "data", "duration", "learning_rate", "schedule", "curriculum", "batch", "optimizer", "lora", "penalty")
    KIND_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    CURRICULUM_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    OPTIMIZER_FIELD_NUMBER: _ClassVar[int]
    LORA_FIELD_NUMBER: _ClassVar[int]
    PENALTY_FIELD_NUMBER: _ClassVar[int]
    kind: StageKind
    domain: Domain
    domain_options: DomainOptions
    data: StageData
    duration: DurationSpec
    learning_rate: float
    schedule: ScheduleSpec
    curriculum: CurriculumSpec
    batch: BatchSpec
    optimizer: OptimizerSpec
    lora: LoraSpec
    penalty: PenaltySpec
    def __init__(self, kind: _Optional[_Union[StageKind, str]] = ..., domain: _Optional[_Union[Domain, str]] = ..., domain_options: _Optional[_Union[DomainOptions, _Mapping]] = ..., data: _Optional[_Union[StageData, _Mapping]] = ..., duration: _Optional[_Union[DurationSpec, _Mapping]] = ..., learning_rate: _Optional[float] = ..., schedule: _Optional[_Union[ScheduleSpec, _Mapping]] = ..., curriculum: _Optional[_Union[CurriculumSpec, _Mapping]] = ..., batch: _Optional[_Union[BatchSpec, _Mapping]] = ..., optimizer: _Optional[_Union[OptimizerSpec, _Mapping]] = ..., lora: _Optional[_Union[LoraSpec, _Mapping]] = ..., penalty: _Optional[_Union[PenaltySpec, _Mapping]] = ...) -> None: ...

class DomainOptions(_message.Message):
    __slots__ = ("languages", "difficulty", "fields")
    LANGUAGES_FIELD_NUMBER: _ClassVar[int]
    DIFFICULTY_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    languages: _containers.RepeatedScalarFieldContainer[str]
    difficulty: _containers.RepeatedScalarFieldContainer[float]
    fields: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, languages: _Optional[_Iterable[str]] = ..., difficulty: _Optional[_Iterable[float]] = ..., fields: _Optional[_Iterable[str]] = ...) -> None: ...

class StageData(_message.Message):
    __slots__ = ("general", "domain", "chat", "general_share", "replay", "max_tokens", "fields", "sampling")
    class ReplayEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class FieldsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    GENERAL_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    CHAT_FIELD_NUMBER: _ClassVar[int]
    GENERAL_SHARE_FIELD_NUMBER: _ClassVar[int]
    REPLAY_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    general: str
    domain: str
    chat: str
    general_share: float
    replay: _containers.ScalarMap[str, float]
    max_tokens: int
    fields: _containers.ScalarMap[str, str]
    sampling: SamplingSpec
    def __init__(self, general: _Optional[str] = ..., domain: _Optional[str] = ..., chat: _Optional[str] = ..., general_share: _Optional[float] = ..., replay: _Optional[_Mapping[str, float]] = ..., max_tokens: _Optional[int] = ..., fields: _Optional[_Mapping[str, str]] = ..., sampling: _Optional[_Union[SamplingSpec, _Mapping]] = ...) -> None: ...

class SamplingSpec(_message.Message):
    __slots__ = ("tokens", "temperature", "top_p")
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TOP_P_FIELD_NUMBER: _ClassVar[int]
    tokens: int
    temperature: float
    top_p: float
    def __init__(self, tokens: _Optional[int] = ..., temperature: _Optional[float] = ..., top_p: _Optional[float] = ...) -> None: ...

class DurationSpec(_message.Message):
    __slots__ = ("tokens", "epochs", "steps")
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    tokens: int
    epochs: float
    steps: int
    def __init__(self, tokens: _Optional[int] = ..., epochs: _Optional[float] = ..., steps: _Optional[int] = ...) -> None: ...

class ScheduleSpec(_message.Message):
    __slots__ = ("kind", "warmup", "floor", "decay")
    KIND_FIELD_NUMBER: _ClassVar[int]
    WARMUP_FIELD_NUMBER: _ClassVar[int]
    FLOOR_FIELD_NUMBER: _ClassVar[int]
    DECAY_FIELD_NUMBER: _ClassVar[int]
    kind: ScheduleKind
    warmup: float
    floor: float
    decay: float
    def __init__(self, kind: _Optional[_Union[ScheduleKind, str]] = ..., warmup: _Optional[float] = ..., floor: _Optional[float] = ..., decay: _Optional[float] = ...) -> None: ...

class CurriculumSpec(_message.Message):
    __slots__ = ("strategy", "levels")
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    LEVELS_FIELD_NUMBER: _ClassVar[int]
    strategy: CurriculumStrategy
    levels: int
    def __init__(self, strategy: _Optional[_Union[CurriculumStrategy, str]] = ..., levels: _Optional[int] = ...) -> None: ...

class BatchSpec(_message.Message):
    __slots__ = ("sequences", "micro_sequences")
    SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    MICRO_SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    sequences: int
    micro_sequences: int
    def __init__(self, sequences: _Optional[int] = ..., micro_sequences: _Optional[int] = ...) -> None: ...

class OptimizerSpec(_message.Message):
    __slots__ = ("weight_decay", "beta1", "beta2", "clip", "keep_state")
    WEIGHT_DECAY_FIELD_NUMBER: _ClassVar[int]
    BETA1_FIELD_NUMBER: _ClassVar[int]
    BETA2_FIELD_NUMBER: _ClassVar[int]
    CLIP_FIELD_NUMBER: _ClassVar[int]
    KEEP_STATE_FIELD_NUMBER: _ClassVar[int]
    weight_decay: float
    beta1: float
    beta2: float
    clip: float
    keep_state: bool
    def __init__(self, weight_decay: _Optional[float] = ..., beta1: _Optional[float] = ..., beta2: _Optional[float] = ..., clip: _Optional[float] = ..., keep_state: _Optional[bool] = ...) -> None: ...

class LoraSpec(_message.Message):
    __slots__ = ("rank", "alpha")
    RANK_FIELD_NUMBER: _ClassVar[int]
    ALPHA_FIELD_NUMBER: _ClassVar[int]
    rank: int
    alpha: float
    def __init__(self, rank: _Optional[int] = ..., alpha: _Optional[float] = ...) -> None: ...

class PenaltySpec(_message.Message):
    __slots__ = ("ewc", "l2_sp", "distill", "distill_alone")
    EWC_FIELD_NUMBER: _ClassVar[int]
    L2_SP_FIELD_NUMBER: _ClassVar[int]
    DISTILL_FIELD_NUMBER: _ClassVar[int]
    DISTILL_ALONE_FIELD_NUMBER: _ClassVar[int]
    ewc: float
    l2_sp: float
    distill: float
    distill_alone: bool
    def __init__(self, ewc: _Optional[float] = ..., l2_sp: _Optional[float] = ..., distill: _Optional[float] = ..., distill_alone: _Optional[bool] = ...) -> None: ...

class ForgettingSpec(_message.Message):
    __slots__ = ("minor", "action", "stop", "budget", "settle", "confirm", "mitigate", "max_retries", "controller", "interpolation", "retention", "suspicious_below", "stop_on", "gauges", "unsettled_stop_factor", "ladder", "anticipate", "projected_ceiling_factor", "probe", "op_mix", "replay_for")
    class RetentionEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    MINOR_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    SETTLE_FIELD_NUMBER: _ClassVar[int]
    CONFIRM_FIELD_NUMBER: _ClassVar[int]
    MITIGATE_FIELD_NUMBER: _ClassVar[int]
    MAX_RETRIES_FIELD_NUMBER: _ClassVar[int]
    CONTROLLER_FIELD_NUMBER: _ClassVar[int]
    INTERPOLATION_FIELD_NUMBER: _ClassVar[int]
    RETENTION_FIELD_NUMBER: _ClassVar[int]
    SUSPICIOUS_BELOW_FIELD_NUMBER: _ClassVar[int]
    STOP_ON_FIELD_NUMBER: _ClassVar[int]
    GAUGES_FIELD_NUMBER: _ClassVar[int]
    UNSETTLED_STOP_FACTOR_FIELD_NUMBER: _ClassVar[int]
    LADDER_FIELD_NUMBER: _ClassVar[int]
    ANTICIPATE_FIELD_NUMBER: _ClassVar[int]
    PROJECTED_CEILING_FACTOR_FIELD_NUMBER: _ClassVar[int]
    PROBE_FIELD_NUMBER: _ClassVar[int]
    OP_MIX_FIELD_NUMBER: _ClassVar[int]
    REPLAY_FOR_FIELD_NUMBER: _ClassVar[int]
    minor: float
    action: float
    stop: float
    budget: float
    settle: float
    confirm: int
    mitigate: bool
    max_retries: int
    controller: Controller
    interpolation: InterpolationSpec
    retention: _containers.ScalarMap[str, str]
    suspicious_below: float
    stop_on: StopOn
    gauges: GaugeSpec
    unsettled_stop_factor: float
    ladder: LadderSpec
    anticipate: AnticipateSpec
    projected_ceiling_factor: float
    probe: ProbeSpec
    op_mix: OpMixSpec
    replay_for: ReplayFor
    def __init__(self, minor: _Optional[float] = ..., action: _Optional[float] = ..., stop: _Optional[float] = ..., budget: _Optional[float] = ..., settle: _Optional[float] = ..., confirm: _Optional[int] = ..., mitigate: _Optional[bool] = ..., max_retries: _Optional[int] = ..., controller: _Optional[_Union[Controller, str]] = ..., interpolation: _Optional[_Union[InterpolationSpec, _Mapping]] = ..., retention: _Optional[_Mapping[str, str]] = ..., suspicious_below: _Optional[float] = ..., stop_on: _Optional[_Union[StopOn, str]] = ..., gauges: _Optional[_Union[GaugeSpec, _Mapping]] = ..., unsettled_stop_factor: _Optional[float] = ..., ladder: _Optional[_Union[LadderSpec, _Mapping]] = ..., anticipate: _Optional[_Union[AnticipateSpec, _Mapping]] = ..., projected_ceiling_factor: _Optional[float] = ..., probe: _Optional[_Union[ProbeSpec, _Mapping]] = ..., op_mix: _Optional[_Union[OpMixSpec, _Mapping]] = ..., replay_for: _Optional[_Union[ReplayFor, str]] = ...) -> None: ...

class ProbeSpec(_message.Message):
    __slots__ = ("off", "budget", "every", "answer_tokens", "most_seconds")
    OFF_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    EVERY_FIELD_NUMBER: _ClassVar[int]
    ANSWER_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MOST_SECONDS_FIELD_NUMBER: _ClassVar[int]
    off: bool
    budget: float
    every: int
    answer_tokens: int
    most_seconds: float
    def __init__(self, off: _Optional[bool] = ..., budget: _Optional[float] = ..., every: _Optional[int] = ..., answer_tokens: _Optional[int] = ..., most_seconds: _Optional[float] = ...) -> None: ...

class OpMixSpec(_message.Message):
    __slots__ = ("tokens", "rank", "rate_factor", "shares")
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    RATE_FACTOR_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    tokens: int
    rank: int
    rate_factor: float
    shares: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, tokens: _Optional[int] = ..., rank: _Optional[int] = ..., rate_factor: _Optional[float] = ..., shares: _Optional[_Iterable[float]] = ...) -> None: ...

class GaugeSpec(_message.Message):
    __slots__ = ("off", "kinds", "most_bits_per_byte")
    OFF_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    MOST_BITS_PER_BYTE_FIELD_NUMBER: _ClassVar[int]
    off: bool
    kinds: _containers.RepeatedScalarFieldContainer[GaugeKind]
    most_bits_per_byte: float
    def __init__(self, off: _Optional[bool] = ..., kinds: _Optional[_Iterable[_Union[GaugeKind, str]]] = ..., most_bits_per_byte: _Optional[float] = ...) -> None: ...

class LadderSpec(_message.Message):
    __slots__ = ("rungs", "rate_factor", "largest_replay")
    RUNGS_FIELD_NUMBER: _ClassVar[int]
    RATE_FACTOR_FIELD_NUMBER: _ClassVar[int]
    LARGEST_REPLAY_FIELD_NUMBER: _ClassVar[int]
    rungs: _containers.RepeatedScalarFieldContainer[float]
    rate_factor: float
    largest_replay: float
    def __init__(self, rungs: _Optional[_Iterable[float]] = ..., rate_factor: _Optional[float] = ..., largest_replay: _Optional[float] = ...) -> None: ...

class AnticipateSpec(_message.Message):
    __slots__ = ("aim", "share_offset", "smallest_share", "largest_share", "share_step", "least_raise", "least_relief", "relief_felt", "boundaries_used", "lag", "early_forgetting", "end_forgetting", "scarce_passes")
    AIM_FIELD_NUMBER: _ClassVar[int]
    SHARE_OFFSET_FIELD_NUMBER: _ClassVar[int]
    SMALLEST_SHARE_FIELD_NUMBER: _ClassVar[int]
    LARGEST_SHARE_FIELD_NUMBER: _ClassVar[int]
    SHARE_STEP_FIELD_NUMBER: _ClassVar[int]
    LEAST_RAISE_FIELD_NUMBER: _ClassVar[int]
    LEAST_RELIEF_FIELD_NUMBER: _ClassVar[int]
    RELIEF_FELT_FIELD_NUMBER: _ClassVar[int]
    BOUNDARIES_USED_FIELD_NUMBER: _ClassVar[int]
    LAG_FIELD_NUMBER: _ClassVar[int]
    EARLY_FORGETTING_FIELD_NUMBER: _ClassVar[int]
    END_FORGETTING_FIELD_NUMBER: _ClassVar[int]
    SCARCE_PASSES_FIELD_NUMBER: _ClassVar[int]
    aim: float
    share_offset: float
    smallest_share: float
    largest_share: float
    share_step: float
    least_raise: float
    least_relief: float
    relief_felt: float
    boundaries_used: int
    lag: float
    early_forgetting: float
    end_forgetting: float
    scarce_passes: float
    def __init__(self, aim: _Optional[float] = ..., share_offset: _Optional[float] = ..., smallest_share: _Optional[float] = ..., largest_share: _Optional[float] = ..., share_step: _Optional[float] = ..., least_raise: _Optional[float] = ..., least_relief: _Optional[float] = ..., relief_felt: _Optional[float] = ..., boundaries_used: _Optional[int] = ..., lag: _Optional[float] = ..., early_forgetting: _Optional[float] = ..., end_forgetting: _Optional[float] = ..., scarce_passes: _Optional[float] = ...) -> None: ...

class InterpolationSpec(_message.Message):
    __slots__ = ("points", "kinds", "least_gain_nats")
    POINTS_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    LEAST_GAIN_NATS_FIELD_NUMBER: _ClassVar[int]
    points: _containers.RepeatedScalarFieldContainer[float]
    kinds: _containers.RepeatedScalarFieldContainer[_values_pb2.PointKind]
    least_gain_nats: float
    def __init__(self, points: _Optional[_Iterable[float]] = ..., kinds: _Optional[_Iterable[_Union[_values_pb2.PointKind, str]]] = ..., least_gain_nats: _Optional[float] = ...) -> None: ...

class EvaluationSpec(_message.Message):
    __slots__ = ("every", "tokens_per_set", "decision_lag")
    EVERY_FIELD_NUMBER: _ClassVar[int]
    TOKENS_PER_SET_FIELD_NUMBER: _ClassVar[int]
    DECISION_LAG_FIELD_NUMBER: _ClassVar[int]
    every: IntervalSpec
    tokens_per_set: int
    decision_lag: int
    def __init__(self, every: _Optional[_Union[IntervalSpec, _Mapping]] = ..., tokens_per_set: _Optional[int] = ..., decision_lag: _Optional[int] = ...) -> None: ...

class IntervalSpec(_message.Message):
    __slots__ = ("tokens", "steps")
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    tokens: int
    steps: int
    def __init__(self, tokens: _Optional[int] = ..., steps: _Optional[int] = ...) -> None: ...

class ComputeSpec(_message.Message):
    __slots__ = ("workers", "gpus_per_worker", "cpus_per_worker", "min_workers", "precision", "compile", "activation_checkpointing")
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    GPUS_PER_WORKER_FIELD_NUMBER: _ClassVar[int]
    CPUS_PER_WORKER_FIELD_NUMBER: _ClassVar[int]
    MIN_WORKERS_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    COMPILE_FIELD_NUMBER: _ClassVar[int]
    ACTIVATION_CHECKPOINTING_FIELD_NUMBER: _ClassVar[int]
    workers: int
    gpus_per_worker: float
    cpus_per_worker: float
    min_workers: int
    precision: Precision
    compile: bool
    activation_checkpointing: bool
    def __init__(self, workers: _Optional[int] = ..., gpus_per_worker: _Optional[float] = ..., cpus_per_worker: _Optional[float] = ..., min_workers: _Optional[int] = ..., precision: _Optional[_Union[Precision, str]] = ..., compile: _Optional[bool] = ..., activation_checkpointing: _Optional[bool] = ...) -> None: ...

class CheckpointSpec(_message.Message):
    __slots__ = ("keep_last",)
    KEEP_LAST_FIELD_NUMBER: _ClassVar[int]
    keep_last: int
    def __init__(self, keep_last: _Optional[int] = ...) -> None: ...
