"""Blocks of documents that the parent writes: block n is a function of the parent, the settings and n alone, so that a
block that is there already is never written again and one that was lost comes back the same.

A block is JSON lines, `{"text": ...}` or `{"messages": [...]}`, which any reader of Retain opens.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from model.errors import BadConfig, BadSource
from model.nn.causal_lm import CausalLM
from model.self_replay.prompts import Prompts, Turn, turns_of
from model.self_replay.quality import LEAST_TOKENS, fault_of
from model.self_replay.rows import Row, write_rows
from model.tokenization.tokenizer import Tokenizer

VERSION = 1  # part of every digest: raise it when the same settings give other text
BLOCK = 64  # documents
LONGEST = 1024  # tokens of a document, where the context is longer
CACHE_BYTES = 1 << 30  # of keys and values that are held at once
# A parent that writes loops only is told so before it has written without end.
MOST_DROPPED = 0.75  # of the documents of the first blocks
FIRST_BLOCKS = 4


@dataclass(frozen=True, kw_only=True)
class Writing:
    """What is written. tokens: at least so many, in whole blocks; longest: tokens of one document."""

    prompts: Prompts
    tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    longest: int = LONGEST

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise BadConfig("sampling.tokens", self.tokens, "a whole number from 1")

    def digest(self, parent: str) -> str:
        """SHA-256 that names the text: `parent` names weights, tokenizer and template."""
        content = [VERSION, BLOCK, LEAST_TOKENS, parent, asdict(self)]
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Block:
    """One block. lines: its documents; tokens: of these; dropped: why others are not in it, and how many."""

    lines: tuple[str, ...] = ()
    tokens: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    def to_bytes(self) -> bytes:
        """As JSON lines."""
        return "".join(f"{line}\n" for line in self.lines).encode()

    def facts(self) -> dict[str, Any]:
        """What is said of it beside its text."""
        return {"documents": len(self.lines), "tokens": self.tokens, "dropped": dict(self.dropped)}


class Writer:
    """The parent at work. Same arguments, same blocks. Raises BadConfig where it cannot begin."""

    def __init__(self, model: CausalLM, tokenizer: Tokenizer, writing: Writing) -> None:
        self._model, self._tokenizer, self._writing = model.eval(), tokenizer, writing
        self._turns: tuple[Turn, ...] = turns_of(writing.prompts, model, tokenizer)
        self._longest = min(writing.longest, model.config.context)

    def block(self, number: int, *, beat: Callable[[], None] = lambda: None) -> Block:
        """Block `number`, from 0. `beat` is called for every position of every batch and may raise."""
        writing, rows = self._writing, list[Row]()
        seeds = [_seed(writing.seed, number * BLOCK + place) for place in range(BLOCK)]
        at_once = self._rows_at_once()
        for start in range(0, BLOCK, at_once):
            rows += write_rows(
                self._model,
                self._turns,
                seeds[start : start + at_once],
                longest=self._longest,
                temperature=writing.temperature,
                top_p=writing.top_p,
                beat=beat,
            )
        return self._kept(rows)

    def _kept(self, rows: list[Row]) -> Block:
        lines, tokens, dropped = list[str](), 0, Counter[str]()
        for row in rows:
            fault, document = self._document(row)
            if fault is not None:
                dropped[fault] += 1
                continue
            lines.append(json.dumps(document, ensure_ascii=False))
            tokens += sum(map(len, row.said))
        return Block(lines=tuple(lines), tokens=tokens, dropped=dropped)

    def _document(self, row: Row) -> tuple[str | None, dict[str, Any]]:
        """(why it is dropped, or None; the document)."""
        texts = [self._text(ids) for ids in row.said]
        if self._writing.prompts is Prompts.BOS:
            return fault_of(row.said[0]) or ("short" if not texts[0].strip() else None), {"text": texts[0]}
        if len(texts) < 2 or not row.ended:
            return "cut off", {}  # an answer that breaks off would teach to break off
        faults = (
            fault_of(ids, least=1) or ("short" if not text else None) for ids, text in zip(row.said, texts, strict=True)
        )
        said = zip(("user", "assistant"), texts, strict=True)
        messages = [{"role": role, "content": text} for role, text in said]
        return next((fault for fault in faults if fault), None), {"messages": messages}

    def _text(self, ids: list[int]) -> str:
        """What the ids say; bytes that are no characters are left out. A turn without the white space around it."""
        text = self._tokenizer.decode(ids).replace("\ufffd", "") if ids else ""
        return text if self._writing.prompts is Prompts.BOS else text.strip()

    def _rows_at_once(self) -> int:
        """Rows whose keys and values take up to CACHE_BYTES; where the sizes are not known, a quarter of a block."""
        config = self._model.config
        sizes = [getattr(config, name, None) for name in ("layers", "kv_heads", "head_size")]
        if not all(isinstance(size, int) for size in sizes):
            return BLOCK // 4
        bytes_a_row: int = 2 * 4 * self._longest * math.prod(sizes)  # type: ignore[arg-type]
        return max(1, min(BLOCK, CACHE_BYTES // bytes_a_row))


def blocks(
    writing: Writing,
    known: Callable[[int], dict[str, Any] | None],
    write: Callable[[int], dict[str, Any]],
    progress: Callable[[int, int], None] = lambda done, wanted: None,
) -> Iterator[dict[str, Any]]:
    """The facts of block 0, 1, ... until they hold `writing.tokens`: those that `known` has, the others from `write`.

    Raises BadSource for a parent most of whose documents are dropped.
    """
    tokens = documents = dropped = number = 0
    while tokens < writing.tokens:
        facts = known(number) or write(number)
        yield facts
        number += 1
        tokens, documents = tokens + facts["tokens"], documents + facts["documents"]
        dropped += sum(facts["dropped"].values())
        progress(min(tokens, writing.tokens), writing.tokens)
        if number >= FIRST_BLOCKS and dropped > MOST_DROPPED * (documents + dropped):
            got = f"{dropped} of {documents + dropped} documents that are loops, empty or cut off"
            expected = "a parent that writes text; another temperature, or other prompts (self://bos, self://chat)"
            raise BadSource(f"self://{writing.prompts}", got, expected)


def _seed(seed: int, place: int) -> int:
    return int.from_bytes(hashlib.sha256(f"self {seed} {place}".encode()).digest()[:7], "big")
