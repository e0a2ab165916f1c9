"""Reading a source for its faults: all of them and not only the first, and not for longer than was said."""

from __future__ import annotations

import time
from collections.abc import Iterator

from model.data.sources.base import Source
from model.document import Document
from model.errors import BadSource, RetainModelError

MOST_FAULTS = 1_000


class Enough(Exception):
    """Reading ends here: there are faults enough, or there is no time left."""


class Faults:
    """Faults in the order in which they were found, each once. Raises Enough at MOST_FAULTS, or after `limit_s`."""

    def __init__(self, *, limit_s: float) -> None:
        self.found: list[RetainModelError] = []
        self.complete = True
        self._seen: set[str] = set()
        self._deadline_s = time.monotonic() + limit_s

    def add(self, error: RetainModelError) -> None:
        """Notes a fault. A source is read more than once, so the same one may come again."""
        if str(error) not in self._seen:
            self._seen.add(str(error))
            self.found.append(error)
        if len(self.found) >= MOST_FAULTS or self.is_late():
            self.complete = False
            raise Enough

    def in_time(self) -> None:
        """Raises Enough after the time, for those who wait."""
        if self.is_late():
            self.complete = False
            raise Enough

    def is_late(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() > self._deadline_s


class BoundedSource(Source):
    """The documents of a source up to a number of bytes of text and a time, counted as they pass.

    complete is False when the bound ended the reading. A document of another kind than the first is a fault, as it is
    when the data are packed.
    """

    def __init__(self, source: Source, faults: Faults, *, limit_bytes: int) -> None:
        self._source, self._faults, self._limit_bytes = source, faults, limit_bytes
        self.uri, self.kind, self.options = source.uri, source.kind, source.options
        self.documents_read = self.bytes_read = 0
        self.complete = True

    def documents(self) -> Iterator[Document]:
        """Those of the source, until a bound is passed."""
        self.documents_read = self.bytes_read = 0
        for document in self._source:
            if self.bytes_read >= self._limit_bytes or self._faults.is_late():
                self.complete = False
                return
            self.documents_read += 1
            self.bytes_read += len(document.plain_text().encode("utf-8", "surrogatepass"))
            if document.kind == self.kind:
                yield document
            else:
                where = str(document.meta.get("row", document.origin))
                expected = f"{self.kind} documents only, as the first one is"
                self._faults.add(BadSource(where, f"a {document.kind} document in {self.kind} data", expected))

    def fingerprint(self) -> str:
        """That of the source."""
        return self._source.fingerprint()

    def notes(self) -> tuple[str, ...]:
        """Those of the source."""
        return self._source.notes()
