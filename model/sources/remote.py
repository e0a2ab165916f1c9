"""`s3://` and `hf://`: data that is somewhere else.

s3://bucket/prefix   fetched into a local folder by a function that the caller passes in (`fetch(uri, folder) -> path`);
                     this package knows no object store. Then the same as a local file or folder.
hf://owner/name      through the `datasets` library, streamed row by row, so that a data set of terabytes starts at once
                     and never fills a disk. `hf:///a/local/folder` or `hf://./folder` opens a folder in hub layout.
                     HF_HOME and HF_HUB_OFFLINE are honoured by the library itself.

Data sets that people know, and what they need:

| uri | options | form, see `model.sources.rows` |
|---|---|---|
| hf://HuggingFaceFW/fineweb | name: sample-10BT | `text` |
| hf://HuggingFaceFW/fineweb-edu | name: sample-10BT | `text` |
| hf://codeparrot/github-code-clean | name: Python-all (as the card lists them) | `code`, `language` |
| hf://hendrycks/MATH | split: train | `problem`, `solution`, `level` ("Level 1".."Level 5"), `type` |
| hf://openai/gsm8k | name: main | `question`, `answer` |
| hf://google-research-datasets/mbpp | | `text`, `code` |
| hf://allenai/scitldr | name: Abstract | `source`, a list of sentences |
| hf://togethercomputer/RedPajama-Data-V2 | name: default | `raw_content` |
| hf://togethercomputer/RedPajama-Data-1T | name: arxiv (scientific papers) | `text` |
| hf://HuggingFaceTB/smoltalk | name: all | `messages` |
| hf://tatsu-lab/alpaca | | `instruction`, `input`, `output` |

Pin `revision` to a commit: without it the data may change under the run, and prepared data is named by the revision.
Data sets that need code from the hub to load are refused by `datasets` itself, and rightly so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from model.document import Document
from model.errors import BadSource
from model.shards import file_sha256
from model.sources.base import Source, checked_options
from model.sources.opened import Pulse, no_pulse
from model.sources.parquet_rows import without_fill
from model.sources.rows import ROW_OPTIONS, bearable, document_of, notes_of_cuts

Fetch = Callable[[str, Path], Path]
HF_OPTIONS: dict[str, Any] = {**ROW_OPTIONS, "name": None, "split": "train", "revision": None, "data_files": None}


def fetched(uri: str, *, fetch: Fetch | None, cache: Path | None) -> Path:
    """Where the objects under an s3 URI lie, after `fetch` has put them into a folder of the cache."""
    if fetch is None or cache is None:
        raise BadSource(
            field=uri, came="an s3:// source without a way to fetch it", allowed="a fetch function and a cache"
        )
    folder = Path(cache) / hashlib.sha256(uri.encode()).hexdigest()[:24]
    folder.mkdir(parents=True, exist_ok=True)
    return fetch(uri, folder)


class HuggingFaceSource(Source):
    """A data set of the hub, or a local folder in hub layout, streamed."""

    def __init__(self, uri: str, *, options: Mapping[str, Any] | None = None, pulse: Pulse = no_pulse) -> None:
        self.uri, self._pulse = uri, pulse
        self._cut: dict[str, int] = {}
        self.options = checked_options(uri, options, HF_OPTIONS)
        self.path = uri.removeprefix("hf://")
        if not self.path:
            raise BadSource(field=uri, came="no data set", allowed="hf://owner/name or hf:///folder")
        first = next(iter(self), None)
        if first is None:
            raise BadSource(field=uri, came="no rows", allowed="at least one row")
        self.kind = first.kind

    def _stream(self) -> Any:
        from datasets import load_dataset

        try:
            return load_dataset(
                self.path,
                name=self.options["name"],
                split=self.options["split"],
                revision=self.options["revision"],
                data_files=self.options["data_files"],
                streaming=True,
            )
        except Exception as error:
            raise BadSource(
                field=self.uri,
                came=f"{type(error).__name__}: {error}",
                allowed="a data set that load_dataset can stream (name, split, revision, data_files are options)",
            ) from error

    def documents(self) -> Iterator[Document]:
        """One document a row."""
        for index, row in enumerate(self._rows()):
            where = f"{self.uri} row {index}"
            if isinstance(row, Mapping):  # the library's columns of objects are those of parquet
                row = {name: without_fill(value) for name, value in row.items()}
            yield from bearable(document_of(row, where, self.options), where, self._cut)

    def notes(self) -> tuple[str, ...]:
        """Which texts were cut, as far as the rows have been read."""
        return notes_of_cuts(self.uri, self._cut)

    def _rows(self) -> Iterator[Any]:
        """The rows of the stream. Whatever the library raises on the way is a fault of the row that was due."""
        index = 0
        try:
            for row in self._stream():
                self._pulse(0)
                yield row
                index += 1
        except (BadSource, MemoryError):
            raise
        except Exception as error:
            came = f"{type(error).__name__}: {error}"
            raise BadSource(field=f"{self.uri} row {index}", came=came, allowed="a row that can be read") from error

    def fingerprint(self) -> str:
        """The revision if there is one; for a local folder the names and hashes of its files."""
        local = Path(self.path)
        if local.exists():
            paths = sorted(path for path in local.rglob("*") if path.is_file())
            facts: Any = [(path.relative_to(local).as_posix(), file_sha256(path)) for path in paths]
        else:
            facts = self.options["revision"] or "latest"
        return hashlib.sha256(json.dumps([self.path, facts]).encode()).hexdigest()
