"""Protobuf messages to plain data and back, by reflection: no field is named here."""

import dataclasses
import functools
import re
import types
import typing
from datetime import UTC
from typing import Any, TypeVar, cast

from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

View = TypeVar("View")


def json_mapping(message: Message) -> dict[str, Any]:
    """The message in protobuf's JSON mapping, under the field names of the .proto files, which a spec uses too."""
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def enum_prefix(enum: Any) -> str:
    """`STAGE_KIND_` of StageKind: what every value's name begins with."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", enum.name).upper() + "_"


def short_enum(enum: Any, number: int) -> str:
    """The value's name without its prefix; UNSPECIFIED is the empty string, an unknown number its digits."""
    value = enum.values_by_number.get(number)
    if value is None:
        return str(number)
    name = value.name.removeprefix(enum_prefix(enum))
    return "" if name == "UNSPECIFIED" else name


def is_map(field: Any) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def to_view(view: type[View], message: Message) -> View:
    """A dataclass of `views` filled from the fields of the same names. A field `resource` gets the JSON mapping."""
    values = {}
    for name, hint in _hints(cast(Any, view)).items():
        values[name] = json_mapping(message) if name == "resource" else _value(message, name, hint)
    return view(**values)


@functools.cache
def _hints(view: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(view)
    return {field.name: hints[field.name] for field in dataclasses.fields(view)}


def _value(message: Message, name: str, hint: Any) -> Any:
    field = message.DESCRIPTOR.fields_by_name[name]
    value = getattr(message, name)
    if is_map(field):
        return dict(value)
    if field.is_repeated:
        return tuple(_single(field, item, typing.get_args(hint)[0]) for item in value)
    if field.has_presence and not message.HasField(name) and types.NoneType in typing.get_args(hint):
        return None
    return _single(field, value, hint)


def _single(field: Any, value: Any, hint: Any) -> Any:
    if isinstance(value, Timestamp):
        return value.ToDatetime(tzinfo=UTC)
    if field.message_type is not None:
        view = next((kind for kind in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(kind)), None)
        return to_view(typing.cast(type, view), value)
    if field.enum_type is not None:
        return short_enum(field.enum_type, value)
    return value
