"""Files as people have them, and how they are read here."""

import json
from pathlib import Path

import pytest

from model.data.sources import open_source
from model.errors import BadSource

TALK = [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Yes."}]
SHAREGPT = [{"from": "human", "value": "Hello?"}, {"from": "gpt", "value": "Yes."}]


def lines(*rows: object) -> bytes:
    return "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows).encode()


def put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def texts(path: Path, **options: object) -> list[str | None]:
    return [document.text for document in open_source(str(path), options=options)]


def refused(path: Path, opened=open_source, **options: object) -> BadSource:
    with pytest.raises(BadSource) as caught:
        list(opened(str(path), options=options))
    str(caught.value).encode()  # can be sent and printed
    assert len(str(caught.value)) < 4_096
    return caught.value
