"""Log lines of a run's workers, as much as a page can show: the end, what is searched for, everything as a file.

The whole log is read once when it is asked for, never again and again: a log of hours is megabytes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ui.client.views import LogText

TAIL_LINES = 400
MOST_FOUND = 400


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """Lines to show, each with its number from 1. `total`: how many there are to choose from."""

    lines: tuple[tuple[int, str], ...]
    total: int

    @property
    def text(self) -> str:
        """The lines under each other, numbered as far as numbers help: where they are not all."""
        width = len(str(self.lines[-1][0])) if self.lines else 1
        return "\n".join(f"{number:>{width}}  {line}" for number, line in self.lines)


def by_submission(pieces: Iterable[LogText]) -> dict[int, str]:
    """The text of each worker group, oldest group first."""
    texts: dict[int, list[str]] = {}
    for piece in pieces:
        texts.setdefault(piece.submission, []).append(piece.text)
    return {number: "".join(texts[number]) for number in sorted(texts)}


def tail(text: str, lines: int = TAIL_LINES) -> Excerpt:
    """The last lines."""
    every = text.splitlines()
    first = max(0, len(every) - lines)
    return Excerpt(lines=tuple(enumerate(every[first:], start=first + 1)), total=len(every))


def search(text: str, words: str, most: int = MOST_FOUND) -> Excerpt:
    """The last lines in which the words stand as they are, upper or lower case alike."""
    wanted = words.casefold()
    found = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if wanted in line.casefold()]
    return Excerpt(lines=tuple(found[-most:]), total=len(found))


def as_file(texts: dict[int, str]) -> str:
    """Everything, the groups one after another under their numbers."""
    parts: Sequence[str] = [f"=== worker group {number} ===\n{text.rstrip()}\n" for number, text in texts.items()]
    return "\n".join(parts)
