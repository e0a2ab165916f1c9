"""The values that protos/generate.py writes hold what the .proto files hold, and go over the wire and back whole."""

import dataclasses
import random
import subprocess
import sys
from collections.abc import Mapping
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from google.protobuf import descriptor_pool, message_factory

from retain import values
from retain.mapper import UnknownValue, enum_number, enum_value, to_message, to_value
from retain.orchestrator.v1 import checkpoint_service_pb2, resources_pb2, stage_control_service_pb2
from retain.types.v1 import spec_pb2, values_pb2
from retain.values import (
    CheckpointRef,
    EvalSetRef,
    GarbageItem,
    GaugeKind,
    PipelineRun,
    PipelineSpec,
    PreparedData,
    SetRole,
    SetUse,
    SpecViolation,
    StageKind,
    StageSpec,
)

PROTOS = Path(__file__).resolve().parents[4] / "protos"
FILES = sorted(
    ".".join(path.relative_to(PROTOS).with_suffix("").parts) + "_pb2" for path in PROTOS.glob("retain/**/*.proto")
)
DESCRIPTORS = [import_module(name).DESCRIPTOR for name in FILES]
MESSAGES = {name: message for file in DESCRIPTORS for name, message in file.message_types_by_name.items()}
ENUMS = {name: enum for file in DESCRIPTORS for name, enum in file.enum_types_by_name.items()}


def test_every_message_and_enum_is_a_value_and_no_value_is_anything_else() -> None:
    assert set(values.__all__) == MESSAGES.keys() | ENUMS.keys()


def test_the_protos_are_found() -> None:
    """A new .proto file is looked at by itself."""
    assert {"retain.types.v1.spec_pb2", "retain.evaluator.v1.service_pb2"} < set(FILES)


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_a_value_has_the_fields_of_its_message(name: str) -> None:
    cls = getattr(values, name)
    hints = get_type_hints(cls)
    told = {field.name: field for field in MESSAGES[name].fields}
    times = {key for key, field in told.items() if _full_name(field) == "google.protobuf.Timestamp"}
    attributes = {f"{key}_s" if key in times else key: field for key, field in told.items()}
    assert [field.name for field in dataclasses.fields(cls)] == list(attributes)
    assert cls.__doc__
    assert cls.__dataclass_params__.frozen
    for attribute, field in attributes.items():
        assert (type(None) in get_args(hints[attribute])) == (field.containing_oneof is not None), attribute


@pytest.mark.parametrize("name", sorted(ENUMS))
def test_an_enum_has_the_values_of_the_wire(name: str) -> None:
    cls, enum = getattr(values, name), ENUMS[name]
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    assert set(cls.__members__) == {value.name.removeprefix(prefix) for value in enum.values}
    for value in enum.values:
        member = enum_value(value.number, cls, enum)
        assert member is cls[value.name.removeprefix(prefix)]
        if member.name == value.name.removeprefix(prefix):  # not the second name of another value
            assert enum_number(enum, member) == value.number


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_a_value_goes_over_the_wire_and_back_whole(name: str) -> None:
    cls = getattr(values, name)
    kind = message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(MESSAGES[name].full_name))
    for value in (cls(), *(_filled(cls, random.Random(seed)) for seed in range(8))):
        message = to_message(value, kind)
        assert to_value(kind.FromString(message.SerializeToString()), cls) == value


def test_nothing_said_is_the_value_of_defaults() -> None:
    spec = to_value(spec_pb2.PipelineSpec(), PipelineSpec)
    assert spec == PipelineSpec()
    assert (spec.forgetting.gauges, spec.forgetting.minor, spec.model.preset) == (None, None, None)


def test_what_is_optional_is_told_from_zero() -> None:
    message = spec_pb2.PipelineSpec()
    message.forgetting.minor = 0.0
    assert to_value(message, PipelineSpec).forgetting.minor == 0.0
    assert to_message(to_value(message, PipelineSpec), spec_pb2.PipelineSpec).forgetting.HasField("minor")


def test_unknown_enum_numbers_are_violations_with_their_paths() -> None:
    message = spec_pb2.PipelineSpec(stages=[spec_pb2.StageSpec(), spec_pb2.StageSpec(kind=99)])  # type: ignore[arg-type]
    message.forgetting.gauges.kinds.append(77)  # type: ignore[arg-type]
    faults: list[SpecViolation] = []
    spec = to_value(message, PipelineSpec, faults, path="spec")
    assert faults == [
        SpecViolation(field="spec.stages[1].kind", description="got 99; expected PRETRAIN, MIDTRAIN, FINETUNE"),
        SpecViolation(
            field="spec.forgetting.gauges.kinds[0]",
            description="got 77; expected ENCYCLOPAEDIC, NARRATIVE, CODE, CONVERSATION",
        ),
    ]
    assert spec.stages[1].kind is StageKind.UNSPECIFIED
    assert spec.forgetting.gauges is not None
    assert spec.forgetting.gauges.kinds == (GaugeKind.UNSPECIFIED,)
    with pytest.raises(UnknownValue, match=r"stages\[1\].kind: got 99") as caught:
        to_value(message, PipelineSpec)
    assert len(caught.value.violations) == 2


