"""Part of the benchmark of data: reading and encoding in children, memory on a gigabyte, words without end."""

import json
import random
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from model.child_process.tokenizer import ApartTokenizer
from model.child_process.training import train_apart
from model.data.prepare import pack
from model.data.sources import apart, open_source
from model.errors import BadSource
from model.tokenization.tokenizer import Tokenizer

FILE_MB, ROUNDS, VOCABULARY, CONTEXT = 24, 3, 4_096, 256
GIGABYTE = 1_000_000_000
TRAINED_MB = 5


def reader_speed(scratch: Path) -> None:
    """A file of JSON lines read by a child, encoded by another and packed, beside the library's own encoding of the
    same texts that lie in memory; interleaved, medians."""
    texts = sample_texts(FILE_MB)
    path = scratch / "rows.jsonl"
    with open(path, "w", encoding="utf-8") as file:
        for number, text in enumerate(texts):
            file.write(json.dumps({"text": text, "id": number}) + "\n")
    tokenizer = Tokenizer.train_bpe(texts[:1_500], VOCABULARY)
    size_mb = sum(len(text.encode()) for text in texts) / 1e6
    bare, read, whole = [], [], []
    with ApartTokenizer(tokenizer) as bounded:
        source = open_source(str(path))
        bounded.encode(texts[0])
        for _ in range(ROUNDS):
            begin = time.perf_counter()
            for batch in batches(texts):
                tokenizer._backend.encode_batch_fast(batch)
            bare.append(size_mb / (time.perf_counter() - begin))
            begin = time.perf_counter()
            sum(1 for _ in source)
            read.append(size_mb / (time.perf_counter() - begin))
            begin = time.perf_counter()
            pack(source, bounded, scratch / "read", context=CONTEXT, kind="text")
            whole.append(size_mb / (time.perf_counter() - begin))
    ratio = statistics.median(whole) / statistics.median(bare)
    print(f"{size_mb:.1f} MB of JSON lines on disk, median of {ROUNDS}")
    print(f"  tokenizers alone          {statistics.median(bare):6.2f} MB/s")
    print(f"  read by a child           {statistics.median(read):6.2f} MB/s")
    print(f"  read, tokenise and pack   {statistics.median(whole):6.2f} MB/s   {ratio:.2f} of it (goal 0.86)")


def reader_memory(scratch: Path) -> None:
    """The reader's largest resident memory on a gigabyte, in one line and in rows."""
    print("a gigabyte, read by a child (goal: under 200 MB)")
    row = json.dumps({"text": "some words of a row that is as long as rows are, and goes on " * 8}) + "\n"
    for name, content in (
        ("one line.txt", (b"ACGT" * 250_000 for _ in range(1_000))),
        ("one line.jsonl", (b'{"text": "' if n == 0 else b"some words" * 100_000 for n in range(1_001))),
        ("rows.jsonl", (row.encode() * 2_000 for _ in range(GIGABYTE // (2_000 * len(row))))),
    ):
        path = scratch / name
        write(path, content)
        apart._CHILDREN.end()
        before = {child.pid for child in psutil.Process().children()}
        begin = time.perf_counter()
        documents, refused, peak_mb = 0, "", 0.0
        try:
            for _ in open_source(str(path)):
                documents += 1
                if documents % 2_000 == 1:
                    peak_mb = max(peak_mb, peak_of_children_mb(before))
            peak_mb = max(peak_mb, peak_of_children_mb(before))
        except BadSource as error:
            peak_mb, refused = peak_of_children_mb(before), f", refused: {error.got}"
        seconds = time.perf_counter() - begin
        size_gb = path.stat().st_size / 1e9
        print(f"  {size_gb:.2f} GB {name:15} {documents:9,} documents in {seconds:5.1f} s, {peak_mb:4.0f} MB{refused}")
        path.unlink()


def long_words() -> None:
    """Training a tokenizer with megabytes of letters in one line beside ordinary text."""
    texts = sample_texts(3)
    letters = random.Random(0)
    size = TRAINED_MB * 1_000_000
    print(f"training a vocabulary of {VOCABULARY} (goal: under 10 s more)")
    for name, more in (
        ("3 MB of text", []),
        (f"and {TRAINED_MB} MB of ACGT in one line", ["ACGT" * (size // 4)]),
        (f"and {TRAINED_MB} MB of random ACGT in one line", ["".join(letters.choices("ACGT", k=size))]),
    ):
        begin = time.perf_counter()
        train_apart([*texts, *more], VOCABULARY)
        print(f"  {name:38} {time.perf_counter() - begin:5.1f} s")


def sample_texts(size_mb: int) -> list[str]:
    """So many megabytes of the samples, over and over."""
    texts = [document.text or "" for name in ("docs", "science") for document in open_source(f"sample://{name}")]
    while sum(map(len, texts)) < size_mb << 20:
        texts += texts
    return texts


def batches(texts: list[str]) -> Iterator[list[str]]:
    """Batches of about a megabyte, as packing makes them."""
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= 1 << 20:
            yield batch
            batch, size = [], 0
    yield batch


def write(path: Path, content: Iterator[bytes]) -> None:
    """The pieces, one after another."""
    with open(path, "wb") as file:
        for piece in content:
            file.write(piece)


def peak_of_children_mb(before: set[int]) -> float:
    """The largest resident memory that a new child has had, where the system tells."""
    peaks = [0.0]
    for child in psutil.Process().children():
        if child.pid in before:
            continue
        lines = Path(f"/proc/{child.pid}/status").read_text().splitlines()
        peaks += [int(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM")]
    return max(peaks)
