"""Documents to token ids, with the document's place in every fault: its file and line, or its row."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from model.document import Document
from model.errors import BadSource

if TYPE_CHECKING:
    from model.tokenization.tokenizer import Tokenizer

_NUMBERED = re.compile(r"text\[(\d+)\]")


def encode_texts(tokenizer: Tokenizer, documents: Sequence[Document]) -> list[list[int]]:
    """Ids of each document, all of which are texts. Raises BadSource with the place of the one that has none."""
    return encode_plain(tokenizer, documents)


def encode_plain(tokenizer: Tokenizer, documents: Sequence[Document]) -> list[list[int]]:
    """The same for texts, and of conversations the ids of what is said in them, without a template.

    Raises BadSource.
    """
    try:
        return tokenizer.encode_batch([document.plain_text() for document in documents])
    except BadSource as error:
        number = _NUMBERED.fullmatch(error.field)
        if number is None:
            raise
        raise BadSource(place_of(documents[int(number[1])]), error.got, error.expected) from error


def batched(documents: Iterable[Document], count: int) -> Iterator[list[Document]]:
    """Documents, so many at a time."""
    left = iter(documents)
    while batch := list(islice(left, count)):
        yield batch


def place_of(document: Document) -> str:
    """Where a document comes from, for people: file and line, row, file, or its origin."""
    return str(document.meta.get("row") or document.meta.get("file") or document.origin)
