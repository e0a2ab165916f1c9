"""Gauge sets: general text that is measured in every stage and never trained on by anyone.

Where a retention set is held out from the source that is replayed, its score says two things at once: what the model
kept, and what it learned of that source. Its perplexity can fall while everything else is forgotten. So a run also
keeps a few kinds of text that no stage replays, as retention sets of their own:

    encyclopaedic   short articles of fact
    narrative       openings and endings of stories
    code            small pieces of programs in some twenty languages
    conversation    dialogues in plain text, never put into a chat template

Where the texts come from: they were written for Retain and stand beside this file, under Retain's own licence. Nothing
in them is taken from elsewhere, so that they may be shipped and kept, and no data set that a run could replay has them.
They are not a sample of the web, and their perplexity is not to be compared with that of one: what counts is how it
changes from the baseline to now, on the same frozen text.

How much they say: each kind has about a hundred documents of some 40 words, half of them for the control set and half
for the report set, so that either half has the 50 units which an interval needs (`model.evaluation.forgetting_score`).
Units and not tokens make an interval narrow; short documents are cheap ones.

The documents of both halves are held out by content from everything that a run trains on, like those of every
evaluation set (`model.data.held_out`). A change of the texts makes other sets with other digests: raise VERSION with
it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from model.data.content import content_key
from model.document import Document
from model.errors import BadSource

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "encyclopaedic": "short articles of fact",
        "narrative": "openings and endings of stories",
        "code": "small pieces of programs",
        "conversation": "dialogues in plain text",
    }
)
PREFIX = "gauge-"  # of the sets' names: no domain and no set of a user's begins with it
VERSION = 1
_BREAK = "\n%%\n"  # between two documents of a file


@dataclass(frozen=True, kw_only=True)
class GaugeTexts:
    """The documents of one kind. control: what the gate looks at; report: what people quote, disjoint from it."""

    kind: str
    control: tuple[Document, ...]
    report: tuple[Document, ...]

    @property
    def documents(self) -> tuple[Document, ...]:
        """All of them."""
        return (*self.control, *self.report)

    @property
    def digest(self) -> str:
        """SHA-256 of what the documents say and of which half they are in."""
        said = hashlib.sha256(f"{VERSION} {self.kind}\n".encode())
        for half in (self.control, self.report):
            said.update("\n".join(["", *map(content_key, half)]).encode())
        return said.hexdigest()


def set_name(kind: str) -> str:
    """The retention set of a kind: gauge-narrative."""
    return PREFIX + kind


def kind_of(name: str) -> str | None:
    """The kind of a gauge set; None for the name of any other set."""
    return name.removeprefix(PREFIX) if name.startswith(PREFIX) else None


@cache
def gauge_texts(kind: str) -> GaugeTexts:
    """The documents of a kind, every second one by the hash of its content in either half. Raises BadSource for a kind
    that there is none of, and for a package whose texts are missing."""
    if kind not in KINDS:
        raise BadSource("gauge", kind, ", ".join(KINDS))
    file = files(__package__) / f"{kind}.txt"
    if not file.is_file():
        raise BadSource(str(file), "no such file", "the texts that are installed with the package")
    texts = file.read_text(encoding="utf-8").rstrip("\n").split(_BREAK)
    documents = [
        Document(text=text, origin=f"gauge:{kind}:{number}", meta={"kind": kind})
        for number, text in enumerate(texts, start=1)
    ]
    by_hash = sorted(documents, key=content_key)
    return GaugeTexts(kind=kind, control=tuple(by_hash[::2]), report=tuple(by_hash[1::2]))
