# ruff: noqa: N815 (shape suffixes of names are upper case by convention)
"""An evaluation set: frozen tokens, windows and units, named by one digest.

A loss only means something together with exactly what was measured. A set fixes all of it:

* the documents, joined in file order, each with what the tokenizer's post-processor adds (the same as in training);
* the windows: `context` targets each, without overlap. Window i reads tokens [i*C, (i+1)*C) and predicts
  [i*C+1, (i+1)*C+1); the last one may be shorter. The very first token of the set is the only one never predicted;
* which targets count (a conversation: the assistant's tokens; attention never crosses conversations);
* the unit each target's nats are credited to: a document, or a 2,048-token segment of a longer one. Units are what the
  paired bootstrap draws;
* the bytes of each unit, so that losses of different tokenizers compare as bits per byte.

Two sets with the same digest are the same question. Evaluation results are stored under it.

Shapes: N tokens of the set, U units, R windows in a batch, T = context.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from model.data.shards import publish
from model.document import Document, said_by
from model.errors import BadSource, EmptyBatch
from model.nn.losses import NO_LOSS
from model.tokenization.encoding import encode_texts

if TYPE_CHECKING:
    from model.tokenization.tokenizer import Tokenizer

UNIT_TOKENS = 2_048
WINDOWING = "joined, non-overlapping, 1"
_FILES: dict[str, np.dtype[Any]] = {
    "tokens": np.dtype("<u4"),
    "units": np.dtype("<i4"),
    "mask": np.dtype("u1"),
    "unit_bytes": np.dtype("<i8"),
    "unit_documents": np.dtype("<i4"),
}


class EvalBatch(NamedTuple):
    """Windows of a set. All int64 tensors [R, T] (segments int32); short windows are filled up behind their end.

    targets_RT   token to predict, or NO_LOSS (masked, or filled up)
    units_RT     unit of the target, or -1 where the target is NO_LOSS
    segments_RT  None (text: attention crosses documents, as in training), or the conversation of each input token
    """

    inputs_RT: torch.Tensor
    targets_RT: torch.Tensor
    units_RT: torch.Tensor
    segments_RT: torch.Tensor | None


@dataclass(frozen=True, kw_only=True, eq=False)
class EvalSet:
    """See the module. Arrays: tokens_N, units_N (unit of each token), mask_N or None (1 = counts), and of each unit its
    bytes and its document."""

    name: str
    context: int
    tokenizer_digest: str
    text_digest: str
    tokens_N: np.ndarray
    units_N: np.ndarray
    mask_N: np.ndarray | None
    unit_bytes_U: np.ndarray
    unit_documents_U: np.ndarray

    @classmethod
    def build(cls, name: str, documents: Sequence[Document], tokenizer: Tokenizer, context: int) -> EvalSet:
        """Tokenises the documents in the order given. Raises BadSource for an empty list or a mix of texts and
        conversations, EmptyBatch when no target would count."""
        kinds = {document.kind for document in documents}
        if len(kinds) != 1:
            raise BadSource(
                field=f"evaluation set {name}",
                got="no documents" if not kinds else "texts and conversations mixed",
                expected="at least one document, all texts or all conversations",
            )
        if context < 1:
            raise BadSource(field=f"evaluation set {name}: context", got=context, expected="at least 1")
        if kinds == {"text"}:
            encoded: list[tuple[list[int], list[int] | None]]
            encoded = [(ids, None) for ids in encode_texts(tokenizer, documents)]
        else:
            encoded = [tokenizer.encode_document(document) for document in documents]
        tokens: list[np.ndarray] = []
        units: list[np.ndarray] = []
        masks: list[np.ndarray] = []
        unit_bytes: list[int] = []
        unit_documents: list[int] = []
        for index, (document, (ids, mask)) in enumerate(zip(documents, encoded, strict=True)):
            ids_n = np.asarray(ids, dtype=np.uint32)
            tokens.append(ids_n)
            units.append(len(unit_bytes) + np.arange(len(ids_n), dtype=np.int32) // UNIT_TOKENS)
            if mask is not None:
                masks.append(np.asarray(mask, dtype=np.uint8))
            sizes = _bytes_of_units(document, ids_n, mask, tokenizer)
            unit_bytes += sizes
            unit_documents += [index] * len(sizes)
        result = cls(
            name=name,
            context=context,
            tokenizer_digest=tokenizer.digest,
            text_digest=_text_digest(documents),
            tokens_N=np.concatenate(tokens),
            units_N=np.concatenate(units),
            mask_N=np.concatenate(masks) if masks else None,
            unit_bytes_U=np.asarray(unit_bytes, dtype=np.int64),
            unit_documents_U=np.asarray(unit_documents, dtype=np.int32),
        )
        if result.target_tokens == 0:
            raise EmptyBatch(
                field=f"evaluation set {name}",
                got=f"no target token in {len(documents)} documents",
                expected="at least one target",
            )
        return result

    @property
    def documents(self) -> int:
        """Number of documents."""
        return int(self.unit_documents_U[-1]) + 1

    @property
    def units(self) -> int:
        """Number of units U; unit ids are 0..U-1."""
        return len(self.unit_bytes_U)

    @property
    def bytes(self) -> int:
        """UTF-8 bytes of all units (of a conversation: of what the assistant says)."""
        return int(self.unit_bytes_U.sum())

    @property
    def target_tokens(self) -> int:
        """Number of targets that count: the denominator of the mean."""
        return len(self.tokens_N) - 1 if self.mask_N is None else int(self.mask_N[1:].sum())

    @property
    def digest(self) -> str:
        """SHA-256 over text, tokenizer, tokens, context, windowing and masks; the set's name is not part of it.

        The tokens themselves are in it because a chat template may change while the tokenizer does not.
        """
        tokens = hashlib.sha256(self.tokens_N.astype("<u4").tobytes()).hexdigest()
        mask = "" if self.mask_N is None else hashlib.sha256(self.mask_N.tobytes()).hexdigest()
        parts = [self.text_digest, self.tokenizer_digest, tokens, self.context, WINDOWING, UNIT_TOKENS, mask]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    @property
    def window_count(self) -> int:
        """Windows of `context` targets; the last one may be filled in part."""
        return -(-(len(self.tokens_N) - 1) // self.context)

    def part(self, first: int, count: int) -> EvalSet:
        """At most `count` windows from window `first` on, as a set of its own with the same units. It may hold no
        target; it is for measuring a part, and what belongs to the whole set (its digest, its bytes) is not its own."""
        low = min(first * self.context, len(self.tokens_N) - 1)
        high = min(low + count * self.context, len(self.tokens_N) - 1)
        cut = slice(low, high + 1)
        mask = None if self.mask_N is None else self.mask_N[cut]
        return replace(self, tokens_N=self.tokens_N[cut], units_N=self.units_N[cut], mask_N=mask)

    def batches(self, rows: int) -> Iterator[EvalBatch]:
        """All windows in order, at most `rows` at a time, with the segments that keep conversations apart."""
        C = self.context
        N = len(self.tokens_N)
        windows = self.window_count
        for first in range(0, windows, rows):
            count = min(rows, windows - first)
            low, high = first * C, min((first + count) * C, N - 1)
            filled = count * C - (high - low)
            targets = self.tokens_N[low + 1 : high + 1].astype(np.int64)
            units = self.units_N[low + 1 : high + 1].astype(np.int64)
            if self.mask_N is not None:
                silent = self.mask_N[low + 1 : high + 1] == 0
                targets[silent], units[silent] = NO_LOSS, -1
            segments = None
            if self.mask_N is not None:
                segments = _rows(self.unit_documents_U[self.units_N[low:high]].astype(np.int32), filled, -1, C)
            yield EvalBatch(
                _rows(self.tokens_N[low:high].astype(np.int64), filled, 0, C),
                _rows(targets, filled, NO_LOSS, C),
                _rows(units, filled, -1, C),
                segments,
            )

    def windows(self, rows: int) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """(inputs_RT, targets_RT, units_RT) of `batches`, for text sets, where no segments are needed."""
        for batch in self.batches(rows):
            yield batch.inputs_RT, batch.targets_RT, batch.units_RT

    def write(self, folder: Path) -> str:
        """Writes the set to `folder` (which appears whole or not at all) and returns its digest."""
        folder = Path(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        arrays = {"tokens": self.tokens_N, "units": self.units_N, "unit_bytes": self.unit_bytes_U}
        arrays["unit_documents"] = self.unit_documents_U
        if self.mask_N is not None:
            arrays["mask"] = self.mask_N
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.partial-", dir=folder.parent))
        try:
            files = {}
            for key, array in arrays.items():
                content = array.astype(_FILES[key]).tobytes()
                (partial / f"{key}.bin").write_bytes(content)
                files[key] = hashlib.sha256(content).hexdigest()
            meta: dict[str, Any] = {"name": self.name, "context": self.context, "digest": self.digest}
            meta |= {"tokenizer_digest": self.tokenizer_digest, "text_digest": self.text_digest}
            meta |= {"documents": self.documents, "units": self.units, "tokens": self.target_tokens}
            meta |= {"bytes": self.bytes, "windowing": WINDOWING, "sha256": files}
            (partial / "meta.json").write_text(json.dumps(meta, indent=1) + "\n")
            publish(partial, folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        return self.digest

    @classmethod
    def open(cls, folder: Path) -> EvalSet:
        """Reads a set and checks every file and the digest. Raises BadSource when something is missing or altered."""
        folder = Path(folder)
        try:
            meta = json.loads((folder / "meta.json").read_text())
            arrays = {}
            for key, sha256 in meta["sha256"].items():
                content = (folder / f"{key}.bin").read_bytes()
                if hashlib.sha256(content).hexdigest() != sha256:
                    raise BadSource(
                        field=f"{folder}/{key}.bin", got="another SHA-256 than meta.json says", expected=sha256
                    )
                arrays[key] = np.frombuffer(content, dtype=_FILES[key])
            result = cls(
                name=meta["name"],
                context=meta["context"],
                tokenizer_digest=meta["tokenizer_digest"],
                text_digest=meta["text_digest"],
                tokens_N=arrays["tokens"],
                units_N=arrays["units"],
                mask_N=arrays.get("mask"),
                unit_bytes_U=arrays["unit_bytes"],
                unit_documents_U=arrays["unit_documents"],
            )
        except (OSError, KeyError, json.JSONDecodeError) as error:
            raise BadSource(field=str(folder), got=repr(error), expected="a folder written by EvalSet.write") from error
        if result.digest != meta["digest"]:
            raise BadSource(field=f"{folder}: digest", got=result.digest, expected=meta["digest"])
        return result


def _rows(values: np.ndarray, filled: int, fill: int, context: int) -> torch.Tensor:
    return torch.from_numpy(np.pad(values, (0, filled), constant_values=fill).reshape(-1, context))


def _bytes_of_units(document: Document, ids: np.ndarray, mask: Sequence[int] | None, tokenizer: Tokenizer) -> list[int]:
    """Bytes of each unit of one document; they add up to the document's bytes (a conversation: the assistant's)."""
    if document.text is not None:
        total = len(document.text.encode("utf-8", "surrogatepass"))
    else:
        said = [piece for m in document.messages or () if m["role"] == "assistant" for piece in said_by(m)]
        total = sum(len(piece.encode("utf-8", "surrogatepass")) for piece in said)
    sizes: list[int] = []
    for low in range(0, max(len(ids), 1) - UNIT_TOKENS, UNIT_TOKENS):
        piece = ids[low : low + UNIT_TOKENS]
        if mask is not None:
            piece = piece[np.asarray(mask[low : low + UNIT_TOKENS], dtype=bool)]
        # A cut through a character costs a byte or two here, which the last unit of the document takes back.
        sizes.append(min(len(tokenizer.decode(piece.tolist()).encode("utf-8", "surrogatepass")), total - sum(sizes)))
    return [*sizes, total - sum(sizes)]


def _text_digest(documents: Sequence[Document]) -> str:
    """SHA-256 of what the documents say, in their order, whatever tokenizer reads them."""
    digest = hashlib.sha256()
    for document in documents:
        content: Any = document.text if document.text is not None else [dict(m) for m in document.messages or ()]
        if document.tools:
            content = [content, list(document.tools)]
        digest.update(json.dumps(content, sort_keys=True, ensure_ascii=True).encode() + b"\n")
    return digest.hexdigest()
