"""Parts of long lists, as the server gives them out, and what a person searches runs by."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Row = TypeVar("Row")


@dataclass(frozen=True, kw_only=True)
class Page(Generic[Row]):
    """A part of a list. `next_token` continues it; empty at its end. `total`: on all parts, None where it is not told;
    `looked_at`: rows that were gone through for it."""

    rows: tuple[Row, ...]
    next_token: str
    total: int | None = None
    looked_at: int = 0


def matches(run: Any, words: Sequence[str]) -> bool:
    """Whether a run (a message) has every word: `key=value` is a label, each other word a part of its id, its name or
    the key or value of a label, upper or lower case alike."""
    labels = run.spec.labels
    texts = [text.casefold() for text in (run.id, run.spec.name, *labels, *labels.values())]
    for word in words:
        key, equals, value = word.partition("=")
        if equals and labels.get(key) == value:
            continue
        if not any(word.casefold() in text for text in texts):
            return False
    return True
