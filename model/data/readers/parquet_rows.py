"""Rows of parquet, in batches that are small in bytes, not only in rows: a row may be a book.

Four bytes may say that a text of 100 MB comes again, so a file that unfolds into more than MOST_REPEATED_RATIO times
its size is refused, once MOST_UNSUSPECTED_BYTES have come out of it. Rows that share a long text (the same instructions
before each conversation) come to some hundreds, which is why the ratio of a packed text is not the one here.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from model.data.readers.json_rows import Row
from model.data.readers.listing import unreadable
from model.data.readers.opened import MOST_UNSUSPECTED_BYTES, Pulse, no_pulse
from model.errors import BadSource

# Few rows at a time: a page may say with four bytes that a text of a megabyte comes again.
_BATCH_BYTES, _MOST_ROWS = 4 << 20, 64
MOST_REPEATED_RATIO = 5_000


def parquet_rows(path: Path, pulse: Pulse = no_pulse) -> Iterator[Row]:
    """(place, row) of a parquet file. Raises BadSource for anything that parquet cannot read."""
    try:
        with open(path, "rb") as opened:  # pyarrow's own message of a file that may not be read does not say so
            packed = opened.seek(0, io.SEEK_END)
    except OSError as error:
        raise unreadable(path, error) from None
    index = unfolded = 0
    try:
        import pyarrow.parquet as pq

        with pq.ParquetFile(path, buffer_size=1 << 20, page_checksum_verification=True) as file:
            facts = file.metadata
            size = sum(facts.row_group(group).total_byte_size for group in range(facts.num_row_groups))
            average = max(1, size // max(1, facts.num_rows))
            for batch in file.iter_batches(batch_size=max(1, min(_MOST_ROWS, _BATCH_BYTES // average))):
                pulse(batch.nbytes)
                step = max(1, _BATCH_BYTES // _row_bytes(batch))
                for begin in range(0, len(batch), step):
                    piece = batch.slice(begin, step)
                    unfolded += _unfolded_bytes(piece)
                    if unfolded > MOST_UNSUSPECTED_BYTES and unfolded > MOST_REPEATED_RATIO * packed:
                        got = f"rows of more than {MOST_REPEATED_RATIO:,} times as many bytes as the file has"
                        raise BadSource(field=str(path), got=got, expected="texts that do not repeat each other")
                    for row in piece.to_pylist():
                        yield f"{path} row {index}", {name: without_fill(value) for name, value in row.items()}
                        index += 1
    except MemoryError:
        raise
    except Exception as error:
        if isinstance(error, BadSource):
            raise
        got = f"a file that parquet cannot read from row {index} on ({type(error).__name__}: {error})"
        raise BadSource(field=str(path), got=got, expected="parquet") from error


def without_fill(value: Any) -> Any:
    """A value of a column without the nulls of its objects: all objects of a column have the same keys, so what one
    does not have is filled up with null. The same rows as JSON lines have no such keys, and are to read alike."""
    if isinstance(value, dict):
        return {key: without_fill(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_fill(item) for item in value]
    return value


def _unfolded_bytes(batch: Any) -> int:
    """Bytes of a batch in which each row has its own text. Raises MemoryError where that is more than there is."""
    result: int = sum(
        (column.dictionary_decode() if hasattr(column, "dictionary") else column).nbytes for column in batch.columns
    )
    return result


def _row_bytes(batch: Any) -> int:
    """Bytes of a row as Python will hold it: where a column is a dictionary each row may hold its longest text."""
    dictionaries = (column.dictionary.nbytes for column in batch.columns if hasattr(column, "dictionary"))
    result: int = 1 + batch.nbytes // max(1, len(batch)) + sum(dictionaries)
    return result
