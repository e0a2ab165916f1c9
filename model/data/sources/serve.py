"""The child that reads: opens files, folders and data sets of the hub, and sends documents in batches.

    {"op": "open", ...}          facts of the source
    {"op": "read", ...}          documents, faults (where they are wanted), signs of life; facts at the end
    {"op": "fingerprint", ...}   the fingerprint

Texts go as bytes behind the header, everything else of a document in it.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from model.child_process import egress
from model.child_process.child import SIGN_S, Parent, plain, serve
from model.data.sources.base import Source
from model.data.sources.files import FileSource
from model.data.sources.remote import HuggingFaceSource
from model.data.sources.whole_text import WholeTextSource
from model.document import Document
from model.errors import BadSource

BATCH_BYTES = 256 << 10
_KEPT_SOURCES, _MOST_FAULTS = 16, 200


class Reader:
    """Answers requests about sources; the last ones stay open, since a source is read several times."""

    def __init__(self) -> None:
        self._sources: dict[str, Source] = {}
        self._faults: list[dict[str, str]] | None = None
        self._parent: Parent | None = None

    def answer(self, parent: Parent, asked: dict[str, Any], blob: bytes) -> None:
        """One request."""
        self._parent = parent
        self._faults = [] if asked["faults"] else None
        try:
            source = self._opened(asked)
        finally:
            self._send(parent, [])  # the faults of rows come before the one that follows from them
        if asked["op"] == "read":
            self._read(parent, source)
        elif asked["op"] == "fingerprint":
            parent.send({"end": True, "fingerprint": source.fingerprint()})
            return
        parent.send({"end": True, "facts": facts_of(source)})

    def _opened(self, asked: dict[str, Any]) -> Source:
        key = json.dumps([asked["form"], asked["path"], asked["uri"], asked["options"], asked["faults"]])
        if asked["op"] == "open":  # somebody opens it anew: the files may be others by now
            self._sources.pop(key, None)
        source = self._sources.get(key)
        if source is None:
            on_fault = self._fault if asked["faults"] else None
            if asked["form"] == "HuggingFaceSource":
                source = HuggingFaceSource(asked["uri"], options=asked["options"], pulse=self._pulse)
            elif asked["form"] == "WholeTextSource":
                path, name = Path(asked["path"]), asked["uri"]
                source = WholeTextSource(path, uri=name, options=asked["options"], pulse=self._pulse)
            else:
                path = Path(asked["path"])
                options = asked["options"]
                source = FileSource(path, uri=asked["uri"], options=options, on_fault=on_fault, pulse=self._pulse)
            while len(self._sources) >= _KEPT_SOURCES:
                del self._sources[next(iter(self._sources))]
            self._sources[key] = source
        return source

    def _pulse(self, count: int) -> None:
        if self._parent is not None:
            self._parent.sign()

    def _fault(self, error: BadSource) -> None:
        if self._faults is not None and self._parent is not None:
            self._faults.append(plain(error))
            if len(self._faults) >= _MOST_FAULTS:
                self._send(self._parent, [])

    def _read(self, parent: Parent, source: Source) -> None:
        batch: list[Document] = []
        size = 0
        sent_s = time.monotonic()
        try:
            for document in source:
                batch.append(document)
                size += len(document.text) if document.text is not None else len(document.plain_text())
                if size >= BATCH_BYTES or time.monotonic() - sent_s > SIGN_S:
                    self._send(parent, batch)
                    batch, size, sent_s = [], 0, time.monotonic()
        finally:
            self._send(parent, batch)  # what came before the fault comes before the fault

    def _send(self, parent: Parent, batch: list[Document]) -> None:
        if not batch and not self._faults:
            return
        texts = [b"" if document.text is None else document.text.encode() for document in batch]
        rows = [
            [d.origin, d.group, d.difficulty, dict(d.meta), [d.messages, d.tools] if d.text is None else len(text)]
            for d, text in zip(batch, texts, strict=True)
        ]
        parent.send({"documents": rows, "faults": self._faults or []}, b"".join(texts))
        if self._faults is not None:
            self._faults.clear()


def facts_of(source: Source) -> dict[str, Any]:
    """What the parent knows of a source without reading it."""
    disk = source.bytes_on_disk() if isinstance(source, FileSource) else 0
    return {
        "kind": source.kind,
        "options": dict(source.options),
        "place": source.place(),
        "notes": list(source.notes()),
        "size_hint_bytes": source.size_hint_bytes(),
        "bytes_on_disk": disk,
    }


if __name__ == "__main__":
    egress.guard()
    serve(Reader().answer)
