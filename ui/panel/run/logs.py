"""Log lines of a run's workers, as much as a page can show: the end, what stands before it, what is searched for.

The server reads no more of a log than is shown, and the page holds no more.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ui.client.views import LogText

PAGE_LINES = 400
MOST_FOUND = 400


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """Lines to show. `numbers`: of each, from 1, where they were searched for."""

    lines: tuple[str, ...]
    numbers: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        """The lines under each other, with their numbers where they have some."""
        if not self.numbers:
            return "\n".join(self.lines)
        width = len(str(max(self.numbers)))
        return "\n".join(f"{number:>{width}}  {line}" for number, line in zip(self.numbers, self.lines, strict=True))


def excerpt(pieces: Iterable[LogText]) -> Excerpt:
    """What the server sent, line by line."""
    found = list(pieces)
    if any(piece.line for piece in found):
        return Excerpt(lines=tuple(piece.text for piece in found), numbers=tuple(piece.line for piece in found))
    return Excerpt(lines=tuple("".join(piece.text for piece in found).splitlines()))


def as_file(pieces: Iterable[LogText]) -> Iterator[str]:
    """Everything, the groups one after another under their numbers."""
    group = 0
    for piece in pieces:
        if piece.submission != group:
            group = piece.submission
            yield f"=== worker group {group} ===\n"
        yield piece.text
