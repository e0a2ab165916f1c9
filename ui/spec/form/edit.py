"""Changes to the text of a spec: one place of its tree gets another value, and the rest, comments too, stays.

ruamel.yaml's round-trip mode keeps comments and style. It is not trusted with the content: the new text is read again,
and where it does not say exactly what was meant (aliases, duplicates of its own making), the tree is written anew.
"""

import copy
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from ui.client.errors import BadInput
from ui.spec.file import parse_yaml, to_yaml

Path = tuple[str | int, ...]
_LONG_LINE = 4096  # nothing is folded


class _Removed:
    """No value: the field goes, and its default counts."""

    def __repr__(self) -> str:
        return "REMOVED"


REMOVED = _Removed()


@dataclass(frozen=True)
class Inserted:
    """A new entry of a list, before the one that stands at the path; at its length, after the last."""

    value: Any


def value_at(tree: Any, path: Path) -> Any:
    """What stands at a path; None where nothing does."""
    for key in path:
        if isinstance(tree, dict):
            tree = tree.get(key)
        elif isinstance(tree, list) and isinstance(key, int) and 0 <= key < len(tree):
            tree = tree[key]
        else:
            return None
    return tree


def changed(tree: Any, path: Path, value: Any) -> Any:
    """A copy of the tree with another value at the path; mappings on the way are made, and one that loses its last
    field goes. Raises TypeError where something else than a mapping or a list stands in the way."""
    made = _unshared(tree)
    _put(made, path, value)
    return made


def _unshared(tree: Any) -> Any:
    """A copy in which nothing stands twice: two places that were one by an alias change one by one."""
    if isinstance(tree, dict):
        return {key: _unshared(value) for key, value in tree.items()}
    return [_unshared(value) for value in tree] if isinstance(tree, list) else tree


def _put(node: Any, path: Path, value: Any) -> None:
    key: Any
    key, rest = path[0], path[1:]
    if not isinstance(node, dict | list):
        raise TypeError(f"{key!r} cannot be set: {node!r} holds no fields")
    if not rest:
        _put_here(node, key, value)
        return
    if isinstance(node, dict) and node.get(key) is None:
        if value is REMOVED:
            return
        node[key] = {}
    _put(node[key], rest, value)
    if value is REMOVED and node[key] == {}:
        del node[key]


def _put_here(node: Any, key: Any, value: Any) -> None:
    if isinstance(value, Inserted):
        node.insert(key, value.value)
    elif value is not REMOVED:
        node[key] = value
    elif isinstance(node, list) or key in node:
        del node[key]


def edited(text: str, changes: Sequence[tuple[Path, Any]]) -> str:
    """The text with these places changed (REMOVED takes one away). Reading it again gives exactly the changed tree;
    comments stay wherever the library can keep them. Raises BadInput for a text that cannot be read."""
    wanted = parse_yaml(text)
    for path, value in changes:
        wanted = changed(wanted if wanted is not None else {}, path, value)
    kept = _with_comments(text, changes)
    if kept is not None and _same(kept, wanted):
        return kept
    return to_yaml(wanted)


def _with_comments(text: str, changes: Sequence[tuple[Path, Any]]) -> str | None:
    editor: Any = YAML(typ="rt", pure=True)
    editor.width = _LONG_LINE
    editor.preserve_quotes = True
    editor.indent(mapping=2, sequence=4, offset=2)
    stream = io.StringIO()
    try:
        tree = editor.load(text)
        for path, value in changes:
            _put(tree, path, copy.deepcopy(value))
        editor.dump(tree, stream)
    except (YAMLError, TypeError, ValueError, KeyError, AttributeError, NotImplementedError):
        return None
    return stream.getvalue()


def _same(text: str, wanted: Any) -> bool:
    """Whether the text says exactly this: also 1 is not 1.0 and not True."""
    try:
        return _exactly(parse_yaml(text), wanted)
    except BadInput:
        return False


def _exactly(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(_exactly(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(_exactly(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b) or (a != a and b != b)
