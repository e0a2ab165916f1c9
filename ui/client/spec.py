"""The spec as people write it (YAML read into plain data) to the PipelineSpec message, by walking its descriptor.

Protobuf's JSON mapping stops at the first fault and names no path. This walk finds every fault, names each by its path
(`stages[1].learning_rat`), and takes enum values without their prefix (`PRETRAIN`).
"""

import numbers
import sys
from collections.abc import Iterator
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor

from retain.types.v1 import spec_pb2
from retain.values.faults import mismatch
from ui.client.convert import enum_prefix, is_map
from ui.client.errors import Violation, shortened, within_limit

SPEC = spec_pb2.PipelineSpec.DESCRIPTOR
INTEGERS = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
}
FLOATS = (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT)


def to_message(tree: Any) -> tuple[spec_pb2.PipelineSpec, list[Violation]]:
    """The message of what could be read, and a violation for each part that could not."""
    faults: list[Violation] = []
    mapping = _message(SPEC, tree, "", faults)
    return json_format.ParseDict(mapping, spec_pb2.PipelineSpec()), list(within_limit(faults))


def short_names(enum: Any) -> list[str]:
    """The values that may be written, without prefix and without UNSPECIFIED."""
    return [value.name.removeprefix(enum_prefix(enum)) for value in enum.values if value.number != 0]


def real_oneofs(message: Any) -> Iterator[tuple[str, list[str]]]:
    """Groups of fields of which one may be set (proto3's `optional` is a group of one, and no choice)."""
    for group in message.oneofs:
        names = [field.name for field in group.fields]
        if len(names) > 1:
            yield group.name, names


def _message(descriptor: Any, tree: Any, path: str, faults: list[Violation]) -> dict[str, Any]:
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        faults.append(_fault(path or "(spec)", tree, f"a mapping of {', '.join(descriptor.fields_by_name)}"))
        return {}
    known = {key: value for key, value in tree.items() if key in descriptor.fields_by_name}
    for key in tree:
        if key not in known:
            faults.append(
                Violation(
                    field=_join(path, key),
                    description=mismatch("an unknown field", ", ".join(descriptor.fields_by_name)),
                )
            )
    for _, names in real_oneofs(descriptor):
        given = [name for name in names if known.get(name) is not None]
        if len(given) > 1:
            faults.append(
                Violation(
                    field=path or "(spec)",
                    description=mismatch(" and ".join(given), f"exactly one of {', '.join(names)}"),
                )
            )
            known = {key: value for key, value in known.items() if key not in given[1:]}
    mapping = {}
    for key, value in known.items():
        if value is not None:
            mapping[key] = _field(descriptor.fields_by_name[key], value, _join(path, key), faults)
    return {key: value for key, value in mapping.items() if value is not None}


def _field(field: Any, value: Any, path: str, faults: list[Violation]) -> Any:
    if is_map(field):
        if not isinstance(value, dict):
            faults.append(_fault(path, value, "a mapping of names to values"))
            return None
        item = field.message_type.fields_by_name["value"]
        items = {str(key): _single(item, entry, _join(path, key), faults) for key, entry in value.items()}
        return {key: entry for key, entry in items.items() if entry is not None}
    if field.is_repeated:
        if not isinstance(value, list):
            faults.append(_fault(path, value, "a list"))
            return None
        entries = [_single(field, entry, f"{path}[{number}]", faults) for number, entry in enumerate(value)]
        return [entry for entry in entries if entry is not None]
    return _single(field, value, path, faults)


def _single(field: Any, value: Any, path: str, faults: list[Violation]) -> Any:
    """The value in the JSON mapping, or None with a fault noted."""
    if field.message_type is not None:
        return _message(field.message_type, value, path, faults)
    if field.enum_type is not None:
        known = short_names(field.enum_type)
        name = value.removeprefix(enum_prefix(field.enum_type)) if isinstance(value, str) else value
        if name in known:
            return enum_prefix(field.enum_type) + name
        faults.append(_fault(path, value, f"one of {', '.join(known)}"))
    elif field.type == FieldDescriptor.TYPE_BOOL:
        if isinstance(value, bool):
            return value
        faults.append(_fault(path, value, "true or false"))
    elif field.type == FieldDescriptor.TYPE_STRING:
        if isinstance(value, str):
            return value
        faults.append(_fault(path, value, "text"))
    elif field.type in INTEGERS:
        low, high = INTEGERS[field.type]
        if _is_number(value) and low <= value <= high and value == int(value):  # NaN and infinity fail the bounds
            return int(value)
        faults.append(_fault(path, value, f"a whole number from {low} to {high}"))
    elif field.type in FLOATS:
        if _is_number(value) and -sys.float_info.max <= value <= sys.float_info.max:  # NaN fails it too
            return float(value)
        faults.append(_fault(path, value, "a finite number"))
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def _fault(path: str, got: Any, expected: str) -> Violation:
    return Violation(field=path, description=mismatch(shortened(repr(got), 200), expected))
