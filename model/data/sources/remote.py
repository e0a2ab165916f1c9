"""`s3://` and `hf://`: data that is somewhere else.

s3://bucket/prefix   fetched into a local folder by a function that the caller passes in (`fetch(uri, folder) -> path`);
                     this package knows no object store. Then the same as a local file or folder.
hf://owner/name      through the `datasets` library, streamed row by row, so that a data set of terabytes starts at once
                     and never fills a disk. `hf:///a/local/folder` or `hf://./folder` opens a folder in hub layout.
                     HF_HOME and HF_HUB_OFFLINE are honoured by the library itself.

Data sets that people know, and what they need:

| uri | options | form, see `model.data.readers.rows` |
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

Without a `revision`, or with a branch, the hub is asked for the commit once, when the source is opened; the rows are
those of that commit, and it names what is prepared. Where the hub cannot be asked, a note says so.
A stream that breaks off is taken up again at the row that was due, some times and with pauses; then it is a fault.
Data sets that need code from the hub to load are refused by `datasets` itself, and rightly so.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from model.data.readers.opened import Pulse, no_pulse
from model.data.readers.parquet_rows import without_fill
from model.data.readers.rows import ROW_OPTIONS, bearable, document_of, notes_of_cuts
from model.data.shards import file_sha256
from model.data.sources import hub
from model.data.sources.base import Source, checked_options
from model.document import Document
from model.errors import BadSource

Fetch = Callable[[str, Path], Path]
# Of one row: with the pauses below a hub that is busy for a minute and a half is no fault of the data.
STREAM_TRIES = int(os.environ.get("RETAIN_HUB_TRIES") or 8)
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
HF_OPTIONS: dict[str, Any] = {**ROW_OPTIONS, "name": None, "split": "train", "revision": None, "data_files": None}


def fetched(uri: str, *, fetch: Fetch | None, cache: Path | None) -> Path:
    """Where the objects under an s3 URI lie, after `fetch` has put them into a folder of the cache.

    Raises BadSource.
    """
    if fetch is None or cache is None:
        raise BadSource(
            field=uri, got="an s3:// source without a way to fetch it", expected="a fetch function and a cache"
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
        hub.check_name(uri, self.path)
        chosen = {name: self.options[name] for name in ("name", "split", "revision", "data_files")}
        hub.check_options(uri, **chosen)
        self._is_local = hub.is_local(self.path)
        self._revision = (
            hub.Revision(commit=None) if self._is_local else hub.revision_of(uri, self.path, self.options["revision"])
        )
        first = next(iter(self), None)
        if first is None:
            raise BadSource(field=uri, got="no rows", expected="at least one row")
        self.kind = first.kind

    def _stream(self) -> Any:
        from datasets import config, load_dataset_builder

        # The library's own retries sleep for minutes without a sign of life; here they are few, and ours wait longer.
        config.STREAMING_READ_MAX_RETRIES = 1
        config.STREAMING_READ_RETRY_INTERVAL = 1
        config.STREAMING_READ_SERVER_UNAVAILABLE_RETRY_INTERVAL = 1
        config.STREAMING_READ_RATE_LIMIT_RETRY_INTERVAL = 1
        try:
            builder = load_dataset_builder(
                self.path,
                name=self.options["name"],
                revision=self._revision.commit or self.options["revision"],
                data_files=self.options["data_files"],
            )
            hub.check_resolved(self.uri, self.path, builder.config.data_files)
            return builder.as_streaming_dataset(split=self.options["split"])
        except (ValueError, FileNotFoundError) as error:  # what is asked for is not there, and will not be
            expected = "a data set that load_dataset can stream (name, split, revision, data_files are options)"
            raise BadSource(field=self.uri, got=hub.reason(error), expected=expected) from error

    def documents(self) -> Iterator[Document]:
        """One document a row."""
        for index, row in enumerate(self._rows()):
            where = f"{self.uri} row {index}"
            if isinstance(row, Mapping):  # the library's columns of objects are those of parquet
                row = {name: without_fill(value) for name, value in row.items()}
            yield from bearable(document_of(row, where, self.options), where, self._cut)

    def notes(self) -> tuple[str, ...]:
        """Which revision the rows are of, and which texts were cut, as far as the rows have been read."""
        commit = self._revision.commit
        of = f"{self.uri}: rows of commit {commit}" if commit else self._revision.note
        return ((of,) if of else ()) + notes_of_cuts(self.uri, self._cut)

    def _rows(self) -> Iterator[Any]:
        """The rows of the stream, each once. A stream that breaks off is opened again and passes over the rows that
        have been told; what still breaks then is a fault of the row that was due."""
        told = tries = 0
        while True:
            try:
                stream = self._stream()
                for row in stream.skip(told) if told else stream:
                    self._pulse(0)
                    yield row
                    told, tries = told + 1, 0
                return
            except (BadSource, MemoryError, GeneratorExit):
                raise
            except Exception as error:
                tries += 1
                if tries == STREAM_TRIES or self._is_local or not _may_pass(error):
                    expected = "a row that can be read"
                    raise BadSource(field=f"{self.uri} row {told}", got=hub.reason(error), expected=expected) from error
                self._rest(tries)

    def _rest(self, tries: int) -> None:
        """A pause that grows, with signs of life: this process waits, it does not hang."""
        seconds = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (tries - 1)) * random.uniform(0.5, 1.0)
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._pulse(0)
            time.sleep(min(0.2, left))

    def fingerprint(self) -> str:
        """The commit, or the revision as it was asked for where that is not known; for a local folder the names and
        hashes of its files."""
        local = Path(self.path)
        if self._is_local:
            paths = sorted(path for path in local.rglob("*") if path.is_file())
            facts: Any = [(path.relative_to(local).as_posix(), file_sha256(path)) for path in paths]
        else:
            facts = self._revision.commit or self.options["revision"] or "latest"
        return hashlib.sha256(json.dumps([self.path, facts]).encode()).hexdigest()


def _may_pass(error: BaseException) -> bool:
    """Whether another try may succeed: the network's and the server's errors, not those of the data."""
    import httpx2  # what huggingface_hub speaks HTTP with
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled):
        return False
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, HfHubHTTPError):
        return status is None or status == 429 or status >= 500
    return isinstance(error, ConnectionError | TimeoutError | EOFError | httpx2.TransportError)
