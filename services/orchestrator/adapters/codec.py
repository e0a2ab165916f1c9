"""Frozen dataclasses to JSON and back, by their type hints: the form in which the database keeps the core's state.

Every body carries its version (services/common/versions.py) and is written whole, also what holds its default: a
default that changes in the program must not change a run that is stored. A field that is added later needs a default,
which stands for the bodies from before. Everything else (a field that goes, gets another name or another meaning, and a
default of such an added field that changes) takes a new version and an upcaster in adapters/upcast.py, and bodies of
every version are kept for the tests (stored_bodies). NaN and infinity are kept (JSON as Python writes it).
"""

import json
import types
from collections.abc import Callable, Hashable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from services.common.errors import Corrupt
from services.common.versions import Versions, WrittenByNewer
from services.orchestrator.adapters.upcast import CURRENT, upcasters

T = TypeVar("T")
Reader = Callable[[Any], Any]


class UnknownField(ValueError):
    """A field that this program does not have."""


def dumps(value: Any) -> str:
    """One line of JSON."""
    return json.dumps(_versions(type(value).__name__).stamp(to_plain(value)), separators=(",", ":"))


def loads(cls: type[T], text: str) -> T:
    """The object that `dumps` wrote, now or in an earlier version. Raises Corrupt for anything else, and its kind
    WrittenByNewer for what a newer program wrote."""
    try:
        plain = _versions(cls.__name__).read(json.loads(text))
        read: T = reader(cast(Hashable, cls))(plain)
    except UnknownField as error:
        raise WrittenByNewer(f"a stored {cls.__name__} cannot be read: {error}") from error
    except Corrupt as error:
        raise type(error)(f"a stored {cls.__name__} cannot be read: {error.message}", reason=error.reason) from error
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise Corrupt(f"a stored {cls.__name__} cannot be read: {error!r}", reason="BAD_BODY") from error
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
    return {name: to_plain(getattr(value, name)) for name in _names(cast(Hashable, type(value)))}


@cache
def _names(cls: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(cls))


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
        if unknown := plain.keys() - readers.keys():
            raise UnknownField(f"{cls.__name__} has a field {min(unknown)!r} that this program does not know")
        return cls(**{name: readers[name](value) for name, value in plain.items()})

    return read


@cache
def _versions(kind: str) -> Versions:
    """Versions of the bodies of a kind (RunState, Decision, Checkpoint)."""
    return Versions(current=CURRENT, upcasters=upcasters(kind))
