"""The header of a safetensors file: which tensors it holds, of which type and shape, and where; no weight is read.

    8 bytes: length N of the header, little endian | N bytes: JSON {"name": {"dtype", "shape", "data_offsets"}} | data

The offsets count from the behind of the header. Every byte of the data belongs to exactly one tensor: a gap or an
overlap would let a file carry what no reader shows, or give one tensor the bytes of another. All that is checked here,
by name, before a byte of a weight is believed.
"""

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.errors import BadCheckpoint
from model.json_file import parse_json_object

MOST_HEADER_BYTES = 100_000_000
METADATA = "__metadata__"
# Type in the header -> (its usual name, bytes of one number). The first four can be weights here.
WEIGHTS = {"F32": ("float32", 4), "F16": ("float16", 2), "BF16": ("bfloat16", 2), "F64": ("float64", 8)}
_TYPES = WEIGHTS | {
    "I64": ("int64", 8),
    "I32": ("int32", 4),
    "I16": ("int16", 2),
    "I8": ("int8", 1),
    "U64": ("uint64", 8),
    "U32": ("uint32", 4),
    "U16": ("uint16", 2),
    "U8": ("uint8", 1),
    "BOOL": ("bool", 1),
    "F8_E4M3": ("float8_e4m3", 1),
    "F8_E5M2": ("float8_e5m2", 1),
}


@dataclass(frozen=True, kw_only=True)
class HeaderEntry:
    """One tensor of a file. dtype: such as "float32"; can_be_weights: whether weights of this type are taken."""

    dtype: str
    can_be_weights: bool
    shape: tuple[int, ...]


def read_header(path: Path) -> dict[str, HeaderEntry]:
    """The tensors of a file by name. Raises BadCheckpoint that names the file and the tensor."""
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else None
            if length is None or length > min(MOST_HEADER_BYTES, size - 8):
                got = f"a header of {length:,} bytes in a file of {size:,}" if length is not None else f"{size} bytes"
                raise BadCheckpoint(str(path), got, "a whole safetensors file")
            raw = file.read(length)
    except OSError as error:
        raise BadCheckpoint(str(path), error.strerror or str(error), "a file that may be read") from error
    header = parse_json_object(raw, f"{path}: header")
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise BadCheckpoint(f"{path}: {METADATA}", "no map of texts", "texts by name")
    found: dict[str, HeaderEntry] = {}
    places: list[tuple[int, int, str]] = []
    for name, entry in header.items():
        found[name], begin, end = _entry(f"{path}: {name}", entry)
        places.append((begin, end, name))
    _check_places(path, sorted(places), size - 8 - length)
    return found


def _entry(where: str, entry: Any) -> tuple[HeaderEntry, int, int]:
    known = isinstance(entry, dict) and set(entry) == {"dtype", "shape", "data_offsets"}
    if not known:
        raise BadCheckpoint(where, str(entry)[:80], "an object with dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _TYPES:
        raise BadCheckpoint(where, f"the type {str(dtype)[:40]}", ", ".join(_TYPES))
    if not _whole_numbers(shape):
        raise BadCheckpoint(where, f"the shape {str(shape)[:80]}", "a list of whole numbers")
    if not _whole_numbers(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise BadCheckpoint(where, f"the offsets {str(offsets)[:80]}", "[begin, end]")
    name, number_bytes = _TYPES[dtype]
    begin, end = offsets
    if end - begin != math.prod(shape) * number_bytes:
        got = f"{end - begin:,} bytes for {name} of shape {tuple(shape)}"
        raise BadCheckpoint(where, got, f"{math.prod(shape) * number_bytes:,} bytes")
    return HeaderEntry(dtype=name, can_be_weights=dtype in WEIGHTS, shape=tuple(shape)), begin, end


def _whole_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(type(number) is int and 0 <= number < 1 << 62 for number in value)


def _check_places(path: Path, places: list[tuple[int, int, str]], data_bytes: int) -> None:
    reached = 0
    for begin, end, name in places:
        if begin != reached:
            got = "bytes of another tensor" if begin < reached else f"a gap of {begin - reached:,} bytes before it"
            raise BadCheckpoint(f"{path}: {name}", got, "tensors one behind the other")
        reached = end
    if reached != data_bytes:
        got = f"{data_bytes:,} bytes of data; the tensors take {reached:,}"
        raise BadCheckpoint(str(path), got, "a whole safetensors file and nothing behind it")
