"""Rows of .csv and .tsv: the first line names the columns; comma, semicolon, tab or bar between them.

Fields in quotes may hold delimiters, quotes (doubled) and line ends. An empty field is no value, as null is in JSON.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from model.data.readers.json_rows import MOST_ROW_CHARACTERS, OnFault, Row
from model.data.readers.lines import lines_of
from model.data.readers.opened import Pulse, no_pulse
from model.errors import BadSource

_DELIMITERS = ",;\t|"
_MOST_COLUMNS = 10_000


def csv_rows(path: Path, *, on_fault: OnFault, pulse: Pulse = no_pulse) -> Iterator[Row]:
    """(place, row) of a file; a row is a dict of texts and None, its place the line on which it begins.

    on_fault: called with the fault of a row of another length than the header; it may raise. Raises BadSource for a
    header without names, and for quotes that do not end.
    """
    lines = (line.text for line in lines_of(path, longest=MOST_ROW_CHARACTERS, pulse=pulse))
    header_line = next((line for line in lines if line.strip()), "")
    names, delimiter = _header(header_line, f"{path}:1")
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    csv.field_size_limit(MOST_ROW_CHARACTERS)
    begins = 2
    try:
        for values in reader:
            place, begins = f"{path}:{begins}", reader.line_num + 2
            if not values:
                continue
            if len(values) != len(names):
                on_fault(BadSource(place, f"{len(values)} fields", f"{len(names)} fields, as the first line has"))
                continue
            yield place, {name: value or None for name, value in zip(names, values, strict=True)}
    except csv.Error as error:
        expected = "fields in quotes that end, with quotes inside doubled"
        raise BadSource(f"{path}:{begins}", f"a broken row ({error})", expected) from None


def _header(line: str, place: str) -> tuple[list[str], str]:
    """(names of the columns, delimiter): the delimiter is the one that gives the most columns."""
    found: list[tuple[list[str], str]] = []
    for delimiter in _DELIMITERS:
        try:
            found.append((next(csv.reader([line], delimiter=delimiter, strict=True), []), delimiter))
        except csv.Error:
            continue
    if not found:
        raise BadSource(place, f"a first line that does not parse: {line[:60]!r}", "the names of the columns")
    names, delimiter = max(found, key=lambda pair: len(pair[0]))
    names = [name.strip() for name in names]
    twice = sorted({name for name in names if name and names.count(name) > 1}) if len(names) <= _MOST_COLUMNS else []
    if twice or len(names) > _MOST_COLUMNS or not any(names):
        got = f"the column {twice[0]!r} twice" if twice else f"{len(names):,} columns" if names else "no names"
        raise BadSource(place, got, f"up to {_MOST_COLUMNS:,} columns of different names")
    return names, delimiter
