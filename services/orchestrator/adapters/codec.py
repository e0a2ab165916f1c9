"""Frozen dataclasses to JSON and back, by their type hints: the form in which the database keeps the core's state.

Fields that hold their default are left out, which makes a run's row three times smaller. Names that are not known any
more are refused: a migration has to say what becomes of them. NaN and infinity are kept (JSON as Python writes it).
"""

import json
import types
from collections.abc import Callable, Hashable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from services.common.errors import Corrupt
from services.orchestrator.adapters.upcast import upcast

T = TypeVar("T")
Reader = Callable[[Any], Any]


def dumps(value: Any) -> str:
    """One line of JSON."""
    return json.dumps(to_plain(value), separators=(",", ":"))


def loads(cls: type[T], text: str) -> T:
    """The object that `dumps` wrote. Raises Corrupt for anything else."""
    try:
        read: T = reader(cast(Hashable, cls))(json.loads(text))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Corrupt(f"a stored {cls.__name__} cannot be read: {error!r}") from error
    return read


def to_plain(value: Any) -> Any:
    """Dataclasses as dictionaries, enums as their values, tuples as lists."""
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    plain = {}
    for name, default in _defaults(cast(Hashable, type(value))):
        item = getattr(value, name)
        if item is not default and item != default:
            plain[name] = to_plain(item)
    return plain


@cache
def _defaults(cls: Any) -> tuple[tuple[str, Any], ...]:
    found = []
    for field in fields(cls):
        default = field.default
        if default is MISSING and field.default_factory is not MISSING:
            default = field.default_factory()
        found.append((field.name, default))
    return tuple(found)


@cache
def reader(hint: Hashable) -> Reader:
    """The function that makes a value of this type from plain JSON."""
    kind: Any = hint
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        inner = next(arg for arg in args if arg is not type(None))
        read = reader(inner)
        return lambda plain: None if plain is None else read(plain)
    if origin is tuple:
        item = reader(args[0])
        return lambda plain: tuple([item(value) for value in plain])
    if origin is not None and issubclass(origin, Mapping):
        item = reader(args[1])
        return lambda plain: {key: item(value) for key, value in plain.items()}
    if is_dataclass(hint):
        return _dataclass_reader(hint)
    if hint is Any or hint in (str, bool):
        return lambda plain: plain
    return cast(Reader, kind)  # int, float and enums make themselves


def _dataclass_reader(cls: Any) -> Reader:
    readers: dict[str, Reader] = {}

    def read(plain: dict[str, Any]) -> Any:
        if not readers:
            # Late, so that a type may contain itself.
            readers.update({name: reader(hint) for name, hint in get_type_hints(cls).items()})
        return cls(**{name: readers[name](value) for name, value in upcast(cls.__name__, plain).items()})

    return read
