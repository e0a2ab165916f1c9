"""Distillation: whether a stage can ask its parent, and whether it does where a spec leaves that out.

It needs replay, for the parent is asked about replayed text, and memory: a worker that distils keeps the parent beside
the model, and the weights are not sharded over several GPUs then. In bytes a parameter, all numbers in float32:

    16   weights, gradients and both moments of AdamW
    12   the copy of weights and moments that is written at a boundary; beside a GPU it lies in main memory
     4   the parent's weights

The rest of a worker's memory is for activations, whose size hangs on batch, context and precision, and for data: so the
parent counts as fitting where all of the above take up to half of it. What is not known (a model that must be read
first, the memory of a GPU that no setting tells) does not count as fitting.

Experiment (i) made it the default (`retain learn experiments`), and (l) the strength and the loss on text that the
parent itself wrote: each of its tokens is one draw from what the parent says in full, so that its word stands in their
place. In a later stage another model than the parent wrote that text, and beside replayed text of other origin one
strength would have to fit both; neither is measured, and both keep the tokens and the lower strength. A spec that names
another way to hold on (EWC, L2-SP, adapters) gets that way alone, as it was measured, and one that only measures none.
"""

from dataclasses import dataclass, replace

from retain.values import ComputeSpec, PenaltySpec, PipelineSpec, StageKind, StageSpec
from services.orchestrator.domain.spec.self_replay import ROLE, is_self

TRAINING_BYTES, COPY_BYTES, PARENT_BYTES = 16, 12, 4  # a parameter, see the module
PART_OF_MEMORY = 0.5
BY_DEFAULT = 1.0  # strength where a spec leaves it out and the stage can distil
ALONE = 4.0  # the same where the parent wrote all that is replayed, and its word stands in place of the tokens


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What a worker can hold, in bytes: of each of its slots (CPUs), and of a GPU; 0 is not known."""

    slot_bytes: int = 0
    gpu_bytes: int = 0

    def of_worker(self, compute: ComputeSpec) -> float:
        """Bytes of the memory that model and parent share on one worker: its part of one GPU, where it has one."""
        if compute.gpus_per_worker > 0:
            return self.gpu_bytes * min(1.0, compute.gpus_per_worker)
        return self.slot_bytes * compute.cpus_per_worker


UNKNOWN_MEMORY = Memory()


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """Whether a stage can distil, and why or why not, as part of a sentence."""

    possible: bool
    why: str


def with_distillation(spec: PipelineSpec, *, parameters: int, memory: Memory) -> PipelineSpec:
    """The spec with a strength in each stage that leaves it out: `BY_DEFAULT` where the stage can distil (`ALONE` where
    the parent wrote what is replayed), else 0; and whether the parent's word stands alone in each that replays what a
    model wrote. `spec` is filled in all else; `parameters` of the model, 0 is not known."""

    def filled(index: int, stage: StageSpec) -> PenaltySpec:
        given = stage.penalty
        possible = spec.forgetting.mitigate is not False and not held_otherwise(stage)
        alone = given.distill is None and index == 0 and _replays_its_parent(stage)
        alone = alone if given.distill_alone is None else given.distill_alone
        strength = given.distill
        if strength is None:
            possible = possible and teacher_of(spec, stage, parameters=parameters, memory=memory).possible
            strength = (ALONE if alone else BY_DEFAULT) if possible else 0.0
        if is_self(stage.data.general):
            given = replace(given, distill_alone=alone and strength > 0)
        return replace(given, distill=strength)

    stages = (replace(one, penalty=filled(index, one)) for index, one in enumerate(spec.stages))
    return replace(spec, stages=tuple(stages))


def _replays_its_parent(stage: StageSpec) -> bool:
    """Whether all that a first stage replays is what a model wrote, which is its parent."""
    replayed = {name for name, share in stage.data.replay.items() if share > 0}
    return is_self(stage.data.general) and replayed == {ROLE}


def held_otherwise(stage: StageSpec) -> str:
    """The other way to hold on to the parent that a stage names: a field of the spec, or nothing."""
    named = {"penalty.ewc": stage.penalty.ewc, "penalty.l2_sp": stage.penalty.l2_sp, "lora": stage.lora.rank}
    return next((field for field, value in named.items() if value), "")


def teacher_of(spec: PipelineSpec, stage: StageSpec, *, parameters: int, memory: Memory) -> Teacher:
    """Whether a stage of a filled spec can distil; `parameters` 0 is not known."""
    if stage.kind is StageKind.PRETRAIN or not any(share > 0 for share in stage.data.replay.values()):
        return Teacher(possible=False, why="nothing is replayed, so there is nothing to ask the parent about")
    on_gpu, room = spec.compute.gpus_per_worker > 0, memory.of_worker(spec.compute)
    device = "GPU" if on_gpu else "worker"
    if not parameters:
        return Teacher(possible=False, why="there is replay; the size of the parent is known once it was read")
    if not room:
        why = f"there is replay; what a {device} can hold is not known ({memory_setting(on_gpu)})"
        return Teacher(possible=False, why=why)
    needed = parameters * (TRAINING_BYTES + PARENT_BYTES + (0 if on_gpu else COPY_BYTES))
    fits = needed <= PART_OF_MEMORY * room
    said = (
        f"there is replay, and the parent {'fits' if fits else 'does not fit'}: with it training takes "
        f"{told_size(needed)} beside activations and data, of {told_size(room)} of a {device}"
    )
    return Teacher(possible=fits, why=said if fits else f"{said}, of which half may be taken")


def memory_setting(on_gpu: bool) -> str:
    """Which setting of the orchestrator tells the memory of a worker."""
    return "RETAIN_GPU_MEMORY_BYTES" if on_gpu else "RETAIN_SLOT_MEMORY_BYTES"


def told_size(size_bytes: float) -> str:
    """A size for people: 38 MB, 2.4 GB."""
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{max(1, round(size_bytes / 1e6))} MB"