def test_a_set_whose_use_is_not_said_is_a_control_set() -> None:
    read = to_value(values_pb2.EvalSetRef(role=values_pb2.SET_ROLE_TARGET), EvalSetRef)
    assert (read.role, read.use) == (SetRole.TARGET, SetUse.CONTROL)
    assert list(SetUse) == ["CONTROL", "REPORT"]
    assert to_message(read, values_pb2.EvalSetRef).use == values_pb2.SET_USE_CONTROL


def test_unspecified_is_false_and_nothing_else_is() -> None:
    assert [bool(kind) for kind in StageKind] == [kind is not StageKind.UNSPECIFIED for kind in StageKind]
    assert all(SetUse), "its zero is CONTROL"


def test_times_are_unix_seconds() -> None:
    item = GarbageItem(update_time_s=1_700_000_000.123456)
    message = to_message(item, checkpoint_service_pb2.GarbageItem)
    assert (message.update_time.seconds, message.update_time.nanos) == (1_700_000_000, 123_456_001)
    assert to_value(message, GarbageItem) == item
    assert not to_message(GarbageItem(), checkpoint_service_pb2.GarbageItem).HasField("update_time")
    assert not to_message(PipelineRun(), resources_pb2.PipelineRun).HasField("end_time")


def test_a_field_that_one_side_lacks_is_refused() -> None:
    with pytest.raises(TypeError, match=r"CheckpointRef and the message retain.types.v1.EvalSetRef differ in .*digest"):
        to_message(CheckpointRef(), values_pb2.EvalSetRef)
    with pytest.raises(TypeError, match="differ in"):
        to_value(values_pb2.EvalSetRef(), CheckpointRef)


def test_what_the_wire_does_not_take_is_refused() -> None:
    with pytest.raises(ValueError, match="range"):
        to_message(CheckpointRef(step=2**64), values_pb2.CheckpointRef)
    with pytest.raises(TypeError, match=r"CheckpointRef.uri: got None"):
        to_message(CheckpointRef(uri=None), values_pb2.CheckpointRef)  # type: ignore[arg-type]
    with pytest.raises(KeyError):
        enum_number(values_pb2.SetRole.DESCRIPTOR, StageKind.PRETRAIN)


def test_what_is_named_by_a_stage_follows_from_its_fields() -> None:
    assert StageSpec(kind=StageKind.MIDTRAIN, domain=values.Domain.MATH).name == "midtrain/math"
    assert StageSpec(kind=StageKind.FINETUNE).name == "finetune"


def test_messages_in_messages_keep_their_presence() -> None:
    empty = to_message(PreparedData(), stage_control_service_pb2.PreparedData)
    assert empty.HasField("tokenizer")  # it always has one
    assert not empty.HasField("base")


def test_values_are_of_the_standard_library_alone() -> None:
    """A client that only looks at values pays for nothing else."""
    names = ", ".join(values.__all__)
    code = f"import sys; from retain.values import {names}; print({{m.partition('.')[0] for m in sys.modules}} & WRONG)"
    code = code.replace("WRONG", "{'google', 'grpc', 'ui', 'services'}")
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"


def _full_name(field: Any) -> str:
    return "" if field.message_type is None else field.message_type.full_name


def _filled(cls: Any, chance: random.Random) -> Any:
    """A value with something in every field that may hold something; of a oneof one is chosen."""
    hints = get_type_hints(cls)
    given = {field.name: _some(hints[field.name], chance) for field in dataclasses.fields(cls)}
    for oneof in MESSAGES[cls.__name__].oneofs:
        names = [field.name for field in oneof.fields]
        for name in names if len(names) == 1 else chance.sample(names, len(names) - 1):
            if len(names) > 1 or chance.random() < 0.3:
                time = f"{name}_s"
                given[time if time in given else name] = None
    return cls(**given)


def _some(hint: Any, chance: random.Random) -> Any:
    args = [arg for arg in get_args(hint) if arg not in (type(None), ...)]
    origin = get_origin(hint)
    if origin is tuple:
        return tuple(_some(args[0], chance) for _ in range(chance.randint(0, 2)))
    if origin is Mapping:
        return {_some(args[0], chance): _some(args[1], chance) for _ in range(chance.randint(0, 2))}
    if args:
        return _some(args[0], chance)
    if issubclass(hint, Enum):
        return chance.choice(list(hint))
    if dataclasses.is_dataclass(hint):
        return _filled(hint, chance)
    return {
        bool: chance.random() < 0.5,
        int: chance.randint(1, 2**31 - 1),
        float: chance.randint(1, 2**40) / 512,  # a time too: whole nanoseconds
        str: f"text {chance.randint(0, 9)}",
    }[hint]
