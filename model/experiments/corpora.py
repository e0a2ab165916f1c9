"""The text of the experiments: of each corpus a shard to train on, a control set and a disjoint report set.

    general   TinyStories, ASCII only: replay from the train file, retention on the validation rows from 320 on
    stories   more of the same kind, to see that nothing is reported as forgotten: learned from the train file, measured
              on the clean validation rows before 320
    gsm8k     arithmetic problems with worked answers; difficulty is the number of calculations
    scitldr   abstracts of papers with a one-line summary
    code      the standard library's source (comments taken out), whole files held out
    chat      short instructions and answers; the loss is on the answers

Documents are ordered by a hash of their text before they are divided, so that no file's order gets into a set.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from model.data.difficulty import gsm8k_calculations
from model.data.eval_set import EvalSet
from model.data.prepare import pack
from model.data.shards import TokenShard
from model.data.sources import open_source
from model.data.split import TRAIN, HoldOut, key_hash, split_of
from model.document import Document, content_origin
from model.errors import BadSource
from model.tokenization.conversation_formats import normalise
from model.tokenization.tokenizer import Tokenizer

BASE_MODEL = "models/stories260K-hf"
FIRST_RETENTION_ROW = 320
SALT = "experiments"
CODE_BYTES = 1_000  # of a piece of code: about as long as the other documents
# No token of its own for the roles: the pre-trained vocabulary has 512 entries and none to spare.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'assistant' %}"
    "{{ 'Answer: ' }}{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}"
    "{% else %}{{ 'Question: ' + message['content'] + '\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Answer: ' }}{% endif %}"
)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Most tokens of the sets. Control sets are measured at every boundary, report sets at the end."""

    control_tokens: int = 40_000
    report_tokens: int = 90_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Corpus:
    """One corpus, opened."""

    name: str
    shard: TokenShard
    control: EvalSet
    report: EvalSet


@dataclass(frozen=True, kw_only=True, eq=False)
class Texts:
    """Documents to train on, and documents held out."""

    train: list[Document]
    held: list[Document]


def load_tokenizer(shared: Path) -> Tokenizer:
    """The base model's tokenizer, with a chat template that needs no new tokens."""
    tokenizer = Tokenizer.load(shared / BASE_MODEL)
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def open_corpus(name: str, *, shared: Path, root: Path, context: int, sizes: Sizes, documents: int = 0) -> Corpus:
    """The corpus from `root`, made there first when it is missing. `documents`: train on the first so many only.

    Raises BadSource for a name that is not known or data that is not there.
    """
    folder = root / f"context-{context}" / (f"{name}-{documents}" if documents else name)
    if not (folder / "report" / "meta.json").is_file():
        _make(name, shared, folder, context=context, documents=documents, sizes=sizes)
    return Corpus(
        name=name,
        shard=TokenShard.open(folder / "shard"),
        control=EvalSet.open(folder / "control"),
        report=EvalSet.open(folder / "report"),
    )


def _make(name: str, shared: Path, folder: Path, *, context: int, documents: int, sizes: Sizes) -> None:
    if name not in READERS:
        raise BadSource("corpus", name, sorted(READERS))
    texts, tokenizer = READERS[name](shared), load_tokenizer(shared)
    train = sorted(texts.train, key=_place)
    kind = train[0].kind
    shutil.rmtree(folder, ignore_errors=True)
    pack(train[: documents or None], tokenizer, folder / "shard", context=context, kind=kind, source=name)
    control, report = divide(sorted(texts.held, key=_place), tokenizer, sizes)
    EvalSet.build(f"{name}/control", control, tokenizer, context).write(folder / "control")
    EvalSet.build(f"{name}/report", report, tokenizer, context).write(folder / "report")


