"""Small JSON files of a model folder: read whole, or refused by name. They are foreign: deep nesting, numbers of
thousands of digits and keys that come twice are refused here and never reach a reader."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from model.errors import BadCheckpoint

MOST_BYTES = 50_000_000


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises BadCheckpoint that names the file."""
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise BadCheckpoint(str(path), f"{size:,} bytes", f"up to {MOST_BYTES:,} bytes of JSON")
        return parse_json_object(path.read_bytes(), str(path))
    except OSError as error:
        raise BadCheckpoint(str(path), error.strerror or str(error), "a file that may be read") from error


def parse_json_object(data: bytes, where: str) -> dict[str, Any]:
    """The JSON object in some bytes; see `read_json_object`. Raises BadCheckpoint."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
            raise BadCheckpoint(f"{where}: {twice[:80]}", "a key that comes twice", "each key once")
        return found

    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=once)
    except BadCheckpoint:
        raise
    except RecursionError as error:
        raise BadCheckpoint(where, "JSON that is nested too deeply", "JSON of a few levels") from error
    except ValueError as error:
        raise BadCheckpoint(where, str(error)[:200], "valid JSON") from error
    if not isinstance(value, dict):
        raise BadCheckpoint(where, type(value).__name__, "a JSON object")
    return value
