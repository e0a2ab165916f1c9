"""What differs between specifications."""

from collections.abc import Mapping, Sequence
from typing import Any

ABSENT = "-"


def flat(tree: Any, path: str = "") -> dict[str, str]:
    """Every value of a specification by its path, as in `stages.1.learning_rate`.
    A list of plain values is one value."""
    if isinstance(tree, Mapping):
        found: dict[str, str] = {}
        for key, value in tree.items():
            found.update(flat(value, f"{path}.{key}" if path else str(key)))
        return found
    if isinstance(tree, Sequence) and not isinstance(tree, str) and any(isinstance(one, Mapping) for one in tree):
        found = {}
        for number, value in enumerate(tree):
            found.update(flat(value, f"{path}.{number}" if path else str(number)))
        return found
    return {path: str(tree)}


def differing(specs: Sequence[Mapping[str, Any]]) -> list[tuple[str, tuple[str, ...]]]:
    """The paths that are not the same in all of them, in the order of the first that has each, with every value."""
    every = [flat(spec) for spec in specs]
    paths = dict.fromkeys(path for values in every for path in values)
    rows = [(path, tuple(values.get(path, ABSENT) for values in every)) for path in paths]
    return [row for row in rows if len(set(row[1])) > 1]
