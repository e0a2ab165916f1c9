"""JSON schema of the spec, made from the protobuf descriptor, for editors that complete and check YAML."""

from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from ui.client.convert import enum_prefix, is_map
from ui.client.spec import FLOATS, INTEGERS, SPEC, real_oneofs, short_names


def spec_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a pipeline spec; messages become `$defs` by their names."""
    definitions: dict[str, Any] = {}
    reference = _reference(SPEC, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Retain pipeline spec",
        **reference,
        "$defs": dict(sorted(definitions.items())),
    }


def _reference(message: Any, definitions: dict[str, Any]) -> dict[str, str]:
    if message.name not in definitions:
        definitions[message.name] = {}  # holds the place, so that a message that contains itself ends
        schema: dict[str, Any] = {
            "type": "object",
            "additionalProperties": False,
            "properties": {field.name: _field(field, definitions) for field in message.fields},
        }
        choices = [
            {"type": "object", "not": {"required": [a, b]}}
            for _, names in real_oneofs(message)
            for a, b in _pairs(names)
        ]
        if choices:
            schema["allOf"] = choices
        definitions[message.name] = schema
    return {"$ref": f"#/$defs/{message.name}"}


def _pairs(names: list[str]) -> list[tuple[str, str]]:
    return [(a, b) for place, a in enumerate(names) for b in names[place + 1 :]]


def _field(field: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if is_map(field):
        return {
            "type": "object",
            "additionalProperties": _single(field.message_type.fields_by_name["value"], definitions),
        }
    if field.is_repeated:
        return {"type": "array", "items": _single(field, definitions)}
    return _single(field, definitions)


def _single(field: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if field.message_type is not None:
        return dict(_reference(field.message_type, definitions))
    if field.enum_type is not None:
        names = short_names(field.enum_type)
        return {"enum": names + [enum_prefix(field.enum_type) + name for name in names]}
    if field.type in INTEGERS:
        low, high = INTEGERS[field.type]
        return {"type": "integer", "minimum": low, "maximum": high}
    if field.type in FLOATS:
        return {"type": "number"}
    return {"type": "boolean"} if field.type == FieldDescriptor.TYPE_BOOL else {"type": "string"}
