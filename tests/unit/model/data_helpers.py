"""Small shards and tokenizers for the tests of the data side."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from model.data.contamination import Overlap, OverlapMeter
from model.data.shards import ShardWriter, TokenShard
from model.document import Document
from model.tokenization.tokenizer import Tokenizer

VOCABULARY = 60_000


def make_shard(
    folder: Path,
    documents: Sequence[Sequence[int]],
    *,
    masks: Sequence[Sequence[int]] | None = None,
    difficulties: Sequence[float | None] | None = None,
    digest: str = "",
) -> TokenShard:
    """A shard of the given token ids, written and opened as any other."""
    kind = "text" if masks is None else "chat"
    with ShardWriter(folder, kind=kind, vocab_size=VOCABULARY, tokenizer_digest="t") as writer:
        writer.add(documents, masks, difficulties or [None] * len(documents), 0)
        writer.finish(source=folder.name, digest=digest or folder.name)
    return TokenShard.open(folder)


def numbered(lengths: Sequence[int], start: int = 0) -> list[list[int]]:
    """Documents of the given lengths whose tokens are all different: start, start + 1, ..."""
    documents, at = [], start
    for length in lengths:
        documents.append(list(range(at, at + length)))
        at += length
    return documents


def byte_tokenizer() -> Tokenizer:
    """A tokenizer of single bytes behind a BOS: text of n ASCII characters is n + 1 tokens."""
    return Tokenizer.train_bpe(["ab"], 262)


def encode_chat(
    tokenizer: Tokenizer, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()
) -> tuple[list[int], list[int]]:
    """(ids, mask) of the turns of a conversation."""
    return tokenizer.encode_document(Document(messages=tuple(messages), tools=tuple(tools), origin="test"))


def measure_overlap(evaluation: Mapping[str, Iterable[Document]], training: Iterable[Document]) -> dict[str, Overlap]:
    """Overlap of each named evaluation set with the training documents, in one pass over them."""
    meter = OverlapMeter(evaluation)
    for document in training:
        meter.see(document)
    return meter.result()
