"""Files and folders: plain text, JSON lines, csv, parquet; see `model.data.readers.formats` for their names.

* text: cut at blank lines into documents of about `document_bytes`. `hold_out: file` keeps all documents of a file on
  the same side of the split (whole books); the default, `document`, splits a single file too.
* rows (JSON, csv, parquet): one row a document, see `model.data.readers.rows`. A text of more than LONGEST_CHARACTERS
  is cut into several documents of one origin.
* a folder: all data files in it, in the order of their relative names. What is not read is named by `notes`: hidden
  files, files of other kinds, what describes the data, links that lead nowhere.

Nothing is held in memory as a whole, neither a file nor a long line. Every fault names its place: the file, the line,
the field, the byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from model.data.content import normal_lines
from model.data.readers.csv_rows import csv_rows
from model.data.readers.formats import CSV, JSON, LANGUAGES, PARQUET, format_of, language_of, suffix_of
from model.data.readers.json_rows import OnFault, Row, json_rows
from model.data.readers.lines import pieces_of
from model.data.readers.listing import is_compressed, list_files, unreadable
from model.data.readers.opened import Pulse, no_pulse
from model.data.readers.parquet_rows import parquet_rows
from model.data.readers.rows import LONGEST_CHARACTERS, ROW_OPTIONS, bearable, document_of, notes_of_cuts
from model.data.sources.base import Source, checked_options, whole_number
from model.document import Document, content_origin
from model.errors import BadSource

__all__ = ["FILE_OPTIONS", "LANGUAGES", "FileSource", "OnFault"]

FILE_OPTIONS: dict[str, Any] = {**ROW_OPTIONS, "document_bytes": 4_096, "hold_out": "document"}


class FileSource(Source):
    """A file or a folder of files. Raises BadSource at once when there is nothing to read.

    on_fault: called with every fault of a file or a row instead of raising it; the next row or file follows.
    pulse: called with the bytes of every piece that is read.
    """

    def __init__(
        self,
        path: Path,
        *,
        uri: str | None = None,
        options: Mapping[str, Any] | None = None,
        on_fault: OnFault | None = None,
        pulse: Pulse = no_pulse,
    ) -> None:
        self.path = Path(path)
        self._on_fault, self._pulse = on_fault, pulse
        self.uri = uri or str(path)
        self.options = checked_options(self.uri, options, FILE_OPTIONS)
        whole_number(self.uri, "document_bytes", self.options["document_bytes"], low=64, high=LONGEST_CHARACTERS)
        if self.options["hold_out"] not in ("document", "file"):
            raise BadSource(field=f"{self.uri}: hold_out", got=self.options["hold_out"], expected="document, file")
        listing = list_files(self.path, self.uri, self._fault)
        self.files, self._left_out = listing.files, listing.left_out
        self._cut: dict[str, int] = {}
        first = next(iter(self), None)
        if first is None:
            raise BadSource(field=self.uri, got="no documents", expected="at least one document")
        self.kind = first.kind

    def _fault(self, error: BadSource) -> None:
        if self._on_fault is None:
            raise error
        self._on_fault(error)

    def _name(self, path: Path) -> str:
        return path.name if path == self.path else path.relative_to(self.path).as_posix()

    def place(self) -> str:
        """Nothing: the same data under two paths is the same data."""
        return ""

    def notes(self) -> tuple[str, ...]:
        """What was left out, and which texts were cut, as far as the files have been read."""
        return (*(f"{self.uri}: left out: {line}" for line in self._left_out), *notes_of_cuts(self.uri, self._cut))

    def size_hint_bytes(self) -> int | None:
        """Size of the files; where some are compressed there is no hint."""
        if any(is_compressed(path) for path in self.files):
            return None
        return sum(path.stat().st_size for path in self.files)

    def bytes_on_disk(self) -> int:
        """Size of the files as they are."""
        return sum(path.stat().st_size for path in self.files)

    def fingerprint(self) -> str:
        """SHA-256 over the contents of all files in order and what they are read as; their names do not count."""
        digest = hashlib.sha256()
        for path in self.files:
            try:
                content = self._sha256(path)
            except OSError as error:
                raise unreadable(path, error) from None
            digest.update(f"{suffix_of(path)}\x00{content}\n".encode())
        return digest.hexdigest()

    def _sha256(self, path: Path) -> str:
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
                self._pulse(len(chunk))
        return digest.hexdigest()

    def documents(self) -> Iterator[Document]:
        """Documents of all files in order."""
        for path in self.files:
            try:
                yield from self._documents_of(path)
            except BadSource as error:
                self._fault(error)

    def _documents_of(self, path: Path) -> Iterator[Document]:
        found = False

        def broken(error: BadSource) -> None:
            nonlocal found
            found = True
            self._fault(error)

        rows = self._rows(path, broken)
        if rows is None:
            yield from self._text_documents(path)
            return
        for where, row in rows:
            found = True
            try:
                document = document_of(row, where, self.options)
            except BadSource as error:
                self._fault(error)
                continue
            yield from bearable(document, where, self._cut)
        if not found:
            raise BadSource(field=str(path), got="no rows", expected="at least one row")

    def _rows(self, path: Path, broken: Callable[[BadSource], None]) -> Iterator[Row] | None:
        form = format_of(path)
        if form == PARQUET:
            return parquet_rows(path, self._pulse)
        if form == JSON:
            return json_rows(path, array=suffix_of(path) == ".json", on_fault=broken, pulse=self._pulse)
        if form == CSV:
            return csv_rows(path, on_fault=broken, pulse=self._pulse)
        return None

    def _group_of(self, path: Path) -> str:
        """What the pieces of a file are held out by: what the file says, whatever its name and its line ends."""
        digest = hashlib.sha256()
        for piece in pieces_of(path, self.options["document_bytes"], self._pulse):
            for line in normal_lines(piece):
                digest.update(line + b"\n")
        return f"file:{digest.hexdigest()}"

    def _text_documents(self, path: Path) -> Iterator[Document]:
        name = self._name(path)
        meta = {"file": name}
        language = language_of(path)
        if language:
            meta["language"] = language
        found = False
        group = self._group_of(path) if self.options["hold_out"] == "file" else None
        for piece in pieces_of(path, self.options["document_bytes"], self._pulse):
            found = True
            yield Document(text=piece, origin=content_origin(piece, "text"), group=group, meta=meta)
        if not found and not (language and path != self.path):
            raise BadSource(field=str(path), got="only blank lines", expected="text")
