"""Where documents come from. `open_source(uri)` is the only door.

| uri | what |
|---|---|
| sample://docs, sample://code | documentation and bare code of the standard library |
| sample://math, sample://science, sample://chat, sample://exchanges | generators |
| a path, file:///a/path | text, JSON lines, csv, parquet (also .gz, .zst), or a folder of them |
| s3://bucket/prefix | the same, fetched through a function that the caller passes in |
| hf://owner/name | through `datasets`, streamed |

Options can be given as a mapping or behind the URI (`sample://math?difficulty=[1,3]&seed=7`; values are read as JSON
where they are JSON). Every source also takes `limit_documents` and `limit_bytes`. Nothing that fails to load ever
becomes an empty data set: it raises BadSource.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from model.child_process.process import Waiting
from model.data.sources.apart import ApartSource
from model.data.sources.base import Source
from model.data.sources.dialogues import ChatSource
from model.data.sources.exchanges import ExchangesSource
from model.data.sources.files import OnFault
from model.data.sources.math_problems import MathSource
from model.data.sources.remote import Fetch, fetched
from model.data.sources.science_texts import ScienceSource
from model.data.sources.stdlib import StdlibSource
from model.errors import BadSource

SAMPLES = ("docs", "code", "math", "science", "chat", "exchanges")

__all__ = ["SAMPLES", "Source", "open_source", "source_digest"]


def open_source(
    uri: str,
    *,
    options: Mapping[str, Any] | None = None,
    fetch: Fetch | None = None,
    cache: Path | None = None,
    on_fault: OnFault | None = None,
    waiting: Waiting | None = None,
) -> Source:
    """The source behind a URI. Raises BadSource for what cannot be opened, with the URI, what it got and expected.

    Files and data sets of the hub are read by a child process within bounds (see `model.data.sources.apart`).
    on_fault: for files, called with every fault of a row or a file, and reading continues; without it the first raises.
    waiting: called some times a second while that process is waited for; it may raise, to end the reading.
    """
    base, _, query = uri.partition("?") if "://" in uri else (uri, "", "")
    merged = {name: _value(text) for name, text in parse_qsl(query, keep_blank_values=True)} | dict(options or {})
    scheme, _, rest = base.partition("://") if "://" in base else ("file", "", base)
    if scheme == "sample":
        return _sample(base, rest.strip("/"), merged)
    if scheme == "file":
        path = unquote(rest) if "://" in base else rest
    elif scheme == "s3":
        path = str(fetched(base, fetch=fetch, cache=cache))
    elif scheme == "hf":
        return ApartSource("HuggingFaceSource", path="", uri=base, options=merged, waiting=waiting)
    else:
        raise BadSource(field="uri", got=uri, expected="sample://, a file or folder, s3://, hf://")
    return ApartSource("FileSource", path=path, uri=base, options=merged, on_fault=on_fault, waiting=waiting)


def source_digest(source: Source) -> str:
    """SHA-256 that names the documents of a source: what it is, with which options, and its fingerprint.

    The place of a file is not part of it, its content is: the same data under two paths is the same data.
    """
    content = [source.form(), source.place(), dict(source.options), source.fingerprint()]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _sample(uri: str, name: str, options: Mapping[str, Any]) -> Source:
    if name in ("docs", "code"):
        return StdlibSource(name, uri=uri, options=options)
    if name == "math":
        return MathSource(uri=uri, options=options)
    if name == "science":
        return ScienceSource(uri=uri, options=options)
    if name == "chat":
        return ChatSource(uri=uri, options=options)
    if name == "exchanges":
        return ExchangesSource(uri=uri, options=options)
    raise BadSource(field="uri", got=uri, expected=", ".join(f"sample://{sample}" for sample in SAMPLES))


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
