"""Frozen dataclasses to JSON and back, by their type hints: the form in which the database keeps the core's state.

Every body carries its version (services/common/versions.py) and is written whole, also what holds its default: a
default that changes in the program must not change a run that is stored. A field that is added later needs a default,
which stands for the bodies from before. Everything else (a field that goes, gets another name or another meaning, and a
default of such an added field that changes) takes a new version and an upcaster in adapters/upcast.py, and bodies of
every version are kept for the tests (stored_bodies). NaN and infinity are kept (JSON as Python writes it).
"""

import json
from collections.abc import Hashable
from functools import cache
from typing import Any, TypeVar, cast

from services.common.errors import Corrupt
from services.common.plain import UnknownField, reader, to_plain
from services.common.versions import Versions, WrittenByNewer
from services.orchestrator.adapters.upcast import CURRENT, upcasters

T = TypeVar("T")


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


@cache
def _versions(kind: str) -> Versions:
    """Versions of the bodies of a kind (PipelineRun, Decision, Checkpoint)."""
    return Versions(current=CURRENT, upcasters=upcasters(kind))
