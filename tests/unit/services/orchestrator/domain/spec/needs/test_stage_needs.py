"""What stages need and whether it fits: refused with what would make it fit, warned of, or not known by name."""

import re
from dataclasses import replace

import pytest

from retain.values import LoraSpec, PenaltySpec, PipelineSpec, StageNeeds
from services.orchestrator.domain.spec.defaults import fill
from services.orchestrator.domain.spec.model_size import Sizes, sizes_of_preset
from services.orchestrator.domain.spec.needs.memory import memory_of
from services.orchestrator.domain.spec.needs.shape import shape_of
from services.orchestrator.domain.spec.needs.stage_needs import OWN_ERROR, kept_at_once, needs_of, too_large
from services.orchestrator.domain.spec.plan import plan
from services.orchestrator.domain.spec.teacher import UNKNOWN_MEMORY, Memory
from tests.unit.services.orchestrator.specs import spec

SIZES = sizes_of_preset("135m", 0)
assert SIZES is not None


def filled(
    *, gpus: float = 0.0, workers: int = 1, micro: int = 0, context: int = 1024, **stage: object
) -> PipelineSpec:
    """Pre-training, mid-training with replay, fine-tuning; what is changed is changed in the mid-training."""
    wanted = spec()
    first, middle, last = wanted.stages
    middle = replace(middle, penalty=PenaltySpec(distill=0.0), batch=replace(middle.batch, micro_sequences=micro))
    middle = replace(middle, **stage)  # type: ignore[arg-type]
    compute = replace(wanted.compute, gpus_per_worker=gpus, cpus_per_worker=1.0, workers=workers, min_workers=0)
    wanted = replace(wanted, model=replace(wanted.model, context=context), compute=compute)
    return fill(replace(wanted, stages=(first, middle, last)))


def midtrain(wanted: PipelineSpec, memory: Memory, sizes: Sizes | None = SIZES) -> StageNeeds:
    return needs_of(wanted, plan(wanted), sizes, memory)[1]


def total(wanted: PipelineSpec, sizes: Sizes = SIZES) -> int:
    return memory_of(shape_of(wanted, wanted.stages[1], sizes)).total_bytes


def test_what_fits_is_told_without_a_warning() -> None:
    wanted = filled()
    need = midtrain(wanted, Memory(slot_bytes=total(wanted)))
    assert need.memory is not None
    assert need.memory.total_bytes == need.memory_limit_bytes == total(wanted)
    assert (need.warning, need.too_large) == ("", False)
    assert need.training_flops > 6 * SIZES.parameters * plan(wanted)[1].tokens
    assert need.disk_bytes == 2 * 12 * SIZES.parameters


def test_within_its_own_error_it_warns_and_beyond_it_refuses() -> None:
    wanted = filled()
    warned = midtrain(wanted, Memory(slot_bytes=round(total(wanted) / OWN_ERROR) + 1))
    assert warned.warning.startswith("midtrain/code needs ")
    assert not warned.too_large
    refused = midtrain(wanted, Memory(slot_bytes=round(total(wanted) / OWN_ERROR) - 1))
    assert refused.too_large
    needs = (warned, refused, warned)
    (fault,) = too_large(needs)
    assert (fault.field, fault.description) == ("stages[1]", refused.warning)


@pytest.mark.parametrize(
    ("micro", "advice", "changed"),
    [
        (8, r"batch.micro_sequences: (\d+) ", lambda found: filled(micro=int(found))),
        (1, r"lora.rank: (\d+) ", lambda found: filled(micro=1, lora=LoraSpec(rank=int(found)))),
        (8, r"model.context: (\d+) ", lambda found: filled(micro=8, context=int(found))),
        (8, r"compute.activation_checkpointing: (true) ", None),
    ],
)
def test_each_setting_that_is_named_makes_it_fit(micro: int, advice: str, changed) -> None:
    wanted = filled(micro=micro)
    memory = Memory(slot_bytes=round(0.8 * total(wanted)))
    found = re.search(advice, midtrain(wanted, memory).warning)
    assert found is not None
    after = changed(found[1]) if changed else wanted
    if changed is None:
        after = replace(wanted, compute=replace(wanted.compute, activation_checkpointing=True))
    assert total(after) <= memory.slot_bytes < total(wanted)
    assert not midtrain(after, memory).too_large