def divide(
    held: Sequence[Document], tokenizer: Tokenizer, sizes: Sizes
) -> tuple[Sequence[Document], Sequence[Document]]:
    """Control and report documents, disjoint: the first ones up to the control set's tokens or a third of all, then
    those up to the report set's."""
    lengths = [_length(document, tokenizer) for document in held]
    most = min(sizes.control_tokens, sum(lengths) // 3)
    first = _count_within(lengths, most)
    second = _count_within(lengths[first:], sizes.report_tokens)
    return held[:first], held[first : first + second]


def _count_within(lengths: Sequence[int], most: int) -> int:
    used = 0
    for index, length in enumerate(lengths):
        used += length
        if used > most:
            return max(1, index)
    return len(lengths)


def shared_data() -> Path:
    """The folder of the shared data: in RETAIN_SHARED, or beside the checkout."""
    given = os.environ.get("RETAIN_SHARED")
    return (Path(given) if given else Path(__file__).resolve().parents[3] / "shared") / "data"


def _length(document: Document, tokenizer: Tokenizer) -> int:
    if document.text is not None:
        return len(tokenizer.encode(document.text))
    return len(tokenizer.encode_document(document)[0])


def _place(document: Document) -> float:
    return key_hash(content_origin(document.plain_text()), SALT)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        raise BadSource(str(path), "no such file", "the shared data (docs: RETAIN_SHARED, --shared)")
    with path.open(encoding="utf-8") as file:
        yield from (json.loads(line) for line in file if line.strip())


def _texts(texts: Iterable[str]) -> list[Document]:
    return [Document(text=text, origin=content_origin(text)) for text in texts]


def _ascii_stories(path: Path, *, rows: slice) -> list[Document]:
    texts = [row["text"] for row in _rows(path)][rows]
    return _texts(text for text in texts if text.isascii())


def _general(shared: Path) -> Texts:
    folder = shared / "general"
    return Texts(
        train=_ascii_stories(folder / "tinystories.train.jsonl", rows=slice(None)),
        held=_ascii_stories(folder / "tinystories.val.jsonl", rows=slice(FIRST_RETENTION_ROW, None)),
    )


def _stories(shared: Path) -> Texts:
    folder = shared / "general"
    return Texts(
        train=_ascii_stories(folder / "tinystories.train.jsonl", rows=slice(None)),
        held=_ascii_stories(folder / "tinystories.val.jsonl", rows=slice(0, FIRST_RETENTION_ROW)),
    )


def _gsm8k(shared: Path) -> Texts:
    def read(part: str) -> list[Document]:
        documents = []
        for row in _rows(shared / "math" / f"gsm8k.{part}.jsonl"):
            calculations = gsm8k_calculations(row["answer"])
            if calculations:
                text = f"{row['question']}\n{row['answer']}"
                documents.append(
                    Document(text=text, origin=content_origin(text), difficulty=float(min(calculations, 5)))
                )
        return documents

    return Texts(train=read("train"), held=read("test"))


def _scitldr(shared: Path) -> Texts:
    def read(part: str) -> list[Document]:
        rows = _rows(shared / "science" / f"scitldr-a.{part}.jsonl")
        return _texts(" ".join(row["source"]) + "\n" + row["target"][0] for row in rows)

    return Texts(train=read("train"), held=read("test"))


def _code(shared: Path) -> Texts:
    texts = Texts(train=[], held=[])
    rule = HoldOut(fraction=0.1, salt=SALT)
    for document in open_source("sample://code", options={"document_bytes": CODE_BYTES}):
        (texts.train if split_of(document, rule) == TRAIN else texts.held).append(replace(document, meta={}))
    return texts


def _chat(shared: Path) -> Texts:
    def read(part: str) -> list[Document]:
        path = shared / "chat" / f"chat.{part}.jsonl"
        found = [normalise(row, where=f"{path.name}:{number}") for number, row in enumerate(_rows(path), start=1)]
        return [Document(messages=messages, origin=content_origin(messages)) for messages in found]

    return Texts(train=read("train"), held=read("test"))


READERS: dict[str, Callable[[Path], Texts]] = {
    "general": _general,
    "stories": _stories,
    "gsm8k": _gsm8k,
    "scitldr": _scitldr,
    "code": _code,
    "chat": _chat,
}
