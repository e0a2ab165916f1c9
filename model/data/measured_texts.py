"""The documents of a measurement outside of a run: a text file is one document, byte for byte as it is.

In training a long text is cut at blank lines into documents; a figure for a file should be one for all of its bytes, so
nothing is cut, dropped or added here. Rows (jsonl, parquet, csv) are read as for training.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from model.data.readers.formats import TEXT, format_of
from model.data.readers.opened import byte_chunks
from model.data.sources import open_source
from model.data.sources.files import FileSource
from model.document import Document, content_origin
from model.errors import BadSource


def measured_documents(uri: str, *, limit: int | None = None) -> list[Document]:
    """The first `limit` documents of a file, a folder or another source. Raises BadSource, also when there are none."""
    documents = list(islice(_documents(uri), limit))
    if not documents:
        raise BadSource(uri, "no documents", "at least one document")
    return documents


def _documents(uri: str) -> Iterator[Document]:
    path = Path(uri)
    source = open_source(uri) if "://" in uri or not path.exists() else FileSource(path)
    if not isinstance(source, FileSource):
        yield from source
        return
    for file in source.files:
        if format_of(file) == TEXT:
            yield _whole(file)
        else:
            yield from FileSource(file)


def _whole(path: Path) -> Document:
    data = b"".join(byte_chunks(path)).removeprefix(codecs.BOM_UTF8)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        got = f"byte 0x{data[error.start]:02x} at offset {error.start}, which is not UTF-8"
        raise BadSource(f"{path}:{line}", got, "UTF-8 text") from None
    return Document(text=text, origin=content_origin(text, "text"), meta={"file": path.name})
