"""What each stage of a plan needs, and whether a worker has it.

A stage is refused where its memory is over what a worker may use by more than the estimate's own error, and warned of
where it is over it at all. What is not known (the model's sizes, the memory of a GPU that no setting tells, the length
of a stage that only preparing can tell) is named with what would tell it, and refuses nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from retain.values import MemoryEstimate, PipelineSpec, StageNeeds, StageSpec
from services.common.errors import Violation
from services.orchestrator.domain.policy.interpolation import path_boundaries
from services.orchestrator.domain.spec.model_size import BYTES_PER_PARAMETER, Sizes
from services.orchestrator.domain.spec.needs.fitting import fitting
from services.orchestrator.domain.spec.needs.memory import memory_of
from services.orchestrator.domain.spec.needs.shape import Shape, adapter_parameters, shape_of
from services.orchestrator.domain.spec.needs.work import sampling_flops, training_flops
from services.orchestrator.domain.spec.plan import PlannedStage
from services.orchestrator.domain.spec.self_replay import tokens_written
from services.orchestrator.domain.spec.teacher import Memory, memory_setting, told_size

OWN_ERROR = 1.15  # of the estimate (tests/benchmarks/bench_plan.py): only what is over it is refused


def needs_of(
    spec: PipelineSpec, stages: Sequence[PlannedStage], sizes: Sizes | None, memory: Memory
) -> tuple[StageNeeds, ...]:
    """Of each stage of a filled spec; `sizes` of its model, None where they are not known."""
    limit = memory.of_worker(spec.compute)
    if sizes is None or sizes.vocabulary == 0:
        said = "what it needs: the sizes of the model are not known before it was read (config.json)"
        return tuple(StageNeeds(memory_limit_bytes=int(limit), unknown=(said,)) for _ in stages)
    found, earlier = [], 0
    for plan, stage in zip(stages, spec.stages, strict=True):
        checkpoint = checkpoint_bytes(stage, sizes)
        fullest = earlier + checkpoint * kept_at_once(
            plan.boundaries,
            spec.checkpoints.keep_last + len(path_boundaries(spec.forgetting.interpolation, plan.boundaries)),
        )
        earlier += checkpoint * (spec.checkpoints.keep_last + 2)
        need = _needs(spec, plan, stage, sizes, memory, store_bytes=fullest)
        if tokens := tokens_written(spec, plan.index):
            flops = sampling_flops(shape_of(spec, stage, sizes), tokens)
            need = replace(need, sampled_tokens=tokens, sampling_flops=flops)
        found.append(need)
    return tuple(found)


def too_large(needs: Sequence[StageNeeds]) -> tuple[Violation, ...]:
    """The stages that cannot fit, each as a fault that says what would make it fit."""
    return tuple(
        Violation(field=f"stages[{index}]", description=need.warning)
        for index, need in enumerate(needs)
        if need.too_large
    )


def checkpoint_bytes(stage: StageSpec, sizes: Sizes) -> int:
    """Of one checkpoint: weights and the moments of what trains, with adapters those beside them."""
    if not stage.lora.rank:
        return BYTES_PER_PARAMETER * sizes.parameters
    return 4 * sizes.parameters + BYTES_PER_PARAMETER * adapter_parameters(sizes, stage.lora.rank)


def kept_at_once(boundaries: int, keep_last: int) -> int:
    """Checkpoints of one stage that are in the store together, at most: the newest ones, the best, the last good one,
    one good one of each power of two of boundaries (handlers/retention.py), and the one that is being written."""
    most = keep_last + 2 + boundaries.bit_length() + 1
    return min(most, boundaries) if boundaries else most


def _needs(
    spec: PipelineSpec, plan: PlannedStage, stage: StageSpec, sizes: Sizes, memory: Memory, *, store_bytes: int
) -> StageNeeds:
    shape = shape_of(spec, stage, sizes)
    estimate, limit = memory_of(shape), memory.of_worker(spec.compute)
    unknown = []
    if not limit:
        unknown.append(f"whether it fits: what a {_device(shape)} can hold is not known ({memory_setting(shape.gpu)})")
    if not plan.tokens:
        unknown.append("its operations: how long it is, preparing tells (duration.tokens or duration.steps would)")
    over = bool(limit) and estimate.total_bytes > limit
    parent = 0 if plan.index == 0 and spec.model.preset else BYTES_PER_PARAMETER * sizes.parameters
    return StageNeeds(
        memory=estimate,
        memory_limit_bytes=int(limit),
        training_flops=training_flops(shape, plan.tokens, replayed=sum(plan.shares.values())),
        store_bytes=store_bytes,
        disk_bytes=checkpoint_bytes(stage, sizes) + parent,
        unknown=tuple(unknown),
        warning=_warning(plan.name, shape, stage, estimate, limit, memory) if over else "",
        too_large=over and estimate.total_bytes > OWN_ERROR * limit,
        notes=tuple(_notes(shape)),
    )


def _notes(shape: Shape) -> Iterator[str]:
    """What is done otherwise for the family of the model in this stage."""
    family = shape.sizes.family
    if shape.packed and not shape.sizes.packs:
        why = f"rows of several conversations leak for {family} in transformers"
        yield f"trained unpacked: {why}, so each conversation is computed in a row of its own, which is slower"
    if shape.adapters and shape.sizes.experts:
        yield f"adapters stand beside the attention only: the experts of {family} lie together in one tensor"


def _warning(name: str, shape: Shape, stage: StageSpec, estimate: MemoryEstimate, limit: float, memory: Memory) -> str:
    parts = (
        ("weights", estimate.weights_bytes),
        ("gradients and moments", estimate.gradients_bytes + estimate.moments_bytes),
        ("activations", estimate.activations_bytes),
        ("copies for a checkpoint", 0 if shape.gpu else estimate.copies_bytes),
        ("the parent", estimate.parent_bytes),
    )
    needed = ", ".join(f"{what} {told_size(size)}" for what, size in parts if size)
    ways = fitting(shape, stage, limit, per_slot_bytes=memory.slot_bytes)
    none = "no setting of the stage makes it fit; a smaller model would"
    advice = f"it would fit with {', or '.join(ways)}" if ways else none
    what = f"{name} needs {told_size(estimate.total_bytes)} of memory on each worker ({needed})"
    return f"{what}; a {_device(shape)} has {told_size(limit)}; {advice}"


def _device(shape: Shape) -> str:
    return "GPU" if shape.gpu else "worker"
