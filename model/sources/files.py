"""Files and folders: plain text, JSON lines, parquet.

* `.txt`, `.text`, `.md`, `.rst`, and source code: cut at blank lines into documents of about `document_bytes`.
  `hold_out: file` keeps all documents of a file on the same side of the split (whole books); the default, `document`,
  splits a single file too.
* `.jsonl`, `.ndjson`, `.json` (an array of objects, or lines): one row a document, see `model.sources.rows`.
* `.parquet`: read in batches of rows, never as a whole.
* a folder: all files of these kinds in it, in the order of their relative names; hidden files, and source code without
  a line in it, are left out.

Every fault names its place: the file, the line, the field, the byte.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from model.document import Document, content_origin
from model.errors import BadSource
from model.shards import file_sha256
from model.sources.base import Source, checked_options, whole_number
from model.sources.rows import ROW_OPTIONS, row_document

LANGUAGES: Mapping[str, tuple[str, ...]] = {
    "python": (".py",),
    "javascript": (".js", ".mjs"),
    "typescript": (".ts",),
    "java": (".java",),
    "c": (".c", ".h"),
    "c++": (".cc", ".cpp", ".hpp"),
    "c#": (".cs",),
    "go": (".go",),
    "rust": (".rs",),
    "ruby": (".rb",),
    "php": (".php",),
    "shell": (".sh",),
    "sql": (".sql",),
    "scala": (".scala",),
    "kotlin": (".kt",),
    "swift": (".swift",),
    "haskell": (".hs",),
    "lua": (".lua",),
    "perl": (".pl",),
    "r": (".r",),
    "julia": (".jl",),
}
_LANGUAGE_OF = {suffix: language for language, suffixes in LANGUAGES.items() for suffix in suffixes}
_TEXT = {".txt", ".text", ".md", ".rst", *_LANGUAGE_OF}
_LINES = {".jsonl", ".ndjson", ".json"}
_PARQUET = {".parquet"}
SUFFIXES = sorted(_TEXT | _LINES | _PARQUET)
OnFault = Callable[[BadSource], None]
FILE_OPTIONS: dict[str, Any] = {**ROW_OPTIONS, "document_bytes": 4_096, "hold_out": "document"}


class FileSource(Source):
    """A file or a folder of files. Raises BadSource at once when there is nothing to read.

    on_fault: called with every fault of a file or a row instead of raising it; the next row or file follows.
    """

    def __init__(
        self,
        path: Path,
        *,
        uri: str | None = None,
        options: Mapping[str, Any] | None = None,
        on_fault: OnFault | None = None,
    ) -> None:
        self.path = Path(path)
        self._on_fault = on_fault
        self.uri = uri or str(path)
        self.options = checked_options(self.uri, options, FILE_OPTIONS)
        whole_number(self.uri, "document_bytes", self.options["document_bytes"], low=64)
        if self.options["hold_out"] not in ("document", "file"):
            raise BadSource(field=f"{self.uri}: hold_out", came=self.options["hold_out"], allowed="document, file")
        self.files = self._list_files()
        first = next(iter(self), None)
        if first is None:
            raise BadSource(field=self.uri, came="no documents", allowed="at least one document")
        self.kind = first.kind

    def _list_files(self) -> list[Path]:
        if self.path.is_file():
            if self.path.suffix.lower() not in SUFFIXES:
                raise BadSource(
                    field=self.uri, came=f"a file ending in {self.path.suffix!r}", allowed=", ".join(SUFFIXES)
                )
            files = [self.path]
        elif self.path.is_dir():
            files = sorted(
                path
                for path in self.path.rglob("*")
                if path.is_file()
                and path.suffix.lower() in SUFFIXES
                and not any(part.startswith(".") for part in path.relative_to(self.path).parts)
            )
            if not files:
                raise BadSource(
                    field=self.uri, came="a folder without data files", allowed=f"files ending in {', '.join(SUFFIXES)}"
                )
        else:
            raise BadSource(field=self.uri, came="nothing there", allowed="an existing file or folder")
        for path in files:
            if path.stat().st_size == 0 and not self._may_be_empty(path):
                self._fault(BadSource(str(path), "an empty file", "a file with at least one document"))
        return [path for path in files if path.stat().st_size > 0]

    def _may_be_empty(self, path: Path) -> bool:
        """Source code in a folder: an `__init__.py` without a line is no fault, and no document either."""
        return path != self.path and path.suffix.lower() in _LANGUAGE_OF

    def _fault(self, error: BadSource) -> None:
        if self._on_fault is None:
            raise error
        self._on_fault(error)

    def _name(self, path: Path) -> str:
        return path.name if path == self.path else path.relative_to(self.path).as_posix()

    def place(self) -> str:
        """Nothing: the same data under two paths is the same data."""
        return ""

    def size_hint_bytes(self) -> int | None:
        """Size of the text and JSON files; parquet is compressed, so with parquet there is no hint."""
        if any(path.suffix.lower() in _PARQUET for path in self.files):
            return None
        return sum(path.stat().st_size for path in self.files)

    def fingerprint(self) -> str:
        """SHA-256 over names and contents of all files."""
        digest = hashlib.sha256()
        for path in self.files:
            digest.update(f"{self._name(path)}\x00{file_sha256(path)}\n".encode())
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

        suffix = path.suffix.lower()
        if suffix in _PARQUET:
            rows = parquet_rows(path)
        elif suffix in _LINES:
            rows = json_rows(path, on_fault=broken if self._on_fault else None)
        else:
            yield from self._text_documents(path)
            return
        for where, row in rows:
            found = True
            try:
                document = row_document(row, where=where, options=self.options)
            except BadSource as error:
                self._fault(error)
                continue
            yield document
        if not found:
            raise BadSource(field=str(path), came="no rows", allowed="at least one row")

    def _text_documents(self, path: Path) -> Iterator[Document]:
        name = self._name(path)
        meta = {"file": name}
        if path.suffix.lower() in _LANGUAGE_OF:
            meta["language"] = _LANGUAGE_OF[path.suffix.lower()]
        found = False
        for piece in _pieces(path, self.options["document_bytes"]):
            found = True
            by_file = self.options["hold_out"] == "file"
            yield Document(text=piece, origin=f"file:{name}" if by_file else content_origin(piece, "text"), meta=meta)
        if not found and not self._may_be_empty(path):
            raise BadSource(field=str(path), came="only blank lines", allowed="text")


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """(number from 1, line) of a UTF-8 file. Raises BadSource with line and byte where it is not UTF-8."""
    with open(path, "rb") as file:
        position = 0
        for number, raw in enumerate(file, start=1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise BadSource(
                    field=f"{path}:{number}",
                    came=f"byte 0x{raw[error.start]:02x} at offset {position + error.start}, which is not UTF-8",
                    allowed="UTF-8 text",
                ) from None
            position += len(raw)
            yield number, line


def json_rows(path: Path, *, on_fault: OnFault | None = None) -> Iterator[tuple[str, Any]]:
    """(place, row) of a file of JSON lines, or of a `.json` file with one array. Blank lines are skipped.

    on_fault: called with the fault of each broken line instead of raising it.
    """
    lines = lines_of(path)
    if path.suffix.lower() == ".json":
        text = "".join(line for _, line in lines)
        if text.lstrip().startswith("["):
            try:
                rows = json.loads(text)
            except json.JSONDecodeError as error:
                raise BadSource(
                    field=f"{path}:{error.lineno}", came=f"broken JSON ({error.msg})", allowed="an array of objects"
                ) from None
            yield from ((f"{path}[{index}]", row) for index, row in enumerate(rows))
            return
        lines = ((number, line) for number, line in enumerate(text.split("\n"), start=1))
    for number, line in lines:
        if not line.strip():
            continue
        try:
            row = json.loads(line.rstrip())
        except json.JSONDecodeError as error:
            fault = BadSource(
                field=f"{path}:{number}",
                came=f"a broken line ({error.msg} at column {error.colno}): {line.strip()[:60]!r}",
                allowed="one JSON object per line",
            )
            if on_fault is None:
                raise fault from None
            on_fault(fault)
            continue
        yield f"{path}:{number}", row


def parquet_rows(path: Path) -> Iterator[tuple[str, Any]]:
    """(place, row) of a parquet file, a batch of rows in memory at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            index = 0
            for batch in file.iter_batches(batch_size=512):
                for row in batch.to_pylist():
                    yield f"{path} row {index}", row
                    index += 1
    except (pa.ArrowException, OSError) as error:
        raise BadSource(
            field=str(path), came=f"a file that parquet cannot read ({error})", allowed="parquet"
        ) from error


def _pieces(path: Path, about_bytes: int) -> Iterator[str]:
    """Runs of paragraphs of at least `about_bytes` (the last may be shorter), cut at blank lines only; a paragraph
    longer than eight times that is cut at the end of a line."""
    piece: list[str] = []
    size = 0
    for _, line in lines_of(path):
        ends = not line.strip() and size >= about_bytes
        if ends or size >= 8 * about_bytes:
            if "".join(piece).strip():
                yield "".join(piece).strip("\r\n") + "\n"
            piece, size = [], 0
            if ends:
                continue
        piece.append(line)
        size += len(line.encode("utf-8"))
    if "".join(piece).strip():
        yield "".join(piece).strip("\r\n") + "\n"
