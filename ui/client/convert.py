"""Protobuf messages as the values of `views` and as JSON, by reflection: no field is named here."""

import re
from collections.abc import Sequence
from typing import Any, TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message

from retain.mapper import to_value

View = TypeVar("View")


def json_mapping(message: Message) -> dict[str, Any]:
    """The message in protobuf's JSON mapping, under the field names of the .proto files, which a spec uses too."""
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def stated(message: Message) -> dict[str, Any]:
    """What a message states, as a person would write it: no field without a value, and whole numbers as numbers."""
    return {field.name: _plain(field, value) for field, value in message.ListFields()}


def _plain(field: Any, value: Any) -> Any:
    if is_map(field):
        return {key: value[key] for key in sorted(value)}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain_one(field, one) for one in value]
    return _plain_one(field, value)


def _plain_one(field: Any, value: Any) -> Any:
    if field.message_type is not None:
        return stated(value)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)  # a newer server may know more
        return known.name.removeprefix(enum_prefix(field.enum_type)) if known else value
    return value


def enum_prefix(enum: Any) -> str:
    """`STAGE_KIND_` of StageKind: what every value's name begins with."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", enum.name).upper() + "_"


def is_map(field: Any) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def to_view(view: type[View], message: Message) -> View:
    """A message as one of the dataclasses of `views`. A number of an enum that a newer server knows is UNSPECIFIED."""
    value = to_value(message, view, [])
    vars(value)["_told"] = message  # for `resource`: beside the fields, since it is no part of what the value says
    return value
