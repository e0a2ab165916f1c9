"""Rows of JSON: one object a line, or one array of objects, which is read element by element and never as a whole.

Everything that Python's parser raises for a line made to hurt it (a number of 5,000 digits, ten thousand brackets) is a
fault of that line. A name that stands twice in an object is one too: which of the values is meant cannot be known.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from model.data.readers.lines import lines_of
from model.data.readers.opened import Pulse, no_pulse, text_chunks
from model.errors import BadSource

MOST_ROW_CHARACTERS = 64 << 20
MOST_DEPTH = 64
OnFault = Callable[[BadSource], None]
Row = tuple[str, Any]
_BEGIN_CHARACTERS = 1 << 20
_BLANKS = re.compile(r"[ \t\n\r]*")


class _Twice(ValueError):
    """A name twice in one object."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Twice(next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1))
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_once)


def json_rows(path: Path, *, array: bool, on_fault: OnFault, pulse: Pulse = no_pulse) -> Iterator[Row]:
    """(place, row) of a file. `array`: it may hold one array instead of lines (`.json`). Blank lines are skipped.

    on_fault: called with the fault of each broken line; it may raise. Raises BadSource for a fault of the file.
    """
    if array and _first_character(path) == "[":
        yield from _elements(path, pulse)
        return
    too_long = 0
    for line in lines_of(path, longest=MOST_ROW_CHARACTERS, pulse=pulse, parts_matter=False):
        if not line.whole or line.number == too_long:
            if line.number != too_long:
                too_long = line.number
                on_fault(_too_long(f"{path}:{line.number}"))
            continue
        if line.text.isspace():  # no copy: a line may be long
            continue
        try:
            row = parse(line.text, f"{path}:{line.number}")
        except BadSource as fault:
            on_fault(fault)
            continue
        yield f"{path}:{line.number}", row


def parse(text: str, place: str) -> Any:
    """The value of a JSON text. Raises BadSource, whatever is wrong with it."""
    try:
        value, end = _DECODER.raw_decode(text, _skip_blanks(text, 0))
        if _skip_blanks(text, end) < len(text):
            raise json.JSONDecodeError("Extra data", text, end)
    except json.JSONDecodeError as error:
        got = f"a broken line ({error.msg} at column {error.colno}): {text.strip()[:60]!r}"
        raise BadSource(field=place, got=got, expected="one JSON object per line") from None
    except (ValueError, RecursionError) as error:
        raise _hurting(error, place) from None
    check_depth(value, text, place)
    return value


def check_depth(value: Any, text: str, place: str) -> None:
    """Raises BadSource for brackets nested more than MOST_DEPTH deep. Few texts have enough of them to be looked at."""
    if text.count("[") + text.count("{") <= MOST_DEPTH:
        return
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MOST_DEPTH):
        items = (holder.values() if isinstance(holder, dict) else holder for holder in level)
        level = [item for entries in items for item in entries if isinstance(item, dict | list)]
        if not level:
            return
    raise _too_deep(place)


def _hurting(error: Exception, place: str) -> BadSource:
    if isinstance(error, _Twice):
        return BadSource(place, f"the field {str(error)!r} twice in one object", "each field once")
    if isinstance(error, RecursionError):
        return _too_deep(place)
    digits = sys.get_int_max_str_digits()
    return BadSource(place, f"a number of more than {digits:,} digits", f"numbers of up to {digits:,} digits")


def _too_deep(place: str) -> BadSource:
    return BadSource(place, f"brackets nested more than {MOST_DEPTH} deep", f"up to {MOST_DEPTH} levels")


def _too_long(place: str) -> BadSource:
    size = f"{MOST_ROW_CHARACTERS >> 20} Mi characters"
    return BadSource(place, f"a row of more than {size}", f"rows of up to {size}, or the text as a .txt file")


def _skip_blanks(text: str, begin: int) -> int:
    found = _BLANKS.match(text, begin)
    return found.end() if found else begin


def _first_character(path: Path) -> str:
    for chunk in text_chunks(path):
        if chunk.strip():
            return chunk.lstrip()[0]
    return ""


def _elements(path: Path, pulse: Pulse) -> Iterator[Row]:
    """The elements of the array, each parsed as soon as it is there whole."""
    buffer = _Buffer(path, pulse)
    buffer.expect("[")
    index = 0
    while buffer.peek() != "]" or index:
        place = f"{path}[{index}]"
        yield place, buffer.value(place)
        index += 1
        if buffer.peek() == "]":
            break
        buffer.expect(",")
    buffer.expect("]")
    if buffer.peek():
        raise buffer.broken("something behind the array")


class _Buffer:
    """The part of an array that is being looked at."""

    def __init__(self, path: Path, pulse: Pulse) -> None:
        self._path, self._chunks = path, text_chunks(path, pulse)
        self._text, self._at, self._line = "", 0, 1
        self._ended = False

    def _more(self, least: int = 1) -> bool:
        """Reads at least so many characters more, and forgets those that were passed. False at the end."""
        self._line += self._text.count("\n", 0, self._at)
        parts, size = [self._text[self._at :]], 0
        while size < least and not self._ended:
            chunk = next(self._chunks, None)
            self._ended = chunk is None
            parts.append(chunk or "")
            size += len(chunk or "")
        self._text, self._at = "".join(parts), 0
        return size > 0

    def peek(self) -> str:
        """The next character that is no blank; nothing at the end."""
        while True:
            self._at = _skip_blanks(self._text, self._at)
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def expect(self, character: str) -> None:
        if self.peek() != character:
            raise self.broken(f"{self.peek()!r} where {character!r} was due" if self.peek() else "an array without end")
        self._at += 1

    def value(self, place: str) -> Any:
        """The next element. One that does not parse may be there in part only: it is tried again with twice as much."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
                if end < len(self._text) or not self._more():  # a number may continue in the next piece
                    break
            except json.JSONDecodeError as error:
                size = len(self._text) - self._at
                if size > MOST_ROW_CHARACTERS:
                    raise _too_long(place) from None
                if not self._more(max(size, _BEGIN_CHARACTERS)):
                    raise self.broken(error.msg, error.pos) from None
            except (ValueError, RecursionError) as error:
                raise _hurting(error, place) from None
        check_depth(value, self._text[self._at : end], place)
        self._at = end
        return value

    def broken(self, what: str, position: int | None = None) -> BadSource:
        line = self._line + self._text.count("\n", 0, self._at if position is None else position)
        return BadSource(f"{self._path}:{line}", f"broken JSON ({what})", "an array of objects")
