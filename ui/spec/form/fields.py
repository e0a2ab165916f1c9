"""One field of a form: where it stands in the tree, and the value of its widget from the tree and back.

A widget shows a `Shown` value; what a widget of the field's kind cannot show (text where a number belongs, a number
that no browser holds) is `Odd`, is shown as it stands, and can be changed in the text alone. `None` is an empty widget:
the field is left out and its default counts. Writing back what was read changes nothing.
"""

import math
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ui.spec.file import keys_of
from ui.spec.form.edit import REMOVED, Path, value_at

LARGEST_WHOLE = 2**53 - 1  # a browser's numbers are doubles


class Kind(StrEnum):
    """What a field holds, and so which widget it has."""

    TEXT = "TEXT"
    WHOLE = "WHOLE"
    NUMBER = "NUMBER"
    CHOICE = "CHOICE"  # one of `options`
    SWITCH = "SWITCH"  # true or false
    MANY = "MANY"  # several texts, of `options` or others
    RANGE = "RANGE"  # lowest and highest, between the two `ends`


@dataclass(frozen=True, kw_only=True)
class Field:
    """path: keys in the tree. default: what counts when it is left out, for people. prefix: of an enum's long names."""

    path: Path
    label: str
    kind: Kind
    help: str
    default: str = ""
    options: tuple[str, ...] = ()
    ends: tuple[float, float] = (0.0, 1.0)
    prefix: str = ""

    @property
    def name(self) -> str:
        """As faults name it: stages[1].data.general_share."""
        said = ""
        for key in self.path:
            said += f"[{key}]" if isinstance(key, int) else f".{key}" if said else key
        return said


@dataclass(frozen=True)
class Shown:
    """The value of the field's widget; None is empty."""

    value: Any


@dataclass(frozen=True)
class Odd:
    """What stands there, which the widget cannot show."""

    value: Any


def read(field: Field, tree: Any) -> Shown | Odd:
    """The value of the field's widget, from the tree."""
    raw = value_at(tree, field.path)
    if raw is None:
        return Shown(None)
    match field.kind:
        case Kind.TEXT:
            fits, value = isinstance(raw, str), raw
        case Kind.CHOICE:
            value = raw.removeprefix(field.prefix) if isinstance(raw, str) else raw
            fits = value in field.options
        case Kind.SWITCH:
            fits, value = isinstance(raw, bool), raw
        case Kind.MANY:
            fits = isinstance(raw, list) and all(isinstance(one, str) for one in raw) and len(set(raw)) == len(raw)
            value = raw
        case Kind.RANGE:
            low, high = field.ends
            fits = isinstance(raw, list) and len(raw) == 2 and all(map(_is_number, raw))
            fits = fits and low <= raw[0] <= raw[1] <= high
            value = tuple(float(one) for one in raw) if fits else raw
        case Kind.WHOLE:
            fits = _is_number(raw) and raw == int(raw) and abs(raw) <= LARGEST_WHOLE
            value = int(raw) if fits else raw
        case Kind.NUMBER:
            fits = _is_number(raw) and abs(raw) <= 1e300
            value = float(raw) if fits else raw
    return Shown(value) if fits else Odd(raw)


def write(field: Field, value: Any, tree: Any) -> list[tuple[Path, Any]]:
    """What to change in the tree so that the field's widget shows the value; nothing where it does already."""
    if read(field, tree) == Shown(value):
        return []
    if value is None or value in ("", [], ()):
        return [(field.path, REMOVED)] if value_at(tree, field.path) is not None else []
    if field.kind is Kind.RANGE:
        value = [int(one) if one == int(one) else one for one in value]
    return [(field.path, value)]


def faults_at(field: Field, faults: list[tuple[str, str]]) -> list[str]:
    """The descriptions of the faults that belong to this field: those of its path, and of what lies below it."""
    own = [str(key) for key in field.path]
    return [said for place, said in faults if keys_of(place)[: len(own)] == own]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def one_line(text: str) -> bool:
    """Whether a text input can hold it as it is."""
    return re.search(r"[\x00-\x1f\x7f\u2028\u2029]", text) is None
