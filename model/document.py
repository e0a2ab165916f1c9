"""A document: the smallest piece of data that the rest of the model package handles.

Every source, whatever its format, yields documents; everything behind the sources (splitting, tokenising, packing,
evaluation sets) knows nothing about files or formats.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from model.errors import BadSource

# {"role": "system" | "user" | "assistant" | "tool", "content": text} and, with tools, what
# `model.tokenization.conversation_formats` names
Message = Mapping[str, Any]

DIFFICULTY_LOW, DIFFICULTY_HIGH = 1.0, 5.0


@dataclass(frozen=True, kw_only=True)
class Document:
    """One text or one conversation.

    text        plain text (pre-training, mid-training), or None for a conversation
    messages    the turns of a conversation in the form of `model.tokenization.conversation_formats.normalise`, or None
                for plain text
    tools       the tools that a conversation's assistant may call, each as a JSON schema; empty for most
    origin      stable id of where it comes from, for messages
    group       what it is held out together with: all documents of a group (the pieces of one book, the documentation
                and the code of one library file) land on the same side of the split. None: the content decides
    difficulty  1 (easy) to 5 (hard), or None when the source does not say
    meta        further facts (file, row, field of science, language), for messages and reports only
    """

    text: str | None = None
    messages: tuple[Message, ...] | None = None
    tools: tuple[Mapping[str, Any], ...] = ()
    origin: str
    group: str | None = None
    difficulty: float | None = None
    meta: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if (self.text is None) == (self.messages is None):
            raise BadSource(
                field=self.origin, got="both or neither of text and messages", expected="exactly one of text, messages"
            )
        if self.difficulty is not None:
            check_difficulty(self.difficulty, field=self.origin)

    @property
    def kind(self) -> str:
        """`text` or `chat`."""
        return "text" if self.text is not None else "chat"

    def plain_text(self) -> str:
        """The text, or all that the turns say, one a line (for statistics and overlap, never for training)."""
        if self.text is not None:
            return self.text
        return "\n".join(said for message in self.messages or () for said in said_by(message))


def said_by(message: Message) -> Iterator[str]:
    """What a message says beside its role: its content, its reasoning, the calls it makes."""
    reasoning = next(
        (message[name] for name in ("reasoning_content", "reasoning", "thinking") if message.get(name)), ""
    )
    calls = [json.dumps(call.get("function", call), ensure_ascii=False) for call in message.get("tool_calls") or ()]
    content = message["content"]
    return (said for said in (reasoning, content, *calls) if said or (said is content and not calls))


def check_difficulty(value: float, *, field: str) -> float:
    """The value as a float if it lies in 1..5; raises BadSource otherwise (also for NaN)."""
    if not (math.isfinite(value) and DIFFICULTY_LOW <= value <= DIFFICULTY_HIGH):
        raise BadSource(field=f"{field}: difficulty", got=value, expected="a number from 1 to 5")
    return float(value)


def content_origin(content: Any, prefix: str = "content") -> str:
    """An origin made from the content itself.

    The same row then has the same origin under any file name and in any order, so identical rows of two files (or of a
    stage's data and of a later stage's replay) always fall on the same side of the split.
    """
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return f"{prefix}:{hashlib.sha256(canonical.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}"
