"""What would make a stage fit into the memory of a worker: settings of the spec, each with what is then needed."""

from collections.abc import Iterator
from dataclasses import replace

from retain.values import StageKind, StageSpec
from services.orchestrator.domain.spec.needs.memory import memory_of
from services.orchestrator.domain.spec.needs.shape import Shape
from services.orchestrator.domain.spec.teacher import told_size

LEAST_CONTEXT, RANK, MOST_WORKERS = 128, 8, 4096


def fitting(shape: Shape, stage: StageSpec, limit_bytes: float, *, per_slot_bytes: float) -> list[str]:
    """Settings that make it fit, in the order of what they cost the training. Where none is enough alone: all that
    save memory together; where they are not enough either, nothing."""
    found, all_of_it, said = list[str](), shape, list[str]()
    for setting, smaller in _smaller(shape, stage, limit_bytes):
        need = memory_of(smaller).total_bytes
        if need <= limit_bytes:
            found.append(f"{setting} ({told_size(need)})")
        said.append(setting)
        all_of_it = _both(all_of_it, smaller)
    if not found and said and (need := memory_of(all_of_it).total_bytes) <= limit_bytes:
        found.append(f"{' and '.join(said)} together ({told_size(need)})")
    if per_slot_bytes and not shape.gpu:
        slots = -(-memory_of(shape).total_bytes // int(per_slot_bytes))
        found.append(f"compute.cpus_per_worker: {slots} (a worker may use the memory of its slots)")
    if shape.gpu and not (shape.adapters or shape.held):
        workers = shape.workers * 2
        while workers <= MOST_WORKERS:
            need = memory_of(replace(shape, workers=workers)).total_bytes
            if need <= limit_bytes:
                found.append(f"compute.workers: {workers}, which share the weights ({told_size(need)})")
                break
            workers *= 2
    return found


def _smaller(shape: Shape, stage: StageSpec, limit_bytes: float) -> Iterator[tuple[str, Shape]]:
    """Settings of the spec that save memory, each alone."""
    rows = shape.rows
    while rows > 1:
        rows //= 2
        smaller = replace(shape, rows=rows)
        if rows == 1 or memory_of(smaller).total_bytes <= limit_bytes:
            yield f"batch.micro_sequences: {rows}", smaller
            break
    if not shape.checkpointing:
        yield "compute.activation_checkpointing: true", replace(shape, checkpointing=True)
    if shape.asked:
        yield "penalty.distill: 0", replace(shape, held=shape.held - 1, asked=False)
    if shape.overlapping and not shape.gpu:
        yield "evaluation.decision_lag: 0", replace(shape, overlapping=False)
    if not shape.adapters and stage.kind is not StageKind.PRETRAIN and shape.held <= int(shape.asked):
        yield f"lora.rank: {RANK}", replace(shape, adapters=RANK, held=0, asked=False)
    context = shape.context
    while context // 2 >= LEAST_CONTEXT:
        context //= 2
        smaller = replace(shape, context=context)
        if memory_of(smaller).total_bytes <= limit_bytes:
            yield f"model.context: {context}", smaller
            break


def _both(one: Shape, other: Shape) -> Shape:
    """What both save."""
    return replace(
        one,
        rows=min(one.rows, other.rows),
        context=min(one.context, other.context),
        checkpointing=one.checkpointing or other.checkpointing,
        adapters=one.adapters or other.adapters,
        held=min(one.held, other.held),
        asked=one.asked and other.asked,
        overlapping=one.overlapping and other.overlapping,
    )
