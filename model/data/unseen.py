"""Questions that a model was never shown, with the answers that they ask for: what a fine-tuning is examined by.

Conversations of one question and one answer are taken from the report part of a source, which nothing is trained on
and nothing is chosen by. The split sees to whole conversations; here the question itself is looked at too, since the
same words may begin a longer conversation that is trained on.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from model.data.content import normal_text
from model.data.sources import Source
from model.data.split import REPORT, TRAIN, HoldOut, Reservoir, split_of
from model.document import Document
from model.errors import BadSource

CANDIDATES = 4  # times as many as asked for are kept: some may turn out to be known


@dataclass(frozen=True, kw_only=True)
class Question:
    """A user's turn, and the answer that is right."""

    prompt: str
    expected: str


def unseen_questions(source: Source, *, limit: int, hold_out: HoldOut | None = None) -> list[Question]:
    """Up to `limit` questions of the source's report part, in an order that depends on what they say alone.

    No question is there twice, none occurs in a training conversation of the source. Raises BadSource for text, and
    when there is no such question.
    """
    rule = hold_out or HoldOut()
    if source.kind != "chat":
        raise BadSource(field=source.uri, got="text", expected="conversations: a question and its answer in each")
    held = Reservoir(capacity=CANDIDATES * limit, salt=rule.salt)
    trained: set[bytes] = set()
    for document in source:
        part = split_of(document, rule)
        if part == TRAIN:
            trained.update(_name(str(turn["content"])) for turn in document.messages or () if turn["role"] == "user")
        elif part == REPORT and _is_one_exchange(document):
            held.add(document)
    found: dict[bytes, Question] = {}
    for document in held.by_hash():
        asked, answered = (str(turn["content"]) for turn in document.messages or ())
        if (name := _name(asked)) not in trained:
            found.setdefault(name, Question(prompt=asked, expected=answered))
    if not found:
        raise BadSource(
            field=source.uri,
            got="no question that is held out and never trained on",
            expected="a source with conversations of one question and one answer in its report part",
        )
    return list(found.values())[:limit]


def _is_one_exchange(document: Document) -> bool:
    return [turn["role"] for turn in document.messages or ()] == ["user", "assistant"] and not document.tools


def _name(question: str) -> bytes:
    """Equal for questions that say the same; 16 bytes, so that millions of them fit into memory."""
    return hashlib.blake2b(normal_text(question).encode("utf-8", "surrogatepass"), digest_size=16).digest()
