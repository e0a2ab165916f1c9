"""The specification of a pipeline as plain frozen data, field by field what protos/retain/types/v1/spec.proto says.

`None` means "not given" where the message can tell (optional and oneof fields); elsewhere 0, "" and UNSPECIFIED do.
services/orchestrator/domain/spec/defaults.py fills in what is not given, validate.py names what is wrong.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

# Presets of model/nn/config.py with their context in tokens. The domain may not import the model, so the names are data
# here; a test holds them equal to the model's.
PRESETS: Mapping[str, int] = {
    "nano": 256,
    "micro": 256,
    "small": 256,
    "135m": 2048,
    "360m": 2048,
    "1b": 8192,
    "7b": 4096,
}


class StageKind(StrEnum):
    """What a stage is."""

    UNSPECIFIED = "UNSPECIFIED"
    PRETRAIN = "PRETRAIN"
    MIDTRAIN = "MIDTRAIN"
    FINETUNE = "FINETUNE"


class Domain(StrEnum):
    """Domain of a mid-training."""

    UNSPECIFIED = "UNSPECIFIED"
    CODE = "CODE"
    MATH = "MATH"
    SCIENCE = "SCIENCE"


class ScheduleKind(StrEnum):
    """Shape of the learning rate over a stage."""

    UNSPECIFIED = "UNSPECIFIED"
    COSINE = "COSINE"
    WSD = "WSD"
    LINEAR = "LINEAR"
    CONSTANT = "CONSTANT"


class Precision(StrEnum):
    """Type of the numbers of products and activations; UNSPECIFIED is bf16 on a GPU and fp32 on a CPU."""

    UNSPECIFIED = "UNSPECIFIED"
    FP32 = "FP32"
    BF16 = "BF16"


class CurriculumStrategy(StrEnum):
    """How difficulty is used; UNSPECIFIED is random order."""

    UNSPECIFIED = "UNSPECIFIED"
    STAGED = "STAGED"
    COMPETENCE = "COMPETENCE"
    SELF_PACED = "SELF_PACED"
    RANDOM = "RANDOM"


class Controller(StrEnum):
    """Who chooses the replay share; UNSPECIFIED is ANTICIPATE in a new run."""

    UNSPECIFIED = "UNSPECIFIED"
    LADDER = "LADDER"
    ANTICIPATE = "ANTICIPATE"


class StopOn(StrEnum):
    """Which score `stop` is compared with between `settle` and a stage's end; UNSPECIFIED is PROJECTED
    in a new run, and RAW in one that was stored before there was a choice."""

    UNSPECIFIED = "UNSPECIFIED"
    RAW = "RAW"
    PROJECTED = "PROJECTED"


class GaugeKind(StrEnum):
    """A kind of general text that comes with Retain and is never trained on."""

    UNSPECIFIED = "UNSPECIFIED"
    ENCYCLOPAEDIC = "ENCYCLOPAEDIC"
    NARRATIVE = "NARRATIVE"
    CODE = "CODE"
    CONVERSATION = "CONVERSATION"


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """Where the weights come from; exactly one source. `context` in tokens, 0: the source's own."""

    preset: str | None = None
    huggingface: str | None = None
    checkpoint: str | None = None
    context: int = 0


@dataclass(frozen=True, kw_only=True)
class TrainTokenizer:
    """A byte-level BPE trained on the first general source."""

    vocab_size: int = 0


@dataclass(frozen=True, kw_only=True)
class TokenizerSpec:
    """Which tokenizer; not given: the model's own."""

    train: TrainTokenizer | None = None


@dataclass(frozen=True, kw_only=True)
class DomainOptions:
    """Options that narrow a domain's data."""

    languages: tuple[str, ...] = ()
    difficulty: tuple[float, ...] = ()
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StageData:
    """Where text comes from, each source a URI. Shares are of tokens that bear loss."""

    general: str = ""
    domain: str = ""
    chat: str = ""
    general_share: float | None = None
    replay: Mapping[str, float] = field(default_factory=dict)
    max_tokens: int = 0
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DurationSpec:
    """How long a stage trains; exactly one."""

    tokens: int | None = None
    epochs: float | None = None
    steps: int | None = None


@dataclass(frozen=True, kw_only=True)
class ScheduleSpec:
    """Learning rate over the stage. `warmup` and `decay` are shares of the steps, `floor` a share of the peak."""

    kind: ScheduleKind = ScheduleKind.UNSPECIFIED
    warmup: float | None = None
    floor: float | None = None
    decay: float | None = None


@dataclass(frozen=True, kw_only=True)
class CurriculumSpec:
    """Order by difficulty."""

    strategy: CurriculumStrategy = CurriculumStrategy.UNSPECIFIED
    levels: int = 0


@dataclass(frozen=True, kw_only=True)
class BatchSpec:
    """Sequences of one optimizer step over all workers."""

    sequences: int = 0
    micro_sequences: int = 0


@dataclass(frozen=True, kw_only=True)
class OptimizerSpec:
    """AdamW."""

    weight_decay: float | None = None
    beta1: float | None = None
    beta2: float | None = None
    clip: float | None = None
    keep_state: bool = False


