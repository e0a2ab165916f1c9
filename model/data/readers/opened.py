"""The bytes of a data file, decompressed on the way, and its text: decoded, with every kind of line end made one.

* `.gz` (also of several members) and `.zst` (also of several frames). A file that ends in the middle is refused, and so
  is one that unfolds into more than MOST_RATIO times its size once MOST_UNSUSPECTED_BYTES have come out of it.
* UTF-8, with or without a byte order mark; UTF-16 and UTF-32 with one. Anything else is refused by line and byte.
* LF, CRLF and CR end a line alike, so the same text saved by any editor holds the same documents. U+2028 and other
  separators are characters of the text: JSON allows them within a string.
"""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from model.data.readers.formats import compression_of
from model.data.readers.listing import unreadable
from model.errors import BadSource

MOST_RATIO, MOST_UNSUSPECTED_BYTES = 200, 64 << 20
CHUNK_BYTES = 256 << 10
# A block of four bytes may stand for 128 KiB in a .zst: so much is fed at a time, to unfold into 32 MiB at most.
_FED_BYTES = 1 << 10
_WINDOW_BYTES = 128 << 20
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
Pulse = Callable[[int], None]


def no_pulse(count: int) -> None:
    """Where nobody wants to know how many bytes were read."""


def text_chunks(path: Path, pulse: Pulse = no_pulse) -> Iterator[str]:
    """The text of a file in pieces of about CHUNK_BYTES, each line end as one "\\n".

    pulse: called with the number of bytes of every piece. Raises BadSource with line and byte where it is not text.
    """
    lines = position = 0
    decoder: codecs.IncrementalDecoder | None = None
    ends = io.IncrementalNewlineDecoder(None, translate=True)
    encoding = "utf-8"
    for raw in byte_chunks(path, pulse):
        if decoder is None:
            mark, encoding = next((pair for pair in _MARKS if raw.startswith(pair[0])), (b"", "utf-8"))
            decoder = codecs.getincrementaldecoder(encoding)()
            raw, position = raw[len(mark) :], len(mark)
        kept = decoder.getstate()[0]
        try:
            text = ends.decode(decoder.decode(raw))
        except UnicodeDecodeError as error:
            good = ends.decode(error.object[: error.start].decode(encoding), final=True)
            yield good
            raise _undecodable(path, lines + good.count("\n") + 1, error, position - len(kept), encoding) from None
        position += len(raw)
        if "\0" in text:
            line = lines + text[: text.index("\0")].count("\n") + 1
            raise BadSource(f"{path}:{line}", "a NUL character", "text (UTF-16 needs its byte order mark)")
        lines += text.count("\n")
        yield text
    if decoder is not None:
        try:
            text = decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            kept = decoder.getstate()[0]
            raise _undecodable(path, lines + 1, error, position - len(kept), encoding) from None
        yield ends.decode(text, final=True)


def _undecodable(path: Path, line: int, error: UnicodeDecodeError, begin: int, encoding: str) -> BadSource:
    byte = error.object[error.start]
    return BadSource(
        field=f"{path}:{line}",
        got=f"byte 0x{byte:02x} at offset {begin + error.start}, which is not {encoding.upper()}",
        expected="UTF-8 text (iconv -f LATIN1 -t UTF-8 turns Latin-1 into it)",
    )


def byte_chunks(path: Path, pulse: Pulse = no_pulse) -> Iterator[bytes]:
    """The bytes of a file as they are after decompression. Raises BadSource."""
    try:
        with open(path, "rb") as file:
            if not compression_of(path):
                while chunk := file.read(CHUNK_BYTES):
                    pulse(len(chunk))
                    yield chunk
                return
            count = 0
            for chunk in _gunzipped(file) if compression_of(path) == ".gz" else _unzstd(file):
                count += len(chunk)
                if count > MOST_UNSUSPECTED_BYTES and count > MOST_RATIO * file.tell():
                    raise BadSource(
                        str(path),
                        f"more than {MOST_RATIO} times as many bytes as the file has",
                        "text that was compressed",
                    )
                pulse(len(chunk))
                yield chunk
    except OSError as error:  # BadGzipFile is one
        if isinstance(error, gzip.BadGzipFile):
            raise BadSource(str(path), f"no gzip file ({error})", "a whole .gz file") from None
        raise unreadable(path, error) from None
    except EOFError:
        raise BadSource(str(path), "a compressed file that ends in the middle", "a whole file") from None
    except zlib.error as error:
        raise BadSource(str(path), f"a damaged gzip file ({error})", "a whole .gz file") from None


def _gunzipped(file: BinaryIO) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=file) as unzipped:
        while chunk := unzipped.read(CHUNK_BYTES):
            yield chunk


def _unzstd(file: BinaryIO) -> Iterator[bytes]:
    """Frames one after another. Raises EOFError where the last one is not whole."""
    import zstandard

    made = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES)
    frame, begun = made.decompressobj(), False
    waiting: list[bytes] = []
    size = 0
    while raw := file.read(_FED_BYTES):
        while raw:
            try:
                chunk = frame.decompress(raw)
            except zstandard.ZstdError as error:
                raise BadSource(file.name, f"a damaged zstd file ({error})", "a whole .zst file") from None
            begun, raw = True, b""
            waiting.append(chunk)
            size += len(chunk)
            if frame.eof:
                raw, frame, begun = frame.unused_data, made.decompressobj(), False
        if size >= CHUNK_BYTES:
            yield from _cut(b"".join(waiting))
            waiting, size = [], 0
    if begun:
        raise EOFError
    yield from _cut(b"".join(waiting))


def _cut(content: bytes) -> Iterator[bytes]:
    for begin in range(0, len(content), CHUNK_BYTES):
        yield content[begin : begin + CHUNK_BYTES]
