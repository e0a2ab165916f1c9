"""What a source is: something that yields documents, again and again, always the same.

A source can be iterated as often as one likes and yields the same documents in the same order each time (held-out
documents, tokenizer training, packing and overlap each take a pass). It never holds more than a piece of itself in
memory, and its `fingerprint` changes when its documents do, which is what names prepared data.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from model.document import Document
from model.errors import BadSource

LIMITS: dict[str, Any] = {"limit_documents": None, "limit_bytes": None}


class Source(ABC):
    """Base of all sources. `uri` names it in messages, `options` is what was asked for with every default filled in."""

    uri: str
    kind: str  # text or chat
    options: Mapping[str, Any]

    @abstractmethod
    def documents(self) -> Iterator[Document]:
        """All documents in their fixed order. Raises BadSource with the place of the fault."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Changes whenever the documents would (SHA-256 of the files, version of the generator, revision)."""

    def place(self) -> str:
        """What names the source in its digest besides options and fingerprint: the URI, unless that does not matter."""
        return self.uri

    def form(self) -> str:
        """What kind of source it is, as part of its digest."""
        return type(self).__name__

    def notes(self) -> tuple[str, ...]:
        """What people should know about how the source was read, one line each: what was left out, cut, or capped."""
        return ()

    def size_hint_bytes(self) -> int | None:
        """Roughly how many bytes of text there are, for progress bars, or None."""
        return None

    def __iter__(self) -> Iterator[Document]:
        """The documents up to `limit_documents` and `limit_bytes` (UTF-8 bytes of text)."""
        documents = self.documents()
        if self.options.get("limit_documents") is not None:
            documents = islice(documents, self.options["limit_documents"])
        limit = self.options.get("limit_bytes")
        seen = 0
        for document in documents:
            if limit is not None:
                seen += len(document.plain_text().encode("utf-8", "surrogatepass"))
                if seen > limit:
                    return
            yield document


def checked_options(
    uri: str, given: Mapping[str, Any] | None, known: Mapping[str, Any], *, limits: bool = True
) -> dict[str, Any]:
    """The known options with the given values. Raises BadSource for a name that the source does not know."""
    defaults = {**known, **(LIMITS if limits else {})}
    values = dict(given or {})
    unknown = sorted(set(values) - set(defaults))
    if unknown:
        raise BadSource(field=f"{uri}: option", got=", ".join(unknown), expected=", ".join(sorted(defaults)))
    merged = {**defaults, **values}
    for name in LIMITS:
        value = merged.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise BadSource(field=f"{uri}: {name}", got=value, expected="a whole number from 1, or nothing")
    return merged


def whole_number(uri: str, name: str, value: Any, *, low: int, high: int | None = None) -> int:
    """`value` if it is a whole number within the bounds; raises BadSource."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low or (high is not None and value > high):
        expected = f"a whole number from {low}" + (f" to {high}" if high is not None else "")
        raise BadSource(field=f"{uri}: {name}", got=value, expected=expected)
    return value
