"""Text that the pre-trained model writes itself, to be replayed in place of the stories that it was trained on: (l)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from model.checkpointing.hf import load_pretrained
from model.data.prepare import pack
from model.data.shards import TokenShard
from model.document import Document, content_origin
from model.experiments.arms import Arm
from model.experiments.corpora import BASE_MODEL, load_tokenizer
from model.self_replay.prompts import Prompts
from model.self_replay.writing import Block, Writer, Writing, blocks


def self_shard(arm: Arm, *, shared: Path, root: Path) -> TokenShard:
    """The shard of what the model writes for an arm, made first where it is missing; for each seed another text."""
    writing = Writing(
        prompts=Prompts.BOS, tokens=arm.written_tokens, temperature=arm.temperature, seed=arm.seed, longest=512
    )
    folder = root / "self" / f"{writing.digest('base')[:16]}-{arm.context}"
    if not (folder / "meta.json").is_file():
        writer = Writer(load_pretrained(shared / BASE_MODEL), load_tokenizer(shared), writing)
        documents = _documents(writer, writing)
        pack(documents, load_tokenizer(shared), folder, context=arm.context, kind="text", source="self://bos")
    return TokenShard.open(folder)


def _documents(writer: Writer, writing: Writing) -> Iterator[Document]:
    made: list[Block] = []

    def write(number: int) -> dict[str, Any]:
        made.append(writer.block(number))
        return made[-1].facts()

    for _ in blocks(writing, lambda number: None, write):
        for line in made.pop().lines:
            text = json.loads(line)["text"]
            yield Document(text=text, origin=content_origin(text, "self"))
