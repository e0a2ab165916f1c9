"""Spec files: YAML (or JSON) to plain data, and `--set path=value` on top. No protobuf here; see `ui.spec.text`."""

import io
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from retain.values.faults import mismatch
from ui.client.errors import BadInput, Violation
from ui.spec.text import MAX_BYTES, MAX_DEPTH, parse_yaml

__all__ = [
    "apply_override",
    "find_local",
    "keys_of",
    "load_mapping",
    "load_spec",
    "local_sources",
    "parse_yaml",
    "set_field",
    "to_yaml",
]

STANDARD_INPUT = "-"
OPTION = "--set"
_SOURCE_ROLES = ("general", "domain", "chat")


def to_yaml(tree: Any) -> str:
    """YAML text of plain data, in block style."""
    writer: Any = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False
    stream = io.StringIO()
    writer.dump(tree, stream)
    return stream.getvalue()


def load_spec(path: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The spec of a file (`-`: standard input), with the overrides applied. Raises BadInput."""
    tree = load_mapping(path, "name, model, stages")
    for override in overrides:
        apply_override(tree, override)
    return tree


def load_mapping(path: str, fields: str) -> dict[str, Any]:
    """The mapping that a YAML or JSON file (`-`: standard input) holds; `fields` of it, as they would stand in a
    sentence. Raises BadInput."""
    tree = parse_yaml(_text_of(path), name=path)
    if not isinstance(tree, dict):
        raise BadInput([Violation(field=path, description=mismatch(type(tree).__name__, f"a mapping with {fields}"))])
    return tree


def _text_of(path: str) -> str:
    """The text of the file; of a longer one than a spec may be only so much that this shows."""
    try:
        if path == STANDARD_INPUT:
            raw = sys.stdin.buffer.read(MAX_BYTES + 1) if hasattr(sys.stdin, "buffer") else sys.stdin.read().encode()
        else:
            with open(path, "rb") as file:
                raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise BadInput(
                [Violation(field=path, description=f"got more than {MAX_BYTES:,} bytes; up to {MAX_BYTES:,}")]
            )
        return raw.decode("utf-8-sig")
    except (OSError, ValueError) as error:  # a name with a NUL is a ValueError, so is text that is not UTF-8
        raise BadInput([Violation(field="SPEC", description=f"{path} cannot be read: {error}")]) from error


def apply_override(tree: dict[str, Any], override: str) -> None:
    """`stages.1.learning_rate=1e-5` (or `stages[1]...`) changes the tree in place; the value is read as YAML.

    Raises BadInput.
    """
    path, given = override_of(override)
    keys = keys_of(path)
    if not keys:
        raise _no_override(override)
    set_field(tree, keys, given, where=OPTION)


def override_of(override: str) -> tuple[str, Any]:
    """Path and value of `path=value`; the value is read as YAML. Raises BadInput."""
    path, equals, value = override.partition("=")
    if not equals or not path.strip():
        raise _no_override(override)
    return path.strip(), parse_yaml(value, name=f"{OPTION} {path.strip()}")


def keys_of(path: str) -> list[str]:
    """The parts of a path of a field: `stages.1.learning_rate`, or `stages[1].learning_rate`."""
    return [key for key in re.split(r"[.\[\]]+", path.strip()) if key]


def set_field(tree: dict[str, Any], keys: Sequence[str], value: Any, *, where: str) -> None:
    """Gives the field at a path (see `keys_of`, at least one part) a value; mappings on the way are made. `where` asked
    for it: an option, or a place of a file. Raises BadInput."""
    if len(keys) > MAX_DEPTH:
        raise _bad_set(where, mismatch(f"a path of {len(keys):,} parts", f"up to {MAX_DEPTH}"))
    node: Any = tree
    for place, key in enumerate(keys):
        index = _index_of(node, keys, place, where)
        if place == len(keys) - 1:
            node[index] = value
            return
        if isinstance(node, dict) and node.get(key) is None:
            node[key] = {}
        node = node[index]


def _no_override(override: str) -> BadInput:
    return _bad_set(OPTION, mismatch(repr(override), "path=value, as in stages.1.learning_rate=1e-5"))


def _index_of(node: Any, keys: Sequence[str], place: int, where: str) -> str | int:
    """What the key at this place of a path means in the node before it: a field, or an entry of a list.

    Raises BadInput.
    """
    key, shown = keys[place], f"{where} {'.'.join(keys[: place + 1])}"
    if isinstance(node, dict):
        return key
    if not isinstance(node, list):
        raise _bad_set(shown, f"{'.'.join(keys[:place])} is {node!r}, which holds no fields")
    if not re.fullmatch("[0-9]{1,6}", key) or int(key) >= len(node):
        raise _bad_set(shown, f"got {key!r}; the list has {len(node)} entries, counted from 0")
    return int(key)


def _bad_set(field: str, description: str) -> BadInput:
    return BadInput([Violation(field=field, description=description)])


def local_sources(tree: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Places of the tree that name a local file or folder: (holder, key, path for people).

    A source is a URI; what has no scheme is a path of this machine.
    """
    for place, holder, keys in _source_places(tree):
        for key in keys:
            value = holder.get(key)
            if isinstance(value, str) and value and "://" not in value:
                yield holder, key, f"{place}.{key}"


def _source_places(tree: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], tuple[str, ...]]]:
    stages = tree.get("stages")
    for number, stage in enumerate(stages if isinstance(stages, list) else []):
        data = stage.get("data") if isinstance(stage, dict) else None
        if isinstance(data, dict):
            yield f"stages[{number}].data", data, _SOURCE_ROLES
    forgetting = tree.get("forgetting")
    retention = forgetting.get("retention") if isinstance(forgetting, dict) else None
    if isinstance(retention, dict):
        yield "forgetting.retention", retention, tuple(retention)
    model = tree.get("model")
    if isinstance(model, dict):
        yield "model", model, ("huggingface",)


def find_local(value: str, spec_path: str) -> Path | None:
    """The file or folder that a relative path means: from the current folder, else from the spec's own folder.

    Raises BadInput.
    """
    try:
        candidates = [Path(value).expanduser()]
        if spec_path != STANDARD_INPUT and not candidates[0].is_absolute():
            candidates.append(Path(spec_path).parent / value)
        return next((candidate.resolve() for candidate in candidates if candidate.exists()), None)
    except PermissionError as error:
        raise BadInput([Violation(field=value, description=f"{error.filename} may not be read")]) from error
    except (OSError, RuntimeError, ValueError):  # too long, a loop of links, an unknown ~user, a NUL: nothing is there
        return None
