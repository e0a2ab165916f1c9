"""Between the messages of the wire and the values of `retain.values`, by their fields: nothing is named twice.

    from retain.mapper import to_message, to_value
    from retain.types.v1 import values_pb2
    from retain.values import CheckpointRef

    ref = to_value(message, CheckpointRef)
    message = to_message(ref, values_pb2.CheckpointRef)

A field of one side that the other lacks is refused (TypeError), whichever way. What the wire leaves out becomes None
where the field is `optional` or of a oneof, and else what the value has by default. An enum number that this program
does not know is a violation with the path of its field: collected where a list is given, raised as UnknownValue where
none is. Times are Unix seconds in a field with `_s` behind the name; 0 is a time that was not said. A field mask is
its paths.
"""

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import fields
from enum import Enum
from functools import cache
from types import NoneType
from typing import Any, NamedTuple, TypeVar, cast, get_args, get_type_hints

from google.protobuf.message import Message

from retain.values import SpecViolation
from retain.values.faults import mismatch

V = TypeVar("V")
M = TypeVar("M", bound=Message)
_TIMESTAMP = "google.protobuf.Timestamp"
_FIELD_MASK = "google.protobuf.FieldMask"


class UnknownValue(ValueError):
    """A message holds enum numbers that this program does not know; `violations` says where and what was expected."""

    def __init__(self, violations: list[SpecViolation]) -> None:
        super().__init__("; ".join(f"{v.field}: {v.description}" for v in violations))
        self.violations = tuple(violations)


def to_value(message: Message, cls: type[V], faults: list[SpecViolation] | None = None, path: str = "") -> V:
    """The value that a message stands for. `path` is where the message lies in what came. Raises UnknownValue for an
    enum number that nobody knows, unless `faults` takes it: the value then holds the enum's zero. Raises TypeError
    where message and class have not the same fields."""
    found: list[SpecViolation] = [] if faults is None else faults
    value = _read(message, cls, found, path)
    if faults is None and found:
        raise UnknownValue(found)
    return value


def to_message(value: Any, kind: type[M]) -> M:
    """The message of a value. Raises TypeError where the two have not the same fields, or a field holds what its type
    on the wire does not take; ValueError for a number or time that does not fit."""
    message = kind()
    _write(message, value)
    return message


def enum_number(enum: Any, value: Enum) -> int:
    """Number on the wire of an enum's value (`enum`: its descriptor). Raises KeyError for one of another enum."""
    return _numbers(enum)[value.name]


def enum_value(number: int, cls: type[V], enum: Any) -> V | None:
    """The value of a number on the wire (`enum`: its descriptor), None for one that this program does not know."""
    return cast("V | None", _values(cast(Hashable, cls), enum).get(number))


class _Field(NamedTuple):
    """How one field goes over."""

    name: str
    attribute: str  # of the value
    optional: bool
    repeated: bool
    mapping: bool
    read: Callable[[Any, list[SpecViolation], str], Any] | None  # None: taken as it is
    write: Callable[[Any], Any] | None
    fill: Callable[[Any, Any], None] | None  # of a message that is no value of ours: puts what was said into it
    message: bool


def _read(message: Message, cls: type[V], faults: list[SpecViolation], path: str) -> V:
    values: dict[str, Any] = {}
    prefix = f"{path}." if path else ""
    for field in _fields(cast(Hashable, cls), message.DESCRIPTOR):
        item, read = getattr(message, field.name), field.read
        if field.mapping:
            values[field.attribute] = dict(item)
        elif field.repeated:
            values[field.attribute] = (
                tuple(item)
                if read is None
                else tuple([read(one, faults, f"{prefix}{field.name}[{i}]") for i, one in enumerate(item)])
            )
        elif field.optional and not message.HasField(field.name):
            values[field.attribute] = None
        else:
            values[field.attribute] = item if read is None else read(item, faults, prefix + field.name)
    return cls(**values)