def test_more_slots_or_more_workers_are_named_where_they_help() -> None:
    wanted = filled()
    slot = round(0.3 * total(wanted))
    warning = midtrain(wanted, Memory(slot_bytes=slot)).warning
    slots = int(re.search(r"cpus_per_worker: (\d+)", warning)[1])  # type: ignore[index]
    assert (slots - 1) * slot < total(wanted) <= slots * slot
    assert "compute.workers" not in warning
    big = Sizes(layers=32, width=4096, heads=32, kv_heads=8, ffn_width=14_336, vocabulary=128_256, tied=False)
    gpu = filled(gpus=1.0, micro=1)
    memory = Memory(slot_bytes=10**12, gpu_bytes=80 * 10**9)
    warning = midtrain(gpu, memory, big).warning
    workers = int(re.search(r"compute.workers: (\d+), which share the weights", warning)[1])  # type: ignore[index]
    assert total(filled(gpus=1.0, micro=1, workers=workers), big) <= memory.gpu_bytes
    assert total(filled(gpus=1.0, micro=1, workers=workers // 2), big) > memory.gpu_bytes
    assert "cpus_per_worker" not in warning


def test_a_teacher_that_is_too_much_is_named() -> None:
    wanted = filled(penalty=PenaltySpec(distill=1.0))
    memory = Memory(slot_bytes=total(wanted) - 4 * SIZES.parameters)
    assert "penalty.distill: 0 (" in midtrain(wanted, memory).warning


def test_what_no_setting_alone_mends_is_mended_together_or_not_at_all() -> None:
    wanted = filled(micro=8, context=256)
    together = Memory(gpu_bytes=0, slot_bytes=round(total(filled(micro=1, context=128, lora=LoraSpec(rank=8))) * 1.001))
    warning = midtrain(wanted, together).warning
    assert "together" in warning or "lora.rank" in warning
    warning = midtrain(
        filled(gpus=1.0, workers=1, lora=LoraSpec(rank=8)), Memory(gpu_bytes=10**8, slot_bytes=1)
    ).warning
    assert warning.endswith("no setting of the stage makes it fit; a smaller model would")


def test_what_is_not_known_is_named_and_refuses_nothing() -> None:
    wanted = filled()
    for gpus, setting in ((0.0, "RETAIN_SLOT_MEMORY_BYTES"), (1.0, "RETAIN_GPU_MEMORY_BYTES")):
        need = midtrain(filled(gpus=gpus), UNKNOWN_MEMORY)
        assert need.memory is not None
        assert any(setting in said for said in need.unknown)
        assert (need.memory_limit_bytes, need.warning, need.too_large) == (0, "", False)
    need = midtrain(wanted, Memory(slot_bytes=1), None)
    assert (need.memory, need.too_large) == (None, False)
    assert "config.json" in need.unknown[0]
    last = needs_of(wanted, plan(wanted), SIZES, UNKNOWN_MEMORY)[2]
    assert plan(wanted)[2].tokens == 0, "epochs"
    assert any("duration.tokens" in said for said in last.unknown)
    assert last.training_flops == 0


@pytest.mark.parametrize(("boundaries", "kept"), [(1, 1), (4, 4), (100, 3 + 2 + 7 + 1), (0, 3 + 2 + 0 + 1)])
def test_so_many_checkpoints_are_kept(boundaries: int, kept: int) -> None:
    assert kept_at_once(boundaries, 3) == kept


def test_the_store_holds_what_earlier_stages_left() -> None:
    wanted = filled()
    needs = needs_of(wanted, plan(wanted), SIZES, UNKNOWN_MEMORY)
    checkpoint = 12 * SIZES.parameters
    counts = [kept_at_once(one.boundaries, wanted.checkpoints.keep_last) for one in plan(wanted)]
    left = wanted.checkpoints.keep_last + 2
    assert [need.store_bytes for need in needs] == [checkpoint * (count + left * at) for at, count in enumerate(counts)]
