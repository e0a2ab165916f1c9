"""Whether a stage can ask its parent: replay, memory, and what is not known; a plan says which, and why."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from retain.mapper import to_message
from retain.types.v1 import spec_pb2
from retain.values import ComputeSpec, ForgettingSpec, LoraSpec, PenaltySpec, PipelineSpec
from services.orchestrator.adapters import settings as settings_module
from services.orchestrator.domain.spec import teacher as teacher_module
from services.orchestrator.domain.spec.defaults import fill
from services.orchestrator.domain.spec.policy_told import policy_told
from services.orchestrator.domain.spec.teacher import Memory, teacher_of
from tests.unit.services.orchestrator.specs import FINETUNE, MIDTRAIN, PRETRAIN, spec

MILLION = 1_000_000
# 1 million parameters: 32 MB with the parent and the copy for the store, 20 MB on a GPU. Half of the memory may go.
JUST, TOO_SMALL = 64 * MILLION, 64 * MILLION - 1


def of_midtrain(given: PipelineSpec, *, parameters: int = MILLION, **memory: int) -> teacher_module.Teacher:
    filled = fill(given)
    return teacher_of(filled, filled.stages[1], parameters=parameters, memory=Memory(**memory))


def test_the_parent_fits_up_to_half_of_what_a_worker_holds() -> None:
    assert of_midtrain(spec(), slot_bytes=JUST).possible
    small = of_midtrain(spec(), slot_bytes=TOO_SMALL)
    assert not small.possible
    assert "does not fit: with it training takes 32 MB" in small.why
    assert "of 64 MB of a worker, of which half may be taken" in small.why


def test_a_worker_of_several_slots_holds_as_much_as_they_do() -> None:
    two = spec(compute=ComputeSpec(cpus_per_worker=2))
    assert of_midtrain(two, slot_bytes=JUST // 2).possible
    assert not of_midtrain(two, slot_bytes=JUST // 2 - 1).possible


def test_on_a_gpu_its_own_memory_counts_without_the_copy_for_the_store() -> None:
    gpu = spec(compute=ComputeSpec(gpus_per_worker=1))
    assert of_midtrain(gpu, gpu_bytes=40 * MILLION).possible
    assert not of_midtrain(gpu, gpu_bytes=40 * MILLION - 1).possible
    unknown = of_midtrain(gpu, slot_bytes=10**12)
    assert not unknown.possible
    assert "what a GPU can hold is not known (RETAIN_GPU_MEMORY_BYTES)" in unknown.why


def test_what_is_not_known_does_not_fit() -> None:
    assert "known once it was read" in of_midtrain(spec(), parameters=0, slot_bytes=JUST).why
    assert "RETAIN_SLOT_MEMORY_BYTES" in of_midtrain(spec()).why


def test_without_replay_there_is_nothing_to_ask_about() -> None:
    bare = replace(MIDTRAIN, data=replace(MIDTRAIN.data, general_share=0.0))
    assert "nothing is replayed" in of_midtrain(spec(stages=(PRETRAIN, bare)), slot_bytes=JUST).why


KNOWN = {"parameters": MILLION, "memory": Memory(slot_bytes=JUST)}


def test_a_strength_that_is_given_stays_and_the_default_goes_where_it_can() -> None:
    told_off = replace(FINETUNE, penalty=PenaltySpec(distill=0.0))
    given = spec(stages=(PRETRAIN, MIDTRAIN, told_off))
    assert [stage.penalty.distill for stage in fill(given, **KNOWN).stages] == [0.0, 1.0, 0.0]
    assert [stage.penalty.distill for stage in fill(given).stages] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("other", "field"),
    [
        ({"penalty": PenaltySpec(ewc=0.01)}, "penalty.ewc"),
        ({"penalty": PenaltySpec(l2_sp=0.01)}, "penalty.l2_sp"),
        ({"lora": LoraSpec(rank=4)}, "lora"),
    ],
)
def test_another_way_that_is_named_stays_alone(other: dict[str, Any], field: str) -> None:
    filled = fill(spec(stages=(PRETRAIN, replace(MIDTRAIN, **other))), **KNOWN)
    assert filled.stages[1].penalty.distill == 0.0
    told = policy_told(filled, **KNOWN)[2]
    assert told.startswith(f"midtrain/code does not distil, though it could: {field} holds it to its parent; there is")
    both = replace(MIDTRAIN, penalty=PenaltySpec(distill=0.5), lora=LoraSpec(rank=4))
    assert fill(spec(stages=(PRETRAIN, both)), **KNOWN).stages[1].penalty.distill == 0.5


def test_a_spec_that_only_measures_is_not_held() -> None:
    measured = fill(spec(forgetting=ForgettingSpec(mitigate=False)), **KNOWN)
    assert [stage.penalty.distill for stage in measured.stages] == [0.0] * len(measured.stages)


def test_left_out_is_another_thing_than_off_on_the_wire() -> None:
    assert not to_message(spec(), spec_pb2.PipelineSpec).stages[1].penalty.HasField("distill")
    off = replace(MIDTRAIN, penalty=PenaltySpec(distill=0.0))
    sent = to_message(spec(stages=(PRETRAIN, off)), spec_pb2.PipelineSpec).stages[1].penalty
    assert sent.HasField("distill")
    assert spec_pb2.PenaltySpec.FromString(sent.SerializeToString()).HasField("distill")


def test_the_plan_says_what_could_be_and_what_cannot() -> None:
    assert policy_told(fill(spec(), **KNOWN), **KNOWN)[2].startswith("midtrain/code distils with strength 1: there is")
    off = spec(stages=(PRETRAIN, replace(MIDTRAIN, penalty=PenaltySpec(distill=0.0))))
    could = policy_told(fill(off, **KNOWN), **KNOWN)
    assert "midtrain/code does not distil, though it could: penalty.distill is 0" in could[2]
    assert "the parent fits" in could[2]
    distilled = spec(stages=(PRETRAIN, replace(MIDTRAIN, penalty=PenaltySpec(distill=2.0))))
    told = policy_told(fill(distilled, **KNOWN), parameters=MILLION, memory=Memory(slot_bytes=TOO_SMALL))
    assert told[2].startswith("midtrain/code distils with strength 2: there is replay, and the parent does not fit")


@pytest.mark.parametrize(("limit", "bytes_"), [("4096\n", 4096), ("max\n", None)])
def test_a_container_holds_what_its_limit_says(
    limit: str, bytes_: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = settings_module._own_memory_bytes()
    file = tmp_path / "memory.max"
    file.write_text(limit)
    monkeypatch.setattr(settings_module, "CGROUP_LIMIT", file)
    assert settings_module._own_memory_bytes() == (bytes_ or machine)