def _write(message: Message, value: Any) -> None:
    for field in _fields(cast(Hashable, type(value)), message.DESCRIPTOR):
        item, write = getattr(value, field.attribute), field.write
        if item is None:
            if not field.optional:
                raise TypeError(f"{type(value).__name__}.{field.attribute}: {mismatch(None, 'a value')}")
        elif field.mapping:
            getattr(message, field.name).update(item)
        elif field.repeated:
            target = getattr(message, field.name)
            if field.message:
                for one in item:
                    _write(target.add(), one)
            else:
                target.extend(item if write is None else [write(one) for one in item])
        elif field.message:
            target = getattr(message, field.name)
            if field.fill is None:
                _write(target, item)
                target.SetInParent()
            elif item or field.optional:
                field.fill(target, item)
        else:
            setattr(message, field.name, item if write is None else write(item))


@cache
def _fields(cls: Any, descriptor: Any) -> tuple[_Field, ...]:
    hints = get_type_hints(cls)
    given = {field.name for field in fields(cls)}
    of_wire = {_attribute(field): field for field in descriptor.fields}
    if lacking := given ^ of_wire.keys():
        raise TypeError(f"{cls.__name__} and the message {descriptor.full_name} differ in {', '.join(sorted(lacking))}")
    return tuple(_field(field, attribute, hints[attribute]) for attribute, field in of_wire.items())


def _attribute(field: Any) -> str:
    return f"{field.name}_s" if _is_time(field) else str(field.name)


def _is_time(field: Any) -> bool:
    return _is_of(field, _TIMESTAMP)


def _is_of(field: Any, name: str) -> bool:
    return field.message_type is not None and field.message_type.full_name == name


def _field(field: Any, attribute: str, hint: Any) -> _Field:
    optional = NoneType in get_args(hint)
    if optional:
        (hint,) = (arg for arg in get_args(hint) if arg is not NoneType)
    if optional and not field.has_presence:
        raise TypeError(f"{field.full_name}: got a value that may be None; the wire cannot leave the field out")
    mapping = field.message_type is not None and field.message_type.GetOptions().map_entry
    inner = get_args(hint)[0] if field.is_repeated and not mapping else hint
    read: Callable[[Any, list[SpecViolation], str], Any] | None = None
    write: Callable[[Any], Any] | None = None
    fill: Callable[[Any, Any], None] | None = None
    if mapping:
        pass
    elif _is_time(field):
        read, fill = _seconds, _fill_time
    elif _is_of(field, _FIELD_MASK):
        read, fill = _paths, _fill_paths
    elif field.message_type is not None:
        read = lambda item, faults, path: _read(item, inner, faults, path)  # noqa: E731
    elif field.enum_type is not None:
        read, write = _enum_reader(inner, field.enum_type), lambda item: enum_number(field.enum_type, item)
    return _Field(
        name=field.name,
        attribute=attribute,
        optional=optional,
        repeated=field.is_repeated,
        mapping=mapping,
        read=read,
        write=write,
        fill=fill,
        message=field.message_type is not None,
    )


def _enum_reader(cls: Any, enum: Any) -> Callable[[Any, list[SpecViolation], str], Any]:
    def read(number: int, faults: list[SpecViolation], path: str) -> Any:
        values = _values(cls, enum)
        if number not in values:
            allowed = ", ".join(name for name in cls.__members__ if name != "UNSPECIFIED")
            faults.append(SpecViolation(field=path, description=mismatch(number, allowed)))
            return values[0]
        return values[number]

    return read


def _seconds(item: Any, faults: list[SpecViolation], path: str) -> float:
    return float(item.seconds + item.nanos / 1e9)


def _fill_time(target: Any, seconds: float) -> None:
    whole = math.floor(seconds)
    target.FromNanoseconds(whole * 10**9 + round((seconds - whole) * 1e9))


def _paths(item: Any, faults: list[SpecViolation], path: str) -> tuple[str, ...]:
    return tuple(item.paths)


def _fill_paths(target: Any, paths: tuple[str, ...]) -> None:
    target.paths.extend(paths)


@cache
def _values(cls: Any, enum: Any) -> Mapping[int, Any]:
    names = {number: name for name, number in _numbers(enum).items()}
    if lacking := set(names.values()) ^ set(cls.__members__):
        raise TypeError(f"{cls.__name__} and the enum {enum.full_name} differ in {', '.join(sorted(lacking))}")
    return {number: cls[name] for number, name in names.items()}


@cache
def _numbers(enum: Any) -> Mapping[str, int]:
    prefix = next(value.name for value in enum.values if value.number == 0).removesuffix("UNSPECIFIED")
    return {value.name.removeprefix(prefix): value.number for value in enum.values}
