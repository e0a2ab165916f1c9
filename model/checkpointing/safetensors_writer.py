"""Writes safetensors files, piece by piece: whoever watches sees it get on, and a full disk is the system's own error.

The library's `save_file` writes gigabytes in one call that says nothing until its end, and reports a full disk as text.
The format is an eight-byte length, a JSON header (dtype, shape and place of each tensor) and the bytes of the tensors;
what is written here is bit for bit what the library writes (https://github.com/huggingface/safetensors).
"""

import json
from collections.abc import Callable, Mapping
from io import FileIO
from pathlib import Path

import torch
from torch import Tensor

# What is written between two signs of work: at 1 MB/s still one every few seconds.
PIECE_BYTES = 4 * 1024 * 1024
_ALIGNMENT = 8
# The library puts wider numbers first, so that all of them are aligned.
_NAMES = {
    torch.uint8: "U8", torch.int8: "I8", torch.bool: "BOOL", torch.int16: "I16", torch.float16: "F16",
    torch.bfloat16: "BF16", torch.int32: "I32", torch.float32: "F32", torch.float64: "F64", torch.int64: "I64",
}  # fmt: skip


def save_file(
    tensors: Mapping[str, Tensor],
    path: Path,
    *,
    metadata: Mapping[str, str] | None = None,
    beat: Callable[[], None] = lambda: None,
) -> None:
    """Write named tensors (on the CPU). Raises OSError, with the path, when there is no room, and KeyError for a dtype
    that the format does not know. `beat` is called after every few megabytes. Tensors of any shape, by name."""
    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for name in order:
        tensor = tensors[name]
        header[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + tensor.nbytes],
        }
        offset += tensor.nbytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    try:
        with path.open("wb", buffering=0) as file:
            _write_all(file, memoryview(len(text).to_bytes(8, "little") + text), beat)
            for name in order:
                flat = tensors[name].detach().contiguous().reshape(-1).view(torch.uint8)
                _write_all(file, memoryview(flat.numpy().data), beat)
    except OSError as error:
        if error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def _write_all(file: FileIO, data: memoryview, beat: Callable[[], None]) -> None:
    while data:
        data = data[file.write(data[:PIECE_BYTES]) :]
        beat()
