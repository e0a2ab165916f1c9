"""What earlier versions stored, in the form of this one. Each entry says what becomes of a field that is not known any
more; a run that was stored before goes on as if it had been stored now."""

from collections.abc import Callable, Mapping
from typing import Any

Plain = dict[str, Any]


def _job(plain: Plain) -> Plain:
    """Deadlines were points in Unix time; now they are lengths, counted from when they are first seen. One that was
    running is over: a group that was told to leave before a new version was installed has had its time."""
    if "stop_at_s" not in plain:
        return plain
    rest = {name: value for name, value in plain.items() if name != "stop_at_s"}
    return rest if plain["stop_at_s"] is None else {**rest, "stop_after_s": 0.0}


UPCASTS: Mapping[str, Callable[[Plain], Plain]] = {"Job": _job}


def upcast(name: str, plain: Plain) -> Plain:
    """The stored fields of a dataclass with this name, as this version names them."""
    change = UPCASTS.get(name)
    return plain if change is None else change(plain)
