"""Protobuf messages as the values of `views` and as JSON, by reflection: no field is named here."""

import re
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
