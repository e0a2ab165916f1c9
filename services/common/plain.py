"""Dataclasses as plain JSON and back, by their type hints: the one reader and writer of stored bodies and documents.

A body has every field by its name: enums as their values, tuples as lists. What is read is made by its type again, so
that a number that was kept as text ("nan", "inf") is a number.
"""

import types
from collections.abc import Callable, Hashable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")
Reader = Callable[[Any], Any]


class UnknownField(ValueError):
    """A field that this program does not have."""


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
    return {name: to_plain(getattr(value, name)) for name in _names(cast(Hashable, type(value)))}


def from_plain(cls: type[T], plain: Any) -> T:
    """The value of a body in which nothing but what may be None is missing. Raises UnknownField, KeyError for a missing
    field, and what making a number or an enum of something else raises (ValueError, TypeError, AttributeError)."""
    value: T = reader(cast(Hashable, cls), whole=True)(plain)
    return value


@cache
def _names(cls: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(cls))


@cache
def reader(hint: Hashable, *, whole: bool = False) -> Reader:
    """The function that makes a value of this type from plain JSON. With `whole` a field that is not there is a fault
    unless it may be None; else it has its default."""
    kind: Any = hint
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        inner = next(arg for arg in args if arg is not type(None))
        read = reader(inner, whole=whole)
        return lambda plain: None if plain is None else read(plain)
    if origin is tuple:
        item = reader(args[0], whole=whole)
        return lambda plain: tuple([item(value) for value in plain])
    if origin is not None and issubclass(origin, Mapping):
        item = reader(args[1], whole=whole)
        return lambda plain: {key: item(value) for key, value in plain.items()}
    if is_dataclass(hint):
        return _dataclass_reader(hint, whole)
    if hint is Any or hint in (str, bool):
        return lambda plain: plain
    return cast(Reader, kind)  # int, float and enums make themselves


def _dataclass_reader(cls: Any, whole: bool) -> Reader:
    readers: dict[str, Reader] = {}
    needed: set[str] = set()

    def read(plain: dict[str, Any]) -> Any:
        if not readers:
            # Late, so that a type may contain itself.
            hints = get_type_hints(cls)
            needed.update(name for name, hint in hints.items() if whole and type(None) not in get_args(hint))
            readers.update({name: reader(hint, whole=whole) for name, hint in hints.items()})
        if unknown := plain.keys() - readers.keys():
            raise UnknownField(f"{cls.__name__} has a field {min(unknown)!r} that this program does not know")
        if missing := needed - plain.keys():
            raise KeyError(f"{cls.__name__} has no {min(missing)}")
        return cls(**{name: readers[name](value) for name, value in plain.items()})

    return read
