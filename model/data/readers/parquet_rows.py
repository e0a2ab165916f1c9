"""Rows of parquet, in batches that are small in bytes, not only in rows: a row may be a book."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from model.data.readers.json_rows import Row
from model.data.readers.listing import unreadable
from model.data.readers.opened import Pulse, no_pulse
from model.errors import BadSource

# Few rows at a time: a page may say with four bytes that a text of a megabyte comes again.
_BATCH_BYTES, _MOST_ROWS = 4 << 20, 64


def parquet_rows(path: Path, pulse: Pulse = no_pulse) -> Iterator[Row]:
    """(place, row) of a parquet file. Raises BadSource for anything that parquet cannot read."""
    try:
        with open(path, "rb"):
            pass  # pyarrow's own message of a file that may not be read does not say so
    except OSError as error:
        raise unreadable(path, error) from None
    index = 0
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
                    for row in batch.slice(begin, step).to_pylist():
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


def _row_bytes(batch: Any) -> int:
    """Bytes of a row as Python will hold it: where a column is a dictionary each row may hold its longest text."""
    dictionaries = (column.dictionary.nbytes for column in batch.columns if hasattr(column, "dictionary"))
    result: int = 1 + batch.nbytes // max(1, len(batch)) + sum(dictionaries)
    return result
