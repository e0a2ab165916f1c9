"""A text file as one document, byte for byte as it is: for figures that are to be of all of its bytes."""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from model.data.readers.opened import Pulse, byte_chunks, no_pulse
from model.data.sources.base import Source, checked_options
from model.document import Document, content_origin
from model.errors import BadSource


class WholeTextSource(Source):
    """One text file (also .gz, .zst). With `limit_bytes` a longer one is refused while it is read, never cut."""

    kind = "text"

    def __init__(
        self, path: Path, *, uri: str | None = None, options: Mapping[str, Any] | None = None, pulse: Pulse = no_pulse
    ) -> None:
        self.path, self.uri, self._pulse = Path(path), uri or str(path), pulse
        self.options = checked_options(self.uri, options, {})

    def __iter__(self) -> Iterator[Document]:
        return self.documents()

    def documents(self) -> Iterator[Document]:
        """The one document. Raises BadSource for what is no UTF-8, holds a NUL, is too long, or cannot be read."""
        chunks, size, most = [], 0, self.options["limit_bytes"]
        for chunk in byte_chunks(self.path, self._pulse):
            size += len(chunk)
            if most is not None and size > most:
                raise BadSource(self.uri, f"more than {most:,} bytes of text", f"up to {most:,}")
            chunks.append(chunk)
        data = b"".join(chunks).removeprefix(codecs.BOM_UTF8)
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            got = f"byte 0x{data[error.start]:02x} at offset {error.start}, which is not UTF-8"
            raise BadSource(_line(self.uri, data, error.start), got, "UTF-8 text") from None
        if "\0" in text:
            raise BadSource(_line(self.uri, data, data.index(b"\0")), "a NUL character", "text")
        yield Document(text=text, origin=content_origin(text, "text"), meta={"file": self.path.name})

    def fingerprint(self) -> str:
        """SHA-256 of the bytes."""
        with open(self.path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def _line(name: str, data: bytes, offset: int) -> str:
    return f"{name}:{data[:offset].count(10) + 1}"
