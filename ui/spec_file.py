"""Spec files: YAML (or JSON, its subset) to plain data, and `--set path=value` on top. No protobuf here.

ruamel.yaml in its YAML 1.2 mode: `3e-4` is a number, `no` is text, and a key that stands twice is refused.
"""

import io
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from ui.client.errors import BadInput, Violation

STANDARD_INPUT = "-"
_SOURCE_ROLES = ("general", "domain", "chat")


def parse_yaml(text: str, *, name: str = "spec") -> Any:
    """Plain data of a YAML text. Faults carry line and column."""
    try:
        return YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise BadInput([Violation(field=place, description=(error.problem or str(error)).strip())]) from error
    except YAMLError as error:
        raise BadInput([Violation(field=name, description=str(error).splitlines()[0])]) from error


def to_yaml(tree: Any) -> str:
    """YAML text of plain data, in block style."""
    writer: Any = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False
    stream = io.StringIO()
    writer.dump(tree, stream)
    return stream.getvalue()


def load_spec(path: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The spec of a file (`-`: standard input), with the overrides applied."""
    if path == STANDARD_INPUT:
        text = sys.stdin.read()
    else:
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput([Violation(field="SPEC", description=f"{path} cannot be read: {error}")]) from error
    tree = parse_yaml(text, name=path)
    if not isinstance(tree, dict):
        raise BadInput(
            [
                Violation(
                    field=path, description=f"came {type(tree).__name__}; a mapping with name, model, stages is allowed"
                )
            ]
        )
    for override in overrides:
        apply_override(tree, override)
    return tree


def apply_override(tree: dict[str, Any], override: str) -> None:
    """`stages.1.learning_rate=1e-5` (or `stages[1]...`) changes the tree in place; the value is read as YAML."""
    path, equals, value = override.partition("=")
    keys = [key for key in re.split(r"[.\[\]]+", path.strip()) if key]
    if not equals or not keys:
        raise BadInput(
            [
                Violation(
                    field="--set",
                    description=f"came {override!r}; path=value is allowed, as in stages.1.learning_rate=1e-5",
                )
            ]
        )
    node: Any = tree
    for place, key in enumerate(keys):
        shown = ".".join(keys[: place + 1])
        last = place == len(keys) - 1
        if isinstance(node, list):
            if not key.isdigit() or int(key) >= len(node):
                raise BadInput(
                    [
                        Violation(
                            field=f"--set {shown}",
                            description=f"came {key!r}; the list has {len(node)} entries, counted from 0",
                        )
                    ]
                )
            index: Any = int(key)
        elif isinstance(node, dict):
            index = key
            if not last and node.get(key) is None:
                node[key] = {}
        else:
            raise BadInput(
                [
                    Violation(
                        field=f"--set {shown}",
                        description=f"{'.'.join(keys[:place])} is {node!r}, which holds no fields",
                    )
                ]
            )
        if last:
            node[index] = parse_yaml(value, name=f"--set {shown}")
        else:
            node = node[index]


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
    """The file or folder that a relative path means: from the current folder, else from the spec's own folder."""
    candidates = [Path(value).expanduser()]
    if spec_path != STANDARD_INPUT and not candidates[0].is_absolute():
        candidates.append(Path(spec_path).parent / value)
    return next((candidate.resolve() for candidate in candidates if candidate.exists()), None)
