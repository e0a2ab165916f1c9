"""Text of a spec (YAML, or JSON) to plain data, within bounds, so that no text however made can hang or flood a reader.

ruamel.yaml in its YAML 1.2 mode: `3e-4` is a number, `no` is text, and a key that stands twice is refused. Before
anything is built the events of the text are counted: an alias stands for as many nodes as its anchor holds, so ten
lines that would unfold into a thousand million nodes are refused on their tenth line.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, ScalarEvent

from retain.values.faults import mismatch
from ui.client.errors import BadInput, Violation

MAX_BYTES = 1 << 20  # the templates have about 3,000
MAX_DEPTH = 32
MAX_NODES = 20_000  # with every alias unfolded
MAX_SCALAR_CHARACTERS = 16_384
MAX_DIGITS = 400  # more than any double has
_LONG_NUMBER = re.compile(rf"[-+]?[0-9_]{{{MAX_DIGITS + 1},}}")
_SURROGATE = re.compile("[\ud800-\udfff]")


def parse_yaml(text: str, *, name: str = "spec") -> Any:
    """Plain data of a YAML or JSON text. Raises BadInput; faults carry line and column."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise _bad(name, mismatch(f"{size:,} bytes", f"up to {MAX_BYTES:,}"))
    if _SURROGATE.search(text):
        raise _bad(name, mismatch("a half of a surrogate pair", "valid Unicode"))
    tree = _json(text, name) if text.lstrip().startswith(("{", "[")) else None
    return _plain(_yaml(text, name), name) if tree is None else tree


def _json(text: str, name: str) -> Any:
    """Plain data of a JSON text, or None for one that is not JSON (it may be YAML in flow style)."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
            raise _bad(name, mismatch(f"{twice!r} twice in one object", "each key once"))
        return found

    if max(text.count("{"), text.count("[")) > MAX_NODES:
        raise _bad(name, mismatch(f"more than {MAX_NODES:,} brackets", f"up to {MAX_NODES:,} nodes"))
    try:
        tree = json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError:
        return None
    except (ValueError, RecursionError) as error:
        if isinstance(error, RecursionError):
            raise _too_deep(name) from None
        raise _bad(name, mismatch("a number of too many digits", f"up to {MAX_DIGITS}")) from None
    return _plain(tree, name)


def _yaml(text: str, name: str) -> Any:
    try:
        _check_events(text, name)
        return YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise _bad(place, (error.problem or str(error)).strip()) from error
    except YAMLError as error:
        raise _bad(name, next(iter(str(error).splitlines()), type(error).__name__)) from error
    except (ValueError, OverflowError, RecursionError, TypeError, AttributeError, KeyError) as error:
        # What the library's constructors raise for dates, numbers and tags that are none.
        raise _bad(name, f"got what YAML cannot read ({type(error).__name__}: {error})") from error


def _check_events(text: str, name: str) -> None:
    """Raises BadInput where the text passes a bound; nothing is built."""
    open_nodes: list[tuple[str | None, int]] = []  # (anchor, nodes before it) of every collection that is open
    sizes: dict[str, int] = {}
    nodes = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        mark = event.start_mark
        place = f"{name}:{mark.line + 1}:{mark.column + 1}"
        if isinstance(event, AliasEvent):
            if event.anchor in (anchor for anchor, _ in open_nodes):
                raise _bad(place, f"got *{event.anchor}, which holds itself; an alias of something before it")
            nodes += sizes.get(event.anchor, 1)
        elif isinstance(event, ScalarEvent):
            nodes += 1
            if event.anchor:
                sizes[event.anchor] = 1
            if len(event.value) > MAX_SCALAR_CHARACTERS:
                came = f"{len(event.value):,} characters, which begin {event.value[:40]!r}"
                raise _bad(place, mismatch(came, f"up to {MAX_SCALAR_CHARACTERS:,}"))
            if event.style is None and _LONG_NUMBER.fullmatch(event.value):
                raise _bad(place, mismatch(f"a number of {len(event.value):,} digits", f"up to {MAX_DIGITS} digits"))
        elif isinstance(event, CollectionStartEvent):
            open_nodes.append((event.anchor, nodes))
            nodes += 1
            if len(open_nodes) > MAX_DEPTH:
                raise _too_deep(place)
        elif isinstance(event, CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor:
                sizes[anchor] = nodes - before
        if nodes > MAX_NODES:
            raise _bad(place, f"got more than {MAX_NODES:,} nodes with aliases unfolded; up to {MAX_NODES:,}")


def _plain(tree: Any, name: str) -> Any:
    """The tree, if every value in it is one that JSON has. Raises BadInput with the path of the first that is not."""
    for nodes, (path, value, depth) in enumerate(_walk(tree), start=1):
        if depth > MAX_DEPTH:
            raise _too_deep(name)
        if nodes > MAX_NODES:
            raise _bad(name, mismatch(f"more than {MAX_NODES:,} nodes", f"up to {MAX_NODES:,}"))
        place = f"{name}: {path}" if path else name
        if isinstance(value, str):
            if len(value) > MAX_SCALAR_CHARACTERS:
                raise _bad(place, mismatch(f"{len(value):,} characters", f"up to {MAX_SCALAR_CHARACTERS:,}"))
            if _SURROGATE.search(value):
                raise _bad(place, mismatch("a half of a surrogate pair", "valid Unicode"))
        elif isinstance(value, int):
            if value.bit_length() > 4 * MAX_DIGITS:
                raise _bad(place, mismatch("a number of too many digits", f"up to {MAX_DIGITS}"))
        elif not isinstance(value, float | dict | list | type(None)):
            raise _bad(place, f"got {value!r}, a {type(value).__name__}; text, numbers, true, false, lists, mappings")
    return tree


def _walk(tree: Any) -> Iterator[tuple[str, Any, int]]:
    """(path, value, depth) of every value and key, without recursion."""
    waiting: list[tuple[str, Any, int]] = [("", tree, 0)]
    while waiting:
        path, value, depth = waiting.pop()
        yield path, value, depth
        if isinstance(value, dict):
            for key, entry in value.items():
                yield f"{path} key", key, depth
                shown = str(key)[:60] if isinstance(key, str | int) else "?"
                waiting.append((f"{path}.{shown}" if path else shown, entry, depth + 1))
        elif isinstance(value, list):
            waiting += [(f"{path}[{number}]", entry, depth + 1) for number, entry in enumerate(value)]


def _too_deep(place: str) -> BadInput:
    return _bad(place, mismatch(f"collections nested more than {MAX_DEPTH} deep", f"up to {MAX_DEPTH} levels"))


def _bad(place: str, description: str) -> BadInput:
    return BadInput([Violation(field=place, description=description)])
