"""The documents of a measurement outside of a run: a text file is one document, byte for byte as it is.

In training a long text is cut at blank lines into documents; a figure for a file should be one for all of its bytes, so
nothing is cut, dropped or added here. Rows (jsonl, parquet, csv) are read as for training.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from model.child_process.process import Waiting
from model.data.readers.formats import TEXT, format_of
from model.data.sources import open_source
from model.data.sources.apart import ApartSource
from model.data.sources.files import FileSource
from model.data.sources.whole_text import WholeTextSource
from model.document import Document
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
            yield from WholeTextSource(file)
        else:
            yield from FileSource(file)


def measured_apart(
    path: Path, name: str, *, limit: int | None, most_bytes: int, waiting: Waiting | None = None
) -> list[Document]:
    """The same of one file of somebody else, read by a child within bounds: up to `most_bytes` of text. `name` stands
    in messages for the path. Raises BadSource."""
    options: dict[str, int | None]
    if format_of(path) == TEXT:
        form, options = "WholeTextSource", {"limit_bytes": most_bytes}
    else:
        form, options = "FileSource", {"limit_documents": limit}
    source = ApartSource(form, path=str(path), uri=name, options=options, waiting=waiting)
    documents, size = [], 0
    for document in source:
        size += len(document.plain_text().encode("utf-8", "surrogatepass"))
        if size > most_bytes:
            expected = f"up to {most_bytes:,}; the first documents of it can be asked for"
            raise BadSource(name, f"more than {most_bytes:,} bytes of text", expected)
        documents.append(document)
    if not size:
        raise BadSource(name, "no text", "at least one document with text")
    return documents
