"""Contents that must not be trained on: of everything that a run, and all that it builds on, is or was measured by.

The split by hash (`model.split`) keeps a document and its exact copies on one side. That is not all: the same text may
stand in another source cut in another way (a book as one file, and again paragraph by paragraph), or be held out
together with others (all pieces of a library file), which its copy elsewhere knows nothing of. So every document that
goes into an evaluation set is noted here, and every training document is looked at before it is taken:

* it is a copy: the same content (`model.content`);
* it holds the evaluation document as a whole, or is a part of it;
* it begins with the end of one or ends with its beginning, as two ways to cut one text do.

The last two compare whole lines, in runs that begin where one of the two texts begins and end where one of them ends;
a conversation is compared by what its turns say, so that it is also found where it was rendered into a text. Shared
lines in the middle (licences, headings, `import os`) are no such run, nor are very short ones; how much of an
evaluation text stands somewhere in training by 13-grams is measured as well (`model.data.contamination`), and only
reported.

Only hashes are kept, some hundred bytes a document, so that they can go with a checkpoint: `held_out.json` beside the
weights tells every later run that starts from them what it must not train on.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from model.data.content import NORMALISATION, Content
from model.document import Document
from model.errors import BadSource

FILE = "held_out.json"
VERSION = 1
MOST_LINES = 64  # of a document; evaluation sets hold the beginnings of documents
# Shortest run that is all of one text, that is all of one of two conversations, that only reaches from edge to edge.
# Conversations share whole small turns (greetings, thanks) without being about the same thing.
WHOLE_BYTES, TALK_BYTES, EDGE_BYTES = 20, 200, 80


# Beside a line in an index: nothing before it, nothing after it, whatever is there. No CRC-32 is negative.
_BEGIN, _END, _ANY = -1, -2, -3


class _Entry(NamedTuple):
    """One held-out document: 64-bit hashes of its first MOST_LINES lines, and whether it is a conversation."""

    lines: tuple[int, ...]
    chat: bool


class HeldOut:
    """A set of held-out contents. Do not change one after it was made; `|` makes the union of two."""

    def __init__(self, entries: Iterable[tuple[str, _Entry]] = ()) -> None:
        """entries: by content key."""
        self._entries = dict(entries)
        # Short hashes (the upper 32 bits) find candidates. A document's first line may stand anywhere in a held-out
        # one, and so may its last; both are looked up with the line beside them, since openings are often alike. A
        # held-out document inside of a longer one is looked for by its rarest line.
        self._short = {key: [line >> 32 for line in entry.lines] for key, entry in self._entries.items()}
        self._places: dict[tuple[int, int], list[tuple[str, int]]] = defaultdict(list)
        self._anchors: dict[int, list[tuple[str, int]]] = defaultdict(list)
        often = Counter(line for short in self._short.values() for line in short)
        for key, short in self._short.items():
            for at, line in enumerate(short):
                after = short[at + 1] if at + 1 < len(short) else _END
                before = short[at - 1] if at else _BEGIN
                for pair in {(line, after), (line, _ANY), (before, line), (_ANY, line)}:
                    self._places[pair].append((key, at))
            if short:
                at = min(range(len(short)), key=lambda n: (often[short[n]], n))
                self._anchors[short[at]].append((key, at))

    @classmethod
    def of(cls, documents: Iterable[Document]) -> HeldOut:
        """The contents of some documents."""
        return cls(
            (said.key, _Entry(tuple(map(_hash_line, said.lines[:MOST_LINES])), said.document.kind == "chat"))
            for said in map(Content, documents)
        )

    def __or__(self, other: HeldOut) -> HeldOut:
        return HeldOut([*self._entries.items(), *other._entries.items()])

    def __len__(self) -> int:
        return len(self._entries)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HeldOut) and self._entries == other._entries

    __hash__ = None  # type: ignore[assignment]

    def finds(self, content: Content) -> bool:
        """Whether the document is, holds, is part of, or runs over the edge of a held-out one; see the module."""
        if not self._entries:
            return False
        short = list(map(zlib.crc32, content.lines))
        if short and any(self._runs(content, short, *place) for place in self._candidates(short)):
            return True
        return content.key in self._entries

    def _candidates(self, short: list[int]) -> Iterator[tuple[int, str, int]]:
        """(place in these lines, held-out document, place in it) of lines that look equal."""
        first, last = short[0], len(short) - 1
        if last == 0:
            pairs: list[tuple[int, tuple[int, int]]] = [(0, (first, _ANY))]
        else:
            pairs = [(0, (first, short[1])), (0, (first, _END))]
            pairs += [(last, (short[-2], short[-1])), (last, (_BEGIN, short[-1]))]
        for at, pair in pairs:
            # Of a pair in the held-out document, the place noted is that of its first line and of its second one.
            for key, held_at in self._places.get(pair, ()):
                yield at, key, held_at
        if not self._anchors.keys().isdisjoint(short):
            for at, line in enumerate(short):
                for key, held_at in self._anchors.get(line, ()):
                    yield at, key, held_at

    def _runs(self, content: Content, short: list[int], at: int, key: str, held_at: int) -> bool:
        """Whether the lines around these places are equal from an edge to an edge of one of the two, and enough."""
        held = self._short[key]
        if short[at] != held[held_at]:
            return False
        before = min(at, held_at)
        first, held_first = at - before, held_at - before
        count = min(len(short) - first, len(held) - held_first)
        if short[first : first + count] != held[held_first : held_first + count]:
            return False
        entry, run = self._entries[key], content.lines[first : first + count]
        if count not in (len(short), len(held)):
            least = EDGE_BYTES
        else:
            least = TALK_BYTES if entry.chat and content.document.kind == "chat" else WHOLE_BYTES
        if sum(map(len, run)) < least:
            return False
        return tuple(map(_hash_line, run)) == entry.lines[held_first : held_first + count]

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the contents, in whatever order they came; that of none at all is empty."""
        return hashlib.sha256(self.to_bytes()).hexdigest() if self._entries else ""

    def to_bytes(self) -> bytes:
        """As written to held_out.json; equal contents have equal bytes."""
        ordered = sorted(self._entries.items())
        body = {
            "version": VERSION,
            "normalisation": NORMALISATION,
            "documents": len(ordered),
            "keys": base64.b64encode(b"".join(bytes.fromhex(key) for key, _ in ordered)).decode(),
            "chat": _packed(np.array([entry.chat for _, entry in ordered], dtype="u1")),
            "lines": _packed(np.array([len(entry.lines) for _, entry in ordered], dtype="<u2")),
            "hashes": _packed(np.array([line for _, entry in ordered for line in entry.lines], dtype="<u8")),
        }
        return (json.dumps(body, indent=1) + "\n").encode()

    @classmethod
    def from_bytes(cls, data: bytes, *, where: str = FILE) -> HeldOut:
        """The inverse. Raises BadSource for what is not such a file, or of another version."""
        try:
            body = json.loads(data)
            version = (body["version"], body["normalisation"])
            if version != (VERSION, NORMALISATION):
                raise BadSource(f"{where}: version", version, (VERSION, NORMALISATION))
            keys, count = base64.b64decode(body["keys"]), int(body["documents"])
            chat = np.frombuffer(base64.b64decode(body["chat"]), dtype="u1")
            lengths = np.frombuffer(base64.b64decode(body["lines"]), dtype="<u2")
            hashes = np.frombuffer(base64.b64decode(body["hashes"]), dtype="<u8")
            if not len(keys) // 16 == len(lengths) == len(chat) == count or int(lengths.sum()) != len(hashes):
                raise ValueError("keys, lines and hashes that do not fit together")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadSource(where, repr(error), "what a run held out, as Retain writes it") from error
        ends = np.cumsum(lengths, dtype=np.int64)
        return cls(
            (keys[16 * n : 16 * n + 16].hex(), _Entry(tuple(hashes[end - length : end].tolist()), bool(chat[n])))
            for n, (end, length) in enumerate(zip(ends.tolist(), lengths.tolist(), strict=True))
        )

    @classmethod
    def read(cls, folder: Path) -> HeldOut:
        """What the folder of a shard or a model says is held out; nothing where it says nothing."""
        path = Path(folder) / FILE
        return cls.from_bytes(path.read_bytes(), where=str(path)) if path.is_file() else cls()

    def write(self, folder: Path) -> None:
        """Write held_out.json, unless there is nothing to say."""
        if self._entries:
            (Path(folder) / FILE).write_bytes(self.to_bytes())

    @classmethod
    def union(cls, parts: Iterable[HeldOut]) -> HeldOut:
        """All of some sets together."""
        return cls(entry for part in parts for entry in part._entries.items())


def _hash_line(line: bytes) -> int:
    """64 bits of a line, the upper half of which is quick to compute and the lower half hard to hit by chance."""
    strong = hashlib.blake2b(line, digest_size=4).digest()
    return zlib.crc32(line) << 32 | int.from_bytes(strong, "big")


def _packed(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()
