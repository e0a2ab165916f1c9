"""Held-out documents, chosen by hash before anything else happens to them.

What: every document belongs to exactly one of three parts. `train` is trained on. `control` steers (the forgetting
gate, interpolation, every choice). `report` gives the figures that people quote, and nothing is ever chosen by it.

Why by hash: the part depends on what the document says alone (`model.content`: line ends, surrounding white space, ids
and metadata do not count), or on the group that it is held out with where its source names one. So it depends neither
on the form or name of its file, nor on its place in it, on how many other documents there are or on the machine; it
never changes when a source grows, is shuffled, or is used again by a later stage. A random permutation with a seed has
none of these properties.

A source so small that the rule leaves one of its sets empty gives up the keys that lie nearest above the rule's bound
(`Nearest`), as many as make the set's share of its documents. Which ones these are depends on what else the source
holds; that none of them is trained on does not, since every content of a run's sets is kept out of all its training.

The caps bound the size of the evaluation sets without touching the rule: a held-out document over the cap is used for
nothing. It is still never trained on, because another stage with another cap may evaluate on it.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from model.data.content import Content, content_key
from model.data.held_out import HeldOut
from model.document import Document
from model.errors import BadConfig

TRAIN, CONTROL, REPORT = "train", "control", "report"


@dataclass(frozen=True, kw_only=True)
class HoldOut:
    """How much to hold out.

    fraction        of all contents (or groups), half of it for control and half for report
    control_units   most units (documents, or 2,048-token segments of longer ones) of the control set. 160 units of
                    clean stories give an interval of about +-0.9 points of forgetting
    control_tokens  most tokens of the control set, so that an evaluation costs at most 5 % of a stage
    report_units, report_tokens   the same for the report set, measured at stage ends only
    shorten_to      documents of the control and report sets are shortened to this many tokens, None: never. Many short
                    pieces say more than a few long ones of the same number of tokens: under 50 units there is no
                    interval, and 15,000 tokens are only 17 files of code
    salt            another salt gives another, independent split
    """

    fraction: float = 0.05
    control_units: int = 160
    control_tokens: int = 15_000
    report_units: int = 1_000
    report_tokens: int = 200_000
    shorten_to: int | None = 200
    salt: str = "retain-split-2"

    def __post_init__(self) -> None:
        if not 0.0 <= self.fraction <= 0.5:
            raise BadConfig(field="hold_out.fraction", got=self.fraction, expected="0 to 0.5")
        for name in ("control_units", "control_tokens", "report_units", "report_tokens"):
            if getattr(self, name) < 1:
                raise BadConfig(field=f"hold_out.{name}", got=getattr(self, name), expected="at least 1")
        if self.shorten_to is not None and self.shorten_to < 16:
            raise BadConfig(field="hold_out.shorten_to", got=self.shorten_to, expected="at least 16, or nothing")


def key_hash(key: str, salt: str = HoldOut.salt) -> float:
    """A number in [0, 1) that depends on the key and the salt only."""
    digest = hashlib.sha256(f"{salt}\x00{key}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2.0**64


def split_of(document: Document, hold_out: HoldOut | None = None) -> str:
    """The part that a document belongs to: `train`, `control` or `report`."""
    return part_of(key_of(document), hold_out)


def part_of(key: str, hold_out: HoldOut | None = None) -> str:
    """The part of everything with this key, a group or a content."""
    rule = hold_out or HoldOut()
    position = key_hash(key, rule.salt)
    if position < rule.fraction / 2:
        return REPORT
    return CONTROL if position < rule.fraction else TRAIN


@dataclass
class Reservoir:
    """Keeps the `capacity` held-out contents with the smallest hash of a stream of any length, in bounded memory.

    Each content is kept once, however often it comes, and which ones are kept does not depend on their order: the same
    texts in another file make the same evaluation sets.
    """

    capacity: int
    salt: str
    _heap: list[tuple[int, str]] = field(default_factory=list, init=False)
    _kept: dict[str, Document] = field(default_factory=dict, init=False)

    def add(self, document: Document) -> None:
        key = content_key(document)
        if key in self._kept:
            return
        place = hashlib.sha256(f"{self.salt}\x00{key}".encode()).digest()
        self._kept[key] = document
        # The largest hash is on top of a min-heap of negated values; the key breaks ties.
        entry = (-int.from_bytes(place[:8], "big"), key)
        if len(self._heap) < self.capacity:
            heapq.heappush(self._heap, entry)
        else:
            del self._kept[heapq.heappushpop(self._heap, entry)[1]]

    def by_hash(self) -> list[Document]:
        """The documents kept, the smallest hash first: a prefix of it is a fair sample of any size."""
        return [self._kept[key] for _, key in sorted(self._heap, key=lambda entry: (-entry[0], entry[1]))]


class Nearest:
    """The keys of training documents that lie nearest above the bound of the rule, with their numbers of documents."""

    MOST = 256

    def __init__(self, hold_out: HoldOut) -> None:
        self._salt = hold_out.salt
        self._counts: dict[str, int] = {}
        self._heap: list[tuple[float, str]] = []  # the farthest on top
        self.documents = self.keys = 0

    def add(self, key: str) -> None:
        """A training document has this key."""
        self.documents += 1
        if key in self._counts:
            self._counts[key] += 1
            return
        self.keys += 1  # a key that comes again after it was pushed out counts twice: a bound, not a figure
        self._counts[key] = 1
        heapq.heappush(self._heap, (-key_hash(key, self._salt), key))
        if len(self._heap) > self.MOST:
            del self._counts[heapq.heappop(self._heap)[1]]

    def take(self, documents: int) -> frozenset[str]:
        """The nearest keys that hold so many documents, all but one key at most; they are not given again."""
        taken: set[str] = set()
        count = 0
        for entry in sorted(self._heap, reverse=True):
            if count >= documents or self.keys <= 1:
                break
            self._heap.remove(entry)
            heapq.heapify(self._heap)
            self.keys -= 1
            count += self._counts.pop(entry[1])
            taken.add(entry[1])
        return frozenset(taken)


def key_of(document: Document) -> str:
    """What decides over the part of a document: the group that it is held out with, or what it says."""
    return document.group or content_key(document)


def route(
    documents: Iterable[Document], hold_out: HoldOut, held: dict[str, Reservoir], nearest: Nearest | None = None
) -> Iterator[Document]:
    """Yields the training documents (and tells `nearest` of them), and puts the others into `held[CONTROL]` and
    `held[REPORT]`, in one pass."""
    for document in documents:
        key = key_of(document)
        part = part_of(key, hold_out)
        if part != TRAIN:
            held[part].add(document)
            continue
        if nearest is not None:
            nearest.add(key)
        yield document


class Training:
    """The documents of a source that may be trained on: those of the training part that hold nothing of `exam`."""

    def __init__(self, documents: Iterable[Document], hold_out: HoldOut, exam: HeldOut) -> None:
        self._documents, self._hold_out, self._exam = documents, hold_out, exam
        self.left_out = 0  # documents of the training part that were not taken

    def __iter__(self) -> Iterator[Document]:
        for document in self._documents:
            content = Content(document)
            if part_of(document.group or content.key, self._hold_out) != TRAIN:
                continue
            if self._exam.finds(content):
                self.left_out += 1
            else:
                yield document
