"""Sources of foreign data, read by a child within bounds (see `model.child_process`); to their user they are as any
other.

One child reads one source after another and is kept: to read a source again costs a question, not a process. What
the child cannot read, or what ends it, becomes a BadSource that names the file, and the next source gets a new
child.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from model.child_process.child import raised
from model.child_process.process import Apart, Ended, Waiting
from model.data.readers.json_rows import OnFault
from model.data.sources.base import Source
from model.document import Document
from model.errors import BadSource

MEMORY_BYTES = 1 << 30
HUB_MEMORY_BYTES, HUB_PATIENCE_S = 3 << 30, 300.0  # the library of the hub is large, and its servers may be slow


class ApartSource(Source):
    """A file, a folder (`form` FileSource), one text whole (WholeTextSource) or a data set of the hub
    (HuggingFaceSource). Raises BadSource at once when it cannot be opened.

    path: where it lies; on_fault: called with every fault of a file or a row instead of raising the first one;
    waiting: called some times a second while the child is waited for; it may raise, to end the reading.
    """

    def __init__(
        self,
        form: str,
        *,
        path: str,
        uri: str,
        options: Mapping[str, Any],
        on_fault: OnFault | None = None,
        waiting: Waiting | None = None,
    ) -> None:
        self.uri, self._form, self._on_fault, self._waiting = uri, form, on_fault, waiting
        self._question = {"form": form, "path": path, "uri": uri, "options": options, "faults": on_fault is not None}
        self._last = uri
        facts: dict[str, Any] = {}
        for header, _ in self._ask("open"):
            facts = header.get("facts", facts)
        self._facts = facts
        self.kind, self.options = facts["kind"], facts["options"]

    def documents(self) -> Iterator[Document]:
        """All documents; the limits among the options hold already."""
        for header, blob in self._ask("read"):
            self._facts = header.get("facts", self._facts)
            begin = 0
            for origin, group, difficulty, meta, content in header.get("documents", ()):
                self._last = str(meta.get("row") or meta.get("file") or self.uri)
                if isinstance(content, int):
                    text = str(blob[begin : begin + content], "utf-8")
                    begin += content
                    yield Document(text=text, origin=origin, group=group, difficulty=difficulty, meta=meta)
                else:
                    messages, tools = map(tuple, content)
                    yield Document(
                        messages=messages, tools=tools, origin=origin, group=group, difficulty=difficulty, meta=meta
                    )

    def __iter__(self) -> Iterator[Document]:
        return self.documents()

    def form(self) -> str:
        """That of the source which the child opens."""
        return self._form

    def fingerprint(self) -> str:
        """That of the source which the child opens."""
        found = [header["fingerprint"] for header, _ in self._ask("fingerprint") if "fingerprint" in header]
        result: str = found[0]
        return result

    def place(self) -> str:
        """That of the source which the child opens."""
        result: str = self._facts["place"]
        return result

    def notes(self) -> tuple[str, ...]:
        """What was left out and cut, as far as the source has been read to its end."""
        return tuple(self._facts["notes"])

    def size_hint_bytes(self) -> int | None:
        """Roughly how many bytes of text there are, or None."""
        result: int | None = self._facts["size_hint_bytes"]
        return result

    def bytes_on_disk(self) -> int:
        """Size of the files as they are."""
        result: int = self._facts["bytes_on_disk"]
        return result

    def _ask(self, op: str) -> Iterator[tuple[dict[str, Any], bytes]]:
        """The answers to a question up to the last one; faults among them are raised, or told where that is wanted."""
        hub = self._form == "HuggingFaceSource"
        child = _CHILDREN.take(hub)
        whole = False
        try:
            child.send({"op": op, **self._question}, waiting=self._waiting)
            while True:
                header, blob = child.receive(waiting=self._waiting)
                if "sign" in header:
                    continue
                if "fault" in header:
                    whole = not header["last"]
                    raise raised(header["fault"], self._place())
                yield header, blob
                for fault in header.get("faults", ()):
                    self._told(raised(fault, self.uri))
                if header.get("end"):
                    whole = True
                    return
        except Ended as error:
            got = f"what the reader did not get through: it {error}"
            raise BadSource(self._place(), got, "data that can be read within its bounds") from error
        finally:
            if whole:
                _CHILDREN.give(child, hub)
            else:
                child.end()

    def _told(self, error: Exception) -> None:
        if self._on_fault is not None and isinstance(error, BadSource):
            self._on_fault(error)

    def _place(self) -> str:
        return self.uri if self._last == self.uri else f"{self.uri}: behind {self._last}"


class _Children:
    """Children that wait for work, for the process that started them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: dict[bool, list[Apart]] = {False: [], True: []}

    def take(self, hub: bool) -> Apart:
        with self._lock:
            while self._idle[hub]:
                child = self._idle[hub].pop()
                if child.is_ready():
                    return child
                child.end()
        if hub:
            return Apart("model.data.sources.serve", memory_bytes=HUB_MEMORY_BYTES, patience_s=HUB_PATIENCE_S)
        return Apart("model.data.sources.serve", memory_bytes=MEMORY_BYTES)

    def give(self, child: Apart, hub: bool) -> None:
        with self._lock:
            if not self._idle[hub]:
                self._idle[hub].append(child)
                return
        child.end()

    def forget(self) -> None:
        """In a process that was forked off: the children are the other's, and so is its lock."""
        self._lock, self._idle = threading.Lock(), {False: [], True: []}

    def end(self) -> None:
        with self._lock:
            for child in (*self._idle[False], *self._idle[True]):
                child.end()
            self._idle = {False: [], True: []}


_CHILDREN = _Children()
atexit.register(_CHILDREN.end)
os.register_at_fork(after_in_child=_CHILDREN.forget)
