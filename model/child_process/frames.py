"""A frame: two lengths, a header in JSON, and bytes. Both directions of both pipes carry nothing else."""

from __future__ import annotations

import json
import struct
from typing import Any

_LENGTHS = struct.Struct("<QQ")
HEAD_BYTES = _LENGTHS.size
MOST_BYTES = 1 << 31


def packed(header: Any, blob: bytes = b"") -> list[bytes]:
    """The parts of a frame, to be written one after another. The header is ASCII, so half surrogates pass too."""
    text = json.dumps(header, separators=(",", ":"), default=str).encode()
    return [_LENGTHS.pack(len(text), len(blob)) + text, blob]


def lengths(head: bytes | bytearray | memoryview) -> tuple[int, int]:
    """(bytes of the header, bytes of the blob) from the first HEAD_BYTES. Raises ValueError for what is no frame."""
    header, blob = _LENGTHS.unpack(head)
    if header + blob > MOST_BYTES:
        raise ValueError(f"a frame of {header + blob} bytes")
    return header, blob
