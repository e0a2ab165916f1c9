"""Data side: tokenise and pack beside bare `tokenizers`, reading by a child, batches a second, memory on a gigabyte.

python -m tests.benchmarks data
"""

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from model.data.prepare import pack
from model.data.shards import ShardWriter, TokenShard
from model.data.sources import open_source
from model.dataloader.batch_stream import BatchStream
from model.document import Document
from model.tokenization.tokenizer import Tokenizer
from tests.benchmarks.reading import long_words, reader_memory, reader_speed

TEXT_MB, ROUNDS, CONTEXT, ROWS = 12, 3, 256, 8
SHARD_TOKENS, DOCUMENT_TOKENS, VOCABULARY = 512 * 1024 * 1024, 1_000, 4_096


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        pack_speed(Path(scratch))
        reader_speed(Path(scratch))
        reader_memory(Path(scratch))
        long_words()
        batch_speed(Path(scratch))


def pack_speed(scratch: Path) -> None:
    """Packing against `encode_batch_fast` of the same texts in the same batches; interleaved, medians."""
    documents = list(open_source("sample://docs")) + list(open_source("sample://science"))
    while sum(len(d.text or "") for d in documents) < TEXT_MB << 20:
        documents += documents
    tokenizer = Tokenizer.train_bpe((d.text or "" for d in documents[:1_500]), VOCABULARY)
    total_mb = sum(len((d.text or "").encode()) for d in documents) / 1e6
    bare, packed = [], []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        encode_only(tokenizer, documents)
        bare.append(total_mb / (time.perf_counter() - begin))
        begin = time.perf_counter()
        pack(documents, tokenizer, scratch / "packed", context=CONTEXT, kind="text")
        packed.append(total_mb / (time.perf_counter() - begin))
    ratio = statistics.median(packed) / statistics.median(bare)
    print(f"{total_mb:.1f} MB of text, vocabulary {tokenizer.vocab_size}, median of {ROUNDS}")
    print(f"  tokenizers alone      {statistics.median(bare):6.2f} MB/s")
    print(f"  tokenise and pack     {statistics.median(packed):6.2f} MB/s   {ratio:.2f} of it (goal 0.80)")


def encode_only(tokenizer: Tokenizer, documents: list[Document]) -> None:
    """The library alone: the same batches of about a megabyte, and nothing done with the result."""
    batch: list[str] = []
    size = 0
    for document in documents:
        batch.append(document.text or "")
        size += len(batch[-1])
        if size >= 1 << 20:
            tokenizer._backend.encode_batch_fast(batch)
            batch, size = [], 0
    tokenizer._backend.encode_batch_fast(batch)


def batch_speed(scratch: Path) -> None:
    """Batches of a 1 GB shard: how fast, and how much resident memory of our own (not file pages) they take."""
    rng = np.random.default_rng(0)
    block = rng.integers(0, VOCABULARY, (1_000, DOCUMENT_TOKENS)).tolist()
    with ShardWriter(scratch / "big", kind="text", vocab_size=VOCABULARY, tokenizer_digest="synthetic") as writer:
        for _ in range(SHARD_TOKENS // (1_000 * DOCUMENT_TOKENS)):
            writer.add(block, None, [None] * len(block), 0)
        writer.finish(source="synthetic")
    for name, parts in (("a 2 MB shard", 1), ("a 1 GB shard", None)):
        if parts:
            with ShardWriter(scratch / "small", kind="text", vocab_size=VOCABULARY, tokenizer_digest="s") as writer:
                writer.add(block, None, [None] * len(block), 0)
                writer.finish(source="synthetic")
        shard = TokenShard.open(scratch / ("small" if parts else "big"))
        before = anonymous_mb()
        stream = BatchStream({"a": shard}, target="a", shares={}, seed=0, context=CONTEXT, rows=ROWS)
        stream.next_batch()
        begin, batches = time.perf_counter(), 2_000
        for _ in range(batches):
            stream.next_batch()
        seconds = time.perf_counter() - begin
        rate = batches * ROWS * CONTEXT / seconds / 1e6
        size_mb = (shard.folder / "tokens.bin").stat().st_size / 1e6
        print(
            f"{name} ({size_mb:,.0f} MB): {seconds / batches * 1e6:.0f} us a batch of "
            f"{ROWS} x {CONTEXT} ({rate:.1f} M tokens/s), own memory {anonymous_mb() - before:+.1f} MB"
        )


def anonymous_mb() -> float:
    """Resident memory that is not backed by a file: mapped pages of a shard can be dropped at any time."""
    facts = psutil.Process().memory_info()
    return (facts.rss - facts.shared) / 1e6


if __name__ == "__main__":
    main()
