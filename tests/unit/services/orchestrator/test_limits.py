"""Every number, list and text of a spec has an upper bound, looked at before anything is made of it."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import grpc
import pytest

from retain.mapper import to_value
from retain.orchestrator.v1 import orchestrator_service_pb2 as pb
from retain.orchestrator.v1 import orchestrator_service_pb2_grpc as pb_grpc
from retain.types.v1 import spec_pb2
from retain.values import BatchSpec, DurationSpec, PipelineSpec
from services.orchestrator.domain.handlers.lifecycle import new_run
from services.orchestrator.domain.spec.defaults import fill
from services.orchestrator.domain.spec.validation.limits import COUNTS, LARGEST_TOKENS, NUMBERS
from services.orchestrator.domain.spec.validation.validate import validate
from services.orchestrator.transport.bounds import oversized
from services.orchestrator.transport.present import present_run
from tests.fakes.platform import Platform, demo_spec
from tests.identity import aio_channel
from tests.unit.services.orchestrator.specs import MIDTRAIN, PRETRAIN, spec


def parts(hint: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Path and shape of every number, list and map of a spec."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        yield from parts(next(a for a in args if a is not type(None)), name)
    elif origin is tuple:
        yield name, "list"
        yield from parts(args[0], name)
    elif origin is not None and issubclass(origin, Mapping):
        yield name, "list"
        yield from parts(args[1], name)
    elif is_dataclass(hint):
        hints = get_type_hints(hint)
        for field in fields(hint):
            yield from parts(hints[field.name], f"{name}.{field.name}" if name else field.name)
    elif hint in (int, float):
        yield name, "number"
    else:
        assert hint in (str, bool) or issubclass(hint, Enum), hint


def test_every_number_and_list_has_a_bound_and_no_bound_is_of_something_else() -> None:
    found = set(parts(PipelineSpec))
    assert {name for name, shape in found if shape == "number"} == set(NUMBERS)
    assert {name for name, shape in found if shape == "list"} == set(COUNTS)


NUMERIC = [
    field
    for field in NUMBERS
    if field
    not in (
        "stages.domain_options.difficulty",
        "forgetting.interpolation.points",
        "forgetting.ladder.rungs",
        "forgetting.op_mix.shares",
        "stages.data.replay",
    )
]


def _with(name: str, value: float) -> spec_pb2.PipelineSpec:
    """The demo's spec with one number changed, of its second stage where it is a stage's."""
    message = demo_spec("bounds")
    holder: Any = message
    *path, last = name.split(".")
    for step in path:
        holder = holder.stages[1] if step == "stages" else getattr(holder, step)
    kind = type(getattr(holder, last))
    setattr(holder, last, kind(value))
    return message


@pytest.mark.parametrize("name", NUMERIC)
def test_a_number_above_its_bound_is_a_fault_with_its_path(name: str) -> None:
    field = next(f for f in _descriptors(name))
    largest = {"int32": 2**31 - 1, "int64": 2**63 - 1, "uint64": 2**64 - 1}.get(field, 1e300)
    faults = validate(to_value(_with(name, largest), PipelineSpec))
    path = name.replace("stages.", "stages[1].", 1)
    assert any(v.field == path and f"{NUMBERS[name]:.12g}" in v.description for v in faults), faults


def _descriptors(name: str) -> Iterator[str]:
    names = {5: "int32", 3: "int64", 4: "uint64", 1: "double", 2: "double"}
    holder = spec_pb2.PipelineSpec.DESCRIPTOR
    *path, last = name.split(".")
    for step in path:
        holder = holder.fields_by_name[step].message_type
    yield names[holder.fields_by_name[last].type]


def test_what_is_allowed_can_be_planned_stored_and_shown() -> None:
    """The largest durations: the numbers that a plan makes of them fit into a message."""
    for duration in (DurationSpec(tokens=10**13), DurationSpec(steps=10**9), DurationSpec(epochs=1000)):
        given = spec(stages=(replace(PRETRAIN, duration=duration, batch=BatchSpec(sequences=1)),))
        assert validate(given) == ()
        state = new_run("r", fill(given), store_uri="s3://b", base=None, queue_number=1, now_s=0.0)
        assert present_run(state).status.stages[0].total_tokens <= 2 * 10**13
    large = spec(stages=(replace(PRETRAIN, duration=DurationSpec(steps=10**9), batch=BatchSpec(sequences=65_536)),))
    assert LARGEST_TOKENS < 10**9 * 65_536 * 256
    assert [v.field for v in validate(large)] == ["stages[0].duration.steps"]


def test_the_time_of_a_check_does_not_grow_with_what_is_too_much() -> None:
    """Nothing is made of the stages: not even looked at."""
    message = spec_pb2.PipelineSpec(name="many")
    message.stages.add()
    one = message.stages[0].SerializeToString()
    field = bytes([4 << 3 | 2, len(one)]) + one
    message = spec_pb2.PipelineSpec.FromString(message.SerializeToString() + field * 1_000_000)
    started = time.perf_counter()
    (fault,) = oversized(message)
    took_s = time.perf_counter() - started
    assert (fault.field, fault.description) == ("stages", "got 1000001 entries; expected up to 32")
    print(f"a million stages: {1000 * took_s:.2f} ms")
    many = spec(stages=(PRETRAIN, *(MIDTRAIN for _ in range(5000))))
    assert [(v.field, v.description) for v in validate(many)] == [("stages", "got 5001 entries; expected up to 32")]


def test_long_texts_and_many_entries_are_refused_by_path() -> None:
    message = demo_spec("long")
    message.model.huggingface = "x" * 5000
    message.labels["k" * 200] = "v"
    message.labels["key"] = "v" * 2000
    message.stages[0].data.general = "y" * 5000
    message.stages[1].domain_options.languages.extend(["z" * 65])
    for number in range(17):
        message.forgetting.retention[f"set-{number}"] = "sample://math"
    found = {v.field: v.description for v in oversized(message)}
    assert set(found) == {
        "model.huggingface", f"labels[{'k' * 40}]", "labels[key]", "stages[0].data.general",
        "stages[1].domain_options.languages[0]", "forgetting.retention",
    }  # fmt: skip
    assert found["forgetting.retention"] == "got 17 entries; expected up to 16"
    assert all(len(description) < 200 for description in found.values())
    assert oversized(demo_spec()) == []


async def test_over_the_wire_what_is_too_much_is_refused_and_hides_no_run(tmp_path: Path) -> None:
    platform = Platform(f"sqlite:///{tmp_path / 'retain.db'}")
    port = await platform.start()
    try:
        async with aio_channel(f"127.0.0.1:{port}") as channel:
            stub = pb_grpc.OrchestratorServiceStub(channel)
            huge = demo_spec("huge")
            huge.stages[0].duration.tokens = 2**63 - 1
            for bad in (huge, _with_stages(200_000)):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await stub.CreatePipelineRun(pb.CreatePipelineRunRequest(spec=bad))
                assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
                answer = await stub.ValidatePipelineSpec(pb.ValidatePipelineSpecRequest(spec=bad))
                assert answer.violations
            faulty = demo_spec("faulty")
            del faulty.stages[1:]
            for _ in range(31):
                faulty.stages.add(kind=spec_pb2.STAGE_KIND_FINETUNE)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.CreatePipelineRun(pb.CreatePipelineRunRequest(spec=faulty))
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT, "more faults than metadata holds"
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.CreatePipelineRun(pb.CreatePipelineRunRequest(spec=demo_spec(), request_id="r" * 129))
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            made = await stub.CreatePipelineRun(pb.CreatePipelineRunRequest(spec=demo_spec()))
            listed = await stub.ListPipelineRuns(pb.ListPipelineRunsRequest())
            assert [run.id for run in listed.runs] == [made.run.id]
    finally:
        await platform.stop()


def _with_stages(number: int) -> spec_pb2.PipelineSpec:
    return spec_pb2.PipelineSpec(name="many", stages=[spec_pb2.StageSpec()] * number)
