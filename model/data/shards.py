# ruff: noqa: N815 (shape suffixes of names are upper case by convention)
"""Token shards: documents tokenised once, read from disk by memory mapping ever after.

    folder/
        tokens.bin      uint16 (vocabulary up to 65,536) or uint32, all documents one after another
        offsets.bin     int64 [documents + 1]: document d is tokens[offsets[d] : offsets[d + 1]]
        mask.bin        uint8, 1 = the token is a target (conversations only)
        difficulty.bin  float32 [documents], 1..5 (only when the source says)
        held_out.json   what the shard was kept clean of (model.data.held_out), for the checkpoints of who trains on it
        meta.json       written last, with the size and SHA-256 of every file

Memory mapping means that a shard of any size costs no resident memory of its own: the system loads the pages that a
batch touches and drops them when it needs the room. A writer works in a temporary folder beside the target and renames
it, so a shard is there whole or not at all, whatever kills the writer.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from model.errors import BadSource, NothingToPack

FORMAT = 1
META = "meta.json"


@dataclass(frozen=True, kw_only=True)
class ShardMeta:
    """What is in a shard. `loss_tokens` counts target tokens; `text_bytes` the UTF-8 bytes that went in."""

    kind: str  # text or chat
    documents: int
    tokens: int
    loss_tokens: int
    text_bytes: int
    dtype: str
    vocab_size: int
    tokenizer_digest: str
    source: str = ""
    digest: str = ""
    longer_than_context: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    format: int = FORMAT


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenShard:
    """A shard opened for reading. N tokens, D documents."""

    folder: Path
    meta: ShardMeta
    tokens_N: np.ndarray
    offsets: np.ndarray  # int64 [D + 1]
    mask_N: np.ndarray | None
    difficulty_D: np.ndarray | None

    @classmethod
    def open(cls, folder: Path, *, verify: bool = False) -> TokenShard:
        """Maps the files. Sizes are always checked, hashes with `verify` (reads everything once). Raises BadSource."""
        folder = Path(folder)
        try:
            raw = json.loads((folder / META).read_text())
            meta = ShardMeta(**raw)
        except (OSError, TypeError, json.JSONDecodeError) as error:
            raise BadSource(
                field=str(folder), got=repr(error), expected="a folder with a meta.json of pack()"
            ) from error
        if meta.format != FORMAT:
            raise BadSource(field=f"{folder}: format", got=meta.format, expected=FORMAT)
        for name, facts in meta.files.items():
            path = folder / name
            size = path.stat().st_size if path.is_file() else None
            if size != facts["bytes"]:
                raise BadSource(field=str(path), got=f"{size} bytes", expected=f"{facts['bytes']} bytes")
            if verify and file_sha256(path) != facts["sha256"]:
                raise BadSource(field=str(path), got="another SHA-256", expected=facts["sha256"])

        def mapped(name: str, dtype: str) -> np.ndarray | None:
            if f"{name}.bin" not in meta.files:
                return None
            return np.memmap(folder / f"{name}.bin", dtype=np.dtype(dtype), mode="r")

        tokens, offsets = mapped("tokens", meta.dtype), mapped("offsets", "<i8")
        if tokens is None or offsets is None or len(offsets) != meta.documents + 1 or offsets[-1] != len(tokens):
            raise BadSource(
                field=str(folder), got="tokens and offsets that do not fit together", expected="a whole shard"
            )
        return cls(
            folder=folder,
            meta=meta,
            tokens_N=tokens,
            offsets=offsets,
            mask_N=mapped("mask", "u1"),
            difficulty_D=mapped("difficulty", "<f4"),
        )

    @property
    def kind(self) -> str:
        """`text` or `chat`."""
        return self.meta.kind

    @property
    def documents(self) -> int:
        """Number of documents."""
        return self.meta.documents

    def __len__(self) -> int:
        return self.meta.documents

    def document(self, index: int) -> np.ndarray:
        """The tokens of one document (a view, not a copy). A flat array."""
        return self.tokens_N[self.offsets[index] : self.offsets[index + 1]]


class ShardWriter:
    """Writes a shard as a context manager: `add` batches of documents, then `finish`; anything else leaves nothing.

    with ShardWriter(folder, kind="text", vocab_size=4096, tokenizer_digest=...) as writer:
        writer.add(token_lists, masks, difficulties, text_bytes)
        meta = writer.finish(source="sample://docs")
    """

    def __init__(
        self, folder: Path, *, kind: str, vocab_size: int, tokenizer_digest: str, context: int | None = None
    ) -> None:
        self.folder = Path(folder)
        self.kind, self.vocab_size, self.tokenizer_digest, self.context = kind, vocab_size, tokenizer_digest, context
        self.dtype = np.dtype("<u2") if vocab_size <= 1 << 16 else np.dtype("<u4")
        self.text_bytes = self.loss_tokens = self.longer = 0
        self._lengths: list[np.ndarray] = []
        self._difficulties: list[np.ndarray] = []
        self._files: dict[str, BinaryIO] = {}
        self._hashes: dict[str, Any] = {}
        self._finished = False

    def __enter__(self) -> ShardWriter:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self._partial = Path(tempfile.mkdtemp(prefix=f".{self.folder.name}.partial-", dir=self.folder.parent))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files.values():
            file.close()
        if not self._finished:
            shutil.rmtree(self._partial, ignore_errors=True)

    def _append(self, name: str, array: np.ndarray) -> None:
        if name not in self._files:
            self._files[name] = open(self._partial / name, "wb")  # noqa: SIM115 (closed in __exit__)
            self._hashes[name] = hashlib.sha256()
        content = array.tobytes()
        self._files[name].write(content)
        self._hashes[name].update(content)

    def add(
        self,
        token_lists: Sequence[Sequence[int]],
        masks: Sequence[Sequence[int]] | None,
        difficulties: Sequence[float | None],
        text_bytes: int,
    ) -> None:
        """Appends documents. Raises BadSource for a token outside the vocabulary."""
        lengths = np.fromiter((len(ids) for ids in token_lists), dtype=np.int64, count=len(token_lists))
        flat = np.empty(int(lengths.sum()), dtype=np.uint32)
        position = 0
        for ids in token_lists:
            flat[position : position + len(ids)] = ids
            position += len(ids)
        if len(flat) and int(flat.max()) >= self.vocab_size:
            raise BadSource(field="token id", got=int(flat.max()), expected=f"0 to {self.vocab_size - 1}")
        self._append("tokens.bin", flat.astype(self.dtype))
        if masks is None:
            self.loss_tokens += len(flat)
        else:
            mask = np.fromiter((int(bit) for bits in masks for bit in bits), dtype=np.uint8, count=len(flat))
            self._append("mask.bin", mask)
            # The first token of a conversation is never a target: nothing comes before it.
            starts = (np.cumsum(lengths) - lengths)[lengths > 0]
            self.loss_tokens += int(mask.sum()) - int(mask[starts].sum())
        if self.context is not None:
            self.longer += int((lengths > self.context + 1).sum())
        self._lengths.append(lengths)
        self._difficulties.append(np.array([np.nan if d is None else d for d in difficulties], dtype="<f4"))
        self.text_bytes += text_bytes

    def attach(self, name: str, content: bytes) -> None:
        """A further file that goes with the shard."""
        self._append(name, np.frombuffer(content, dtype=np.uint8))

    def finish(self, *, source: str = "", digest: str = "", facts: Mapping[str, Any] | None = None) -> ShardMeta:
        """Writes offsets, difficulties and meta.json, and moves the folder to its place. Raises BadSource if empty."""
        lengths = np.concatenate(self._lengths) if self._lengths else np.zeros(0, dtype=np.int64)
        if not lengths.sum():
            raise NothingToPack(
                field=source or str(self.folder), got="no tokens", expected="at least one document with text"
            )
        offsets = np.zeros(len(lengths) + 1, dtype="<i8")
        np.cumsum(lengths, out=offsets[1:])
        self._append("offsets.bin", offsets)
        difficulties = np.concatenate(self._difficulties)
        if not np.isnan(difficulties).all():
            # A document of unknown difficulty counts as medium.
            self._append("difficulty.bin", np.nan_to_num(difficulties, nan=3.0).astype("<f4"))
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
            file.close()
        meta = ShardMeta(
            kind=self.kind,
            documents=len(lengths),
            tokens=int(offsets[-1]),
            loss_tokens=self.loss_tokens,
            text_bytes=self.text_bytes,
            dtype=self.dtype.str,
            vocab_size=self.vocab_size,
            tokenizer_digest=self.tokenizer_digest,
            source=source,
            digest=digest,
            longer_than_context=self.longer,
            facts=dict(facts or {}),
            files={
                name: {"bytes": (self._partial / name).stat().st_size, "sha256": self._hashes[name].hexdigest()}
                for name in sorted(self._files)
            },
        )
        (self._partial / META).write_text(json.dumps(asdict(meta), indent=1) + "\n")
        publish(self._partial, self.folder)
        self._finished = True
        return meta


def publish(partial: Path, folder: Path) -> None:
    """Moves a finished folder to its place, replacing what is there; readers that mapped the old files keep them."""
    if folder.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old-", dir=folder.parent))
        os.rename(folder, old / "shard")
        os.rename(partial, folder)
        shutil.rmtree(old, ignore_errors=True)
    else:
        os.rename(partial, folder)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file of any size."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
