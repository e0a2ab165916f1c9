"""The demonstration of `python -m model.cli.mixture`: a real mix of two samples, met by error diffusion and by lots."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from model.data.prepare import pack, training_texts
from model.data.shards import TokenShard
from model.data.sources import open_source
from model.dataloader.batch_stream import BatchStream
from model.tokenization.tokenizer import Tokenizer

_ROWS, _CONTEXT, _SHARE = 8, 128, 0.1


def main() -> None:
    """Packs mathematics (target), science (replay) and chat, and prints what their shares become row by row."""
    sources = {
        "math": open_source("sample://math", options={"documents": 2_000}),
        "science": open_source("sample://science", options={"documents": 400}),
        "chat": open_source("sample://chat", options={"documents": 1_000}),
    }
    tokenizer = Tokenizer.train_bpe((text for source in sources.values() for text in training_texts(source)), 1_024)
    with tempfile.TemporaryDirectory() as scratch:
        shards: dict[str, TokenShard] = {}
        for name, source in sources.items():
            pack(source, tokenizer, Path(scratch) / name, context=_CONTEXT, kind=source.kind)
            shards[name] = TokenShard.open(Path(scratch) / name)
        shares = {"science": _SHARE, "chat": _SHARE}
        stream = BatchStream(shards, target="math", shares=shares, seed=0, context=_CONTEXT, rows=_ROWS)
        lots = BatchStream(shards, target="math", shares=shares, seed=0, context=_CONTEXT, rows=_ROWS)
        rng = random.Random(0)
        drawn = dict.fromkeys(shards, 0)
        print(f"80 % math, 10 % science, 10 % chat; {_ROWS} rows of {_CONTEXT} tokens; loss-bearing tokens:\n")
        print("batches   error diffusion: math science   chat     lots: math science   chat")
        for batch in range(1, 201):
            stream.next_batch()
            for _ in range(_ROWS):
                name = rng.choices(list(lots.shares), weights=list(lots.shares.values()))[0]
                drawn[name] += lots._readers[name][0].next_row().loss_tokens
            if batch in (5, 10, 50, 100, 200):
                ours, theirs = _parts(stream.loss_tokens_seen), _parts(drawn)
                print(f"{batch:7d} {'':17s} {ours} {'':9s} {theirs}")
    print(
        "\nLots are drawn by rows, as most loaders do. Only the assistant's tokens of a chat row are targets, so that"
    )
    print("chat gets less than its share of what trains the model; error diffusion counts those tokens.")


def _parts(counts: dict[str, int]) -> str:
    total = sum(counts.values())
    return " ".join(f"{counts[name] / total:6.1%}" for name in ("math", "science", "chat"))


if __name__ == "__main__":
    main()
