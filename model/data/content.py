"""What a document says, without how it was written down: the one place that decides when two documents are the same.

Two files of the same texts differ in much that nobody means: line ends, a blank at the end of a line, a newline at the
end, an `id` column, a column of nulls, JSON lines here and parquet there. What is held out for measuring is decided on
the content alone, so that none of this ever puts one copy of a text into training and another into an evaluation set.

Normal form (version NORMALISATION, part of every digest that depends on it):

* Unicode is composed (NFC), so that an accent is one character whether it was typed as one or two;
* CR LF and a lone CR are a line end (LF), as in every text file;
* white space at the end of a line, and around the whole text, does not count; nor does a byte-order mark.

Case, punctuation, indentation and blank lines inside do count: a text that differs there is another text, which the
count of near duplicates tells (`model.data.near_duplicates`). Of a conversation the roles and contents of its turns
count, and which functions it calls with which arguments; ids of calls and the list of tools do not.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from model.document import Document, Message

NORMALISATION = 1
_LONE_IDS = frozenset({"id", "tool_call_id"})


@dataclass(frozen=True)
class Content:
    """What one document says, looked at as often as one likes and computed once."""

    document: Document

    @cached_property
    def text(self) -> str:
        """The normal form of its text; of a conversation, of what its turns say, one after another."""
        return normal_text(self.document.plain_text())

    @cached_property
    def key(self) -> str:
        """32 hexadecimal digits that name what it says; equal for every way to write it down."""
        if self.document.text is not None:
            said = "text\x00" + self.text
        else:
            turns = [_normal_turn(message) for message in self.document.messages or ()]
            said = "chat\x00" + json.dumps(turns, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    @cached_property
    def lines(self) -> list[bytes]:
        """Its lines that hold something, without the white space around them, in UTF-8."""
        return _lines(self.text)


def content_key(document: Document) -> str:
    """The key of a document's content."""
    return Content(document).key


def normal_text(text: str) -> str:
    """The normal form of a text; see the module."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text.removeprefix("\ufeff"))
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return "\n".join(map(str.rstrip, text.split("\n"))).strip()


def normal_lines(text: str) -> list[bytes]:
    """The lines of a text that hold something, without the white space around them, in UTF-8."""
    return _lines(normal_text(text))


def _lines(said: str) -> list[bytes]:
    return [line for line in map(bytes.strip, said.encode("utf-8", "surrogatepass").split(b"\n")) if line]


def _normal_turn(message: Message) -> list[Any]:
    turn: list[Any] = [message["role"], normal_text(message.get("content") or "")]
    if message.get("tool_calls"):
        turn.append(_without_ids(message["tool_calls"]))
    return turn


def _without_ids(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _without_ids(item) for name, item in value.items() if name not in _LONE_IDS}
    if isinstance(value, list | tuple):
        return [_without_ids(item) for item in value]
    return value
