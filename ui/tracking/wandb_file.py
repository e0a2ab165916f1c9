"""Reads the rows that wandb wrote offline. Its package writes these files (in Go) and no longer reads them.

A file is 7 bytes of its own and then a LevelDB log (the format is in the documentation of LevelDB, doc/log_format.md):
blocks of 32,768 bytes with records in them, each 4 bytes of checksum, 2 of length (little-endian), 1 of type, and data.
Types: 1 a whole record; 2, 3, 4 the first, a middle and the last part of one. A block's end that is too short for a
header is padding. The record is a protobuf message of the package's own.
"""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ui.tracking.port import TrackerAway

_MAGIC, _OWN, _BLOCK, _HEADER = b":W&B", 7, 32_768, 7
_WHOLE, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


def offline_rows(folder: Path, run_id: str) -> Iterator[dict[str, Any]]:
    """The rows of a run in a folder `wandb`, file after file."""
    from wandb.proto import wandb_internal_pb2

    for file in sorted(folder.glob(f"*run-*-{run_id}/run-{run_id}.wandb")):
        for data in records(file.read_bytes(), str(file)):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                yield {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def records(data: bytes, where: str) -> Iterator[bytes]:
    """The records of a file; one that is half written at the end is left. Raises TrackerAway for another file."""
    if len(data) < _OWN:
        return  # begun, and nothing written yet
    if not data.startswith(_MAGIC):
        raise TrackerAway(f"{where} is no file of wandb: it begins with {data[:4]!r}")
    at, parts = _OWN, b""
    while at + _HEADER <= len(data):
        left = _BLOCK - at % _BLOCK
        if left < _HEADER:
            at += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        piece = data[at + _HEADER : at + _HEADER + length]
        if kind not in (_WHOLE, _FIRST, _MIDDLE, _LAST) or len(piece) < length:
            return
        at += _HEADER + length
        parts = piece if kind in (_WHOLE, _FIRST) else parts + piece
        if kind in (_WHOLE, _LAST):
            yield parts
