"""The rows that the tables of `retain learn experiments` were made from, as one file beside this module.

They take hours to make. With them at hand anybody prints the guide's tables in seconds (`--published --table-only`),
and another machine runs only what is missing. A row is named by the digest of its arm: it holds for the code that it
was made with, and whoever changes how arms train runs them again and publishes anew.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from model.errors import BadSource
from model.experiments.measuring import write_json

FILE = Path(__file__).with_name("published.jsonl.gz")


def take_over(root: Path, file: Path = FILE) -> int:
    """Put every published row into `root` whose arm has none there; returns how many. Raises BadSource in an
    installation without them: packages leave them out."""
    if not file.is_file():
        raise BadSource(str(file), "no such file", "a checkout of the repository, which has them")
    taken = 0
    for line in gzip.decompress(file.read_bytes()).decode().splitlines():
        row: dict[str, Any] = json.loads(line)
        path = root / "rows" / f"{row['digest']}.json"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, row)
            taken += 1
    return taken


def publish(root: Path, file: Path = FILE) -> int:
    """Write all rows of `root` into the file, by digest: the same rows make the same bytes. Returns how many."""
    rows = [json.loads(path.read_text()) for path in sorted((root / "rows").glob("*.json"))]
    text = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
    file.write_bytes(gzip.compress(text.encode(), mtime=0))
    return len(rows)