@dataclass(frozen=True, kw_only=True)
class LoraSpec:
    """Low-rank adapters; rank 0 is off."""

    rank: int = 0
    alpha: float = 0.0


@dataclass(frozen=True, kw_only=True)
class PenaltySpec:
    """Penalties on leaving the parent; 0 is off. `distill` None: left out (a filled spec has a number)."""

    ewc: float = 0.0
    l2_sp: float = 0.0
    distill: float | None = None


@dataclass(frozen=True, kw_only=True)
class StageSpec:
    """One stage."""

    kind: StageKind = StageKind.UNSPECIFIED
    domain: Domain = Domain.UNSPECIFIED
    domain_options: DomainOptions = DomainOptions()
    data: StageData = StageData()
    duration: DurationSpec = DurationSpec()
    learning_rate: float = 0.0
    schedule: ScheduleSpec = ScheduleSpec()
    curriculum: CurriculumSpec = CurriculumSpec()
    batch: BatchSpec = BatchSpec()
    optimizer: OptimizerSpec = OptimizerSpec()
    lora: LoraSpec = LoraSpec()
    penalty: PenaltySpec = PenaltySpec()

    @property
    def name(self) -> str:
        """Name of the stage in prefixes, metrics and tables: pretrain, midtrain/code, finetune."""
        if self.kind is StageKind.MIDTRAIN:
            return f"midtrain/{self.domain.lower()}"
        return self.kind.lower()


@dataclass(frozen=True, kw_only=True)
class InterpolationSpec:
    """Points of the line between parent (0) and result (1) to measure; empty is off."""

    points: tuple[float, ...] = ()
    least_gain_nats: float = 0.0


@dataclass(frozen=True, kw_only=True)
class GaugeSpec:
    """Retention sets that no stage replays. `kinds`: empty is all of them. `most_bits_per_byte`: a kind for which the
    baseline needs more is shown and decides nothing."""

    off: bool = False
    kinds: tuple[GaugeKind, ...] = ()
    most_bits_per_byte: float | None = None


@dataclass(frozen=True, kw_only=True)
class LadderSpec:
    """Bounds of the ladder; what is not given is in domain/spec/bounds.py."""

    rungs: tuple[float, ...] = ()
    rate_factor: float | None = None
    largest_replay: float | None = None


@dataclass(frozen=True, kw_only=True)
class AnticipateSpec:
    """Bounds and assumptions of the controller that anticipates; what is not given is in domain/spec/bounds.py."""

    aim: float | None = None
    share_offset: float | None = None
    smallest_share: float | None = None
    largest_share: float | None = None
    share_step: float | None = None
    least_raise: float | None = None
    least_relief: float | None = None
    relief_felt: float | None = None
    boundaries_used: int | None = None
    lag: float | None = None
    early_forgetting: float | None = None
    end_forgetting: float | None = None


@dataclass(frozen=True, kw_only=True)
class ForgettingSpec:
    """Thresholds, inclusive, on (ppl_now - ppl_baseline) / ppl_baseline, and what is done about it. Below
    `suspicious_below`, which is negative, a score is too good: baseline or set are in doubt."""

    minor: float | None = None
    action: float | None = None
    stop: float | None = None
    budget: float | None = None
    settle: float | None = None
    confirm: int | None = None
    mitigate: bool | None = None
    max_retries: int | None = None
    controller: Controller = Controller.UNSPECIFIED
    interpolation: InterpolationSpec = InterpolationSpec()
    retention: Mapping[str, str] = field(default_factory=dict)
    suspicious_below: float | None = None
    stop_on: StopOn = StopOn.UNSPECIFIED
    gauges: GaugeSpec | None = None
    unsettled_stop_factor: float | None = None
    ladder: LadderSpec = LadderSpec()
    anticipate: AnticipateSpec = AnticipateSpec()


@dataclass(frozen=True, kw_only=True)
class IntervalSpec:
    """Distance of two boundaries; exactly one."""

    tokens: int | None = None
    steps: int | None = None


@dataclass(frozen=True, kw_only=True)
class EvaluationSpec:
    """How the model is measured during a stage."""

    every: IntervalSpec = IntervalSpec()
    tokens_per_set: int = 0
    decision_lag: int = 0


@dataclass(frozen=True, kw_only=True)
class ComputeSpec:
    """What a run computes on."""

    workers: int = 0
    gpus_per_worker: float = 0.0
    cpus_per_worker: float = 0.0
    min_workers: int = 0
    precision: Precision = Precision.UNSPECIFIED
    compile: bool = False
    activation_checkpointing: bool = False


@dataclass(frozen=True, kw_only=True)
class CheckpointSpec:
    """Which checkpoints are kept beyond those that are needed."""

    keep_last: int = 0


@dataclass(frozen=True, kw_only=True)
class PipelineSpec:
    """What a user asks for."""

    name: str = ""
    model: ModelSpec = ModelSpec()
    tokenizer: TokenizerSpec = TokenizerSpec()
    stages: tuple[StageSpec, ...] = ()
    forgetting: ForgettingSpec = ForgettingSpec()
    evaluation: EvaluationSpec = EvaluationSpec()
    compute: ComputeSpec = ComputeSpec()
    checkpoints: CheckpointSpec = CheckpointSpec()
    seed: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
