"""A stage as far as its needs go: the sizes of the model, and how a worker computes it. Plain numbers."""

from dataclasses import dataclass

from retain.values import PipelineSpec, Precision, StageKind, StageSpec
from services.orchestrator.domain.spec.model_size import Sizes

LOGITS_BYTES = 64 * 1024 * 1024  # of model/training/loop.py, which this layer does not import; a test holds the two


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How a stage is computed on one worker. `rows` of a micro-batch, `context` tokens each; `adapters` is the rank of
    LoRA (0: every weight trains); `packed`: rows hold several conversations; `held`: copies of the parent's weights
    beside the model, `asked` whether the parent also computes."""

    sizes: Sizes
    rows: int
    context: int
    workers: int = 1
    gpu: bool = False
    bf16: bool = False
    compiled: bool = False
    checkpointing: bool = False
    adapters: int = 0
    packed: bool = False
    held: int = 0
    asked: bool = False
    overlapping: bool = False  # decision_lag 1: a copy is written while the next interval is trained

    @property
    def tokens(self) -> int:
        """Of a micro-batch."""
        return self.rows * self.context

    @property
    def sharded(self) -> bool:
        """Whether each worker holds a piece of the weights only: several GPUs, every weight trains freely."""
        return self.gpu and self.workers > 1 and not (self.adapters or self.held)

    @property
    def fused(self) -> bool:
        """Whether layers are computed by model/nn/cpu_kernels.py."""
        return self.sizes.own_kernels and not (self.gpu or self.bf16 or self.compiled or self.adapters)

    @property
    def trained(self) -> int:
        """Parameters that train."""
        return adapter_parameters(self.sizes, self.adapters) if self.adapters else self.sizes.parameters


def shape_of(spec: PipelineSpec, stage: StageSpec, sizes: Sizes) -> Shape:
    """The shape of a stage of a filled spec."""
    compute, penalty, context = spec.compute, stage.penalty, spec.model.context
    gpu = compute.gpus_per_worker > 0
    of_worker = -(-stage.batch.sequences // compute.workers)
    fitting = max(1, LOGITS_BYTES // (4 * context * sizes.vocabulary))
    parents = sum((bool(penalty.distill), bool(penalty.ewc or penalty.l2_sp), bool(penalty.ewc)))
    return Shape(
        sizes=sizes,
        rows=min(of_worker, stage.batch.micro_sequences or fitting),
        context=context,
        workers=compute.workers,
        gpu=gpu,
        bf16=compute.precision is Precision.BF16 or (gpu and compute.precision is Precision.UNSPECIFIED),
        compiled=compute.compile,
        checkpointing=compute.activation_checkpointing,
        adapters=stage.lora.rank,
        packed=stage.kind is StageKind.FINETUNE,
        held=parents,
        asked=bool(penalty.distill),
        overlapping=spec.evaluation.decision_lag > 0,
    )


def adapter_parameters(sizes: Sizes, rank: int) -> int:
    """Weights of LoRA's adapters on the matrices of each layer: rank * (inputs + outputs) of each."""
    return rank * sizes.adapter_ends
