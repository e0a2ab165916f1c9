"""Protobuf messages to frozen dataclasses of the same field names and back, for the spec and the shared values.

Enums lose their prefix (`STAGE_KIND_PRETRAIN` is `StageKind.PRETRAIN`). Fields with presence (optional, oneof) that are
not set become None; others become what the wire says.
"""

from collections.abc import Hashable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from types import UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from google.protobuf.message import Message

from services.common.errors import Violation

T = TypeVar("T")
_ZERO_IS_FIRST = ("SetUse",)  # enums whose zero stands for the first value: a set is a control set


def to_domain(message: Message, cls: type[T], faults: list[Violation] | None = None, path: str = "") -> T:
    """The dataclass that a message stands for. Enum numbers that nobody knows are added to `faults`."""
    found = faults if faults is not None else []
    values: dict[str, Any] = {}
    known = message.DESCRIPTOR.fields_by_name
    for name, optional, shape, inner in _shapes(cast(Hashable, cls)):
        field = known[name]
        if field.has_presence and not message.HasField(name) and (optional or field.message_type is None):
            if optional:
                values[name] = None
            continue
        value = getattr(message, name)
        here = f"{path}.{name}" if path else name
        if shape is Shape.TUPLE:
            item = _shape(inner)
            values[name] = tuple(_one(v, field, item, inner, found, f"{here}[{i}]") for i, v in enumerate(value))
        elif shape is Shape.MAPPING:
            values[name] = dict(value)
        else:
            values[name] = _one(value, field, shape, inner, found, here)
    return cls(**values)


def _one(value: Any, field: Any, shape: "Shape", hint: Any, faults: list[Violation], path: str) -> Any:
    if shape is Shape.MESSAGE:
        return to_domain(value, hint, faults, path)
    if shape is Shape.ENUM:
        name = _enum_names(field.enum_type).get(value)
        if name == "UNSPECIFIED" and name not in hint.__members__ and field.enum_type.name in _ZERO_IS_FIRST:
            return next(iter(hint))
        if name is None or name not in hint.__members__:
            allowed = ", ".join(member for member in hint.__members__ if member != "UNSPECIFIED")
            faults.append(Violation(field=path, description=f"came {name or value}; allowed is {allowed}"))
            return next(iter(hint))
        return hint[name]
    return value


class Shape(Enum):
    """What a field of a dataclass holds."""

    PLAIN = "PLAIN"
    ENUM = "ENUM"
    MESSAGE = "MESSAGE"
    TUPLE = "TUPLE"
    MAPPING = "MAPPING"


def _shape(hint: Any) -> Shape:
    origin = get_origin(hint)
    if origin is tuple:
        return Shape.TUPLE
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return Shape.MAPPING
    if is_dataclass(hint):
        return Shape.MESSAGE
    return Shape.ENUM if isinstance(hint, type) and issubclass(hint, Enum) else Shape.PLAIN


@cache
def _shapes(cls: Any) -> tuple[tuple[str, bool, Shape, Any], ...]:
    """Of each field: its name, whether it may be None, its shape, and the type of what it holds."""
    found = []
    hints = get_type_hints(cls)
    for field in fields(cls):
        optional, inner = _unwrap(hints[field.name])
        shape = _shape(inner)
        found.append((field.name, optional, shape, get_args(inner)[0] if shape is Shape.TUPLE else inner))
    return tuple(found)


def fill_message(message: Message, value: Any) -> Message:
    """Write a dataclass into a message; fields that the message does not have are passed over."""
    known = message.DESCRIPTOR.fields_by_name
    for name, _, _, _ in _shapes(cast(Hashable, type(value))):
        field = known.get(name)
        item = getattr(value, name)
        if field is None or item is None:
            continue
        if isinstance(item, Mapping):
            getattr(message, name).update(item)
        elif isinstance(item, tuple):
            target = getattr(message, name)
            for part in item:
                if is_dataclass(part):
                    fill_message(target.add(), part)
                else:
                    target.append(enum_number(field.enum_type, part) if isinstance(part, Enum) else part)
        elif is_dataclass(item):
            fill_message(getattr(message, name), item)
            getattr(message, name).SetInParent()
        elif isinstance(item, Enum):
            setattr(message, name, enum_number(field.enum_type, item))
        else:
            setattr(message, name, item)
    return message


def enum_number(enum: Any, value: Enum) -> int:
    """Number of a domain enum's value on the wire."""
    assert enum is not None, "only enum fields carry enums"
    return _enum_numbers(cast(Hashable, enum))[str(value.value)]


def enum_name(enum: Any, number: int) -> str | None:
    """Name without prefix of a wire enum's number (`enum`: its descriptor), or None for an unknown one."""
    return _enum_names(enum).get(number)


@cache
def _enum_names(enum: Any) -> dict[int, str]:
    prefix = _prefix(enum)
    return {value.number: value.name.removeprefix(prefix) for value in enum.values}


@cache
def _enum_numbers(enum: Any) -> dict[str, int]:
    return {name: number for number, name in _enum_names(enum).items()}


def _prefix(enum: Any) -> str:
    zero: str = next(value.name for value in enum.values if value.number == 0)
    return zero.removesuffix("UNSPECIFIED")


def _unwrap(hint: Any) -> tuple[bool, Any]:
    if get_origin(hint) in (Union, UnionType):
        return True, next(arg for arg in get_args(hint) if arg is not type(None))
    return False, hint
