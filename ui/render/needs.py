"""What the stages of a plan need, for the command and the panel."""

from ui.client.views import MemoryEstimate, Plan
from ui.render import formatting


def needs_lines(plan: Plan) -> list[str]:
    """Memory, operations, store and disk of each stage as estimated, and what is not known with what would tell it."""
    lines: list[str] = []
    if plan.parameters:
        lines.append(f"The model: about {formatting.amount(plan.parameters)} parameters")
    for stage in plan.stages:
        need = stage.needs
        if need is None:
            continue
        said = []
        if need.memory is not None:
            limit = f" of {formatting.file_size(need.memory_limit_bytes)}" if need.memory_limit_bytes else ""
            beside = need.memory.host_bytes
            host = f" and {formatting.file_size(beside)} of main memory" if beside else ""
            said.append(f"{formatting.file_size(need.memory.total_bytes)}{limit} of memory{host} on each worker")
        if need.sampled_tokens:
            written, work = formatting.amount(need.sampled_tokens), f"{need.sampling_flops:.3g}"
            lines.append(f"{stage.name}: its parent writes {written} tokens first, {work} floating-point operations")
        if need.training_flops:
            said.append(f"{need.training_flops:.3g} floating-point operations")
        if (cost := stage.boundary_cost) is not None:
            said.append(formatting.seconds(cost.training_seconds + cost.boundary_seconds))
        if need.store_bytes:
            said.append(f"up to {formatting.file_size(need.store_bytes)} of checkpoints in the store")
            said.append(f"{formatting.file_size(need.disk_bytes)} of a worker's disk")
        if said:
            lines.append(f"{stage.name} needs about {'; '.join(said)}")
        if need.memory is not None:
            lines.append(f"  memory: {memory_text(need.memory)}")
        lines += [f"  not known: {unknown}" for unknown in need.unknown]
        lines += [f"  note: {note}" for note in need.notes]
    return lines


def memory_text(memory: MemoryEstimate) -> str:
    """The parts of an estimate that are not nothing."""
    parts = {
        "weights": memory.weights_bytes,
        "gradients": memory.gradients_bytes,
        "moments": memory.moments_bytes,
        "activations": memory.activations_bytes,
        "copies for a checkpoint": memory.copies_bytes,
        "the parent": memory.parent_bytes,
        "the process": memory.runtime_bytes,
    }
    return ", ".join(f"{name} {formatting.file_size(size)}" for name, size in parts.items() if size)
