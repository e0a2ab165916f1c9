"""Training a tokenizer in a child: the library's own loop cannot be interrupted, a process can."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tokenizers import Tokenizer as Backend

from model.child_process.child import raised
from model.child_process.process import Apart, Ended, Waiting
from model.errors import BadSource
from model.tokenization.bpe import check_vocabulary
from model.tokenization.tokenizer import Tokenizer

MEMORY_BYTES = 8 << 30
PATIENCE_S = 3_600.0  # merging gives no sign: fifty megabytes of text take a minute, a vocabulary of 256,000 some more
_BATCH_BYTES = 512 << 10


def train_apart(
    texts: Iterable[str],
    vocab_size: int,
    *,
    min_frequency: int = 2,
    waiting: Waiting | None = None,
    progress: Callable[[int], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> Tokenizer:
    """The same tokenizer as `Tokenizer.train_bpe` makes of the same texts.

    waiting: called some times a second while the child works; it may raise, to end the training; progress: called with
    the bytes of text that were taken so far; say: called with what people should know about it.
    Raises what train_bpe and `texts` raise, and BadSource when the child does not get through.
    """
    check_vocabulary(vocab_size)
    threads = os.cpu_count() or 1
    child = Apart("model.child_process.encode", memory_bytes=MEMORY_BYTES, patience_s=PATIENCE_S, threads=threads)
    try:
        child.send({"op": "train", "vocab_size": vocab_size, "min_frequency": min_frequency}, waiting=waiting)
        done = 0
        for header, blob in _batches(texts):
            child.send(header, blob, waiting=waiting)
            done += len(blob)
            if progress is not None:
                progress(done)
        child.send({"op": "done"}, waiting=waiting)
        while True:
            header, blob = child.receive(waiting=waiting)
            if "sign" not in header:
                break
    except Ended as error:
        got = f"texts that the training does not get through: it {error}"
        raise BadSource("tokenizer.train", got, "text that can be read within its bounds") from error
    finally:
        child.end()
    if "fault" in header:
        raise raised(header["fault"], "tokenizer.train")
    if header["note"] and say is not None:
        say(header["note"])
    return Tokenizer.of_preset(Backend.from_str(blob.decode()))


def _batches(texts: Iterable[str]) -> Iterator[tuple[dict[str, Any], bytes]]:
    raw: list[bytes] = []
    size = 0
    for text in texts:
        raw.append(text.encode())
        size += len(raw[-1])
        if size >= _BATCH_BYTES:
            yield {"op": "text", "lengths": list(map(len, raw))}, b"".join(raw)
            raw, size = [], 0
    yield {"op": "text", "lengths": list(map(len, raw))}, b"".join(raw)
