"""Lines of a text, and documents cut out of it, in memory that does not grow with the length of a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from model.data.readers.opened import Pulse, no_pulse, text_chunks


class Line(NamedTuple):
    """A line, or a part of a long one. number: from 1; text: with its "\\n" at the end; whole: it ends here."""

    number: int
    text: str
    whole: bool


def lines_of(path: Path, *, longest: int, pulse: Pulse = no_pulse, parts_matter: bool = True) -> Iterator[Line]:
    """The lines of a file; one of more than `longest` characters in parts of at most that. Raises BadSource.

    Where a long line is cut depends on its text only, not on how the file was read or compressed. Where its parts do
    not matter they come without their text, which is then never put together.
    """
    number = 1
    parts: list[str] = []
    size = 0
    for chunk in text_chunks(path, pulse):
        *lines, rest = chunk.split("\n")
        for line in lines:
            parts += (line, "\n")
            line, parts, size = "".join(parts), [], 0
            if len(line) > longest + 1:
                *cut, line = cut_text(line[:-1], longest) if parts_matter else ("", "")
                for part in cut:
                    yield Line(number, part, False)
                line += "\n"
            yield Line(number, line, True)
            number += 1
        if rest:
            parts.append(rest)
            size += len(rest)
        if size > longest:
            *cut, rest = cut_text("".join(parts), longest) if parts_matter else ("", " ")
            for part in cut:
                yield Line(number, part, False)
            parts, size = [rest], len(rest)
    if size:
        yield Line(number, "".join(parts), True)


def pieces_of(path: Path, about: int, pulse: Pulse = no_pulse) -> Iterator[str]:
    """Runs of paragraphs of at least `about` bytes (the last may be shorter), cut at blank lines only; a paragraph of
    more than eight times that is cut at the end of a line, and a line that long between words."""
    longest = 8 * about
    piece: list[str] = []
    size = 0
    for line in lines_of(path, longest=longest, pulse=pulse):
        ends = size >= about and not line.text.strip()
        if ends or size >= longest:
            yield from _joined(piece)
            piece, size = [], 0
            if ends:
                continue
        piece.append(line.text)
        size += len(line.text) if line.text.isascii() else len(line.text.encode())
        if not line.whole:
            yield from _joined(piece)
            piece, size = [], 0
    yield from _joined(piece)


def _joined(piece: list[str]) -> Iterator[str]:
    text = "".join(piece)
    if text.strip():
        yield text.strip("\n") + "\n"


def cut_text(text: str, longest: int) -> Iterator[str]:
    """Pieces of at most `longest` characters that add up to the text: cut at the end of a line, else between words,
    else anywhere."""
    begin = 0
    while len(text) - begin > longest:
        end = begin + longest
        for mark in ("\n", " "):
            found = text.rfind(mark, begin + longest // 2, end)
            if found >= 0:
                end = found + 1
                break
        yield text[begin:end]
        begin = end
    yield text[begin:]
