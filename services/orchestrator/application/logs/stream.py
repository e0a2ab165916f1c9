"""A log as a stream of bytes: what of it is wanted is cut out while it passes, and nothing else is held."""

from collections.abc import Iterable, Iterator
from typing import Protocol

LONGEST_LINE_BYTES = 64 * 1024  # a longer line comes in several pieces


class LogStream(Protocol):
    """Pieces of a log as they come, none of which is held any longer. Raises Unavailable where they end too early."""

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None:
        """Ends it, from any thread; whoever waits for a piece waits no more."""
        ...


def lines_of(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Lines with their ends; of a line that is longer than LONGEST_LINE_BYTES so many at a time."""
    rest = b""
    for piece in pieces:
        rest += piece
        begin = 0
        while (end := rest.find(b"\n", begin)) >= 0:
            yield from _cut(rest[begin : end + 1])
            begin = end + 1
        rest = rest[begin:]
        while len(rest) > LONGEST_LINE_BYTES:
            yield rest[:LONGEST_LINE_BYTES]
            rest = rest[LONGEST_LINE_BYTES:]
    if rest:
        yield rest


def _cut(line: bytes) -> Iterator[bytes]:
    for begin in range(0, len(line), LONGEST_LINE_BYTES):
        yield line[begin : begin + LONGEST_LINE_BYTES]
