# ruff: noqa: N815 (shape suffixes of names are upper case by convention)
"""Packed readers: endless, resumable readers of a shard that hand out rows of context + 1 tokens.

A reader owns some documents of a shard (all of them, or one bucket of difficulty) and reads them in a shuffled order,
epoch after epoch. Where it stands is a small cursor of plain numbers, and the next row depends on the cursor alone:
that is what makes a resume exact.

The order of an epoch is made by sorting the documents by a hash of (seed, reader, epoch, document). The hash is
splitmix64 (Steele, Lea and Flood, OOPSLA 2014), spelled out here because no library promises its shuffle for later
versions.

text  documents stand one after another without padding, also across the end of an epoch. A row reads C + 1 tokens and
      the next one starts at the last of them, so that every token is predicted exactly once an epoch (the very first of
      the run excepted).
chat  whole conversations are packed side by side, each its own segment that attention never leaves. A few conversations
      are looked at ahead, so that little is filled up: the oldest goes first, then whichever of the others still fits.
      A conversation longer than a row is cut, each piece starting at the last token of the one before. Rows in which
      no token is a target are passed over.

With a limit of documents (n times those of the reader, for n epochs) the reader comes to rest there once: nothing of
the next epoch is begun before all that came before is finished, and what is left of the last row is filled up. Whoever
asks on after the rest gets the next epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from model.data.shards import TokenShard
from model.errors import BadConfig, EmptyBatch
from model.nn.losses import NO_LOSS

LOOK_AHEAD = 16


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """One row: inputs_T, targets_T (NO_LOSS where none), segments_T (one conversation each; zeros for text), and how
    many of its tokens are targets."""

    inputs_T: np.ndarray
    targets_T: np.ndarray
    segments_T: np.ndarray | None
    loss_tokens: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Draw:
    """What a row is made of, without its tokens: (first token in the shard, how many) of each piece, and how many
    of them are targets."""

    pieces: list[tuple[int, int]]
    loss_tokens: int


def splitmix64(values: np.ndarray) -> np.ndarray:
    """Well mixed 64-bit hashes of 64-bit numbers. Of the shape that came."""
    with np.errstate(over="ignore"):
        z = values.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def mixed_key(*parts: int) -> int:
    """One 64-bit key of several small numbers, sensitive to their order."""
    key = np.zeros(1, dtype=np.uint64)
    for part in parts:
        key = splitmix64(key ^ np.array([part & 0xFFFFFFFFFFFFFFFF], dtype=np.uint64))
    return int(key[0])


class PackedReader:
    """See the module. `documents`: rising indices into the shard (None: all); `epochs` sets the limit at which the
    reader rests (None: nowhere)."""

    def __init__(
        self,
        shard: TokenShard,
        *,
        key: int,
        context: int,
        documents: np.ndarray | None = None,
        epochs: float | None = None,
    ) -> None:
        self.shard, self.key, self.context = shard, key, context
        count = shard.documents
        self._documents = np.arange(count, dtype=np.uint32) if documents is None else documents.astype(np.uint32)
        lengths = self._lengths(self._documents)
        self._documents = self._documents[lengths > 0]  # one without a token cannot be read
        self.tokens = int(lengths.sum())
        self.loss_tokens = self._count_loss(documents)
        if self.loss_tokens < 1:
            raise EmptyBatch(
                field=shard.meta.source or str(shard.folder),
                got=f"{len(self._documents)} documents in which no token is a target",
                expected="data with target tokens",
            )
        self.limit = None if epochs is None else max(1, round(epochs * len(self._documents)))
        self._order: tuple[int, np.ndarray] | None = None
        self.epoch = self.place = self.offset = 0
        self.pending: list[list[int]] = []  # [document, offset], chat only

    def _lengths(self, documents: np.ndarray) -> np.ndarray:
        result: np.ndarray = (
            self.shard.offsets[documents.astype(np.int64) + 1] - self.shard.offsets[documents.astype(np.int64)]
        )
        return result

    def _count_loss(self, documents: np.ndarray | None) -> int:
        mask = self.shard.mask_N
        if documents is None or mask is None:
            return self.shard.meta.loss_tokens if documents is None else self.tokens
        offsets = self.shard.offsets
        return sum(
            int(mask[offsets[d] + 1 : offsets[d + 1]].sum()) for d in documents.tolist() if offsets[d + 1] > offsets[d]
        )

    @property
    def expected_loss_tokens(self) -> float:
        """Loss-bearing targets of an average row."""
        return max(1.0, self.context * self.loss_tokens / max(1, self.tokens))

    def cursor(self) -> dict[str, Any]:
        """Where the reader stands, as plain numbers."""
        return {
            "epoch": self.epoch,
            "place": self.place,
            "offset": self.offset,
            "pending": [list(entry) for entry in self.pending],
        }

    def seek(self, cursor: dict[str, Any]) -> None:
        """Go to where `cursor()` was. Raises BadConfig for a cursor of other data."""
        epoch, place, offset = (int(cursor[name]) for name in ("epoch", "place", "offset"))
        if epoch < 0 or not 0 <= place <= len(self._documents) or offset < 0:
            raise BadConfig(field="cursor", got=cursor, expected=f"a place among {len(self._documents)} documents")
        self.epoch, self.place, self.offset = epoch, place, offset
        self.pending = [[int(document), int(at)] for document, at in cursor.get("pending", [])]

    @property
    def drawn(self) -> int:
        """Documents that were taken up, over all epochs; of text without the one that is being read."""
        return self.epoch * len(self._documents) + self.place

    @property
    def finished(self) -> bool:
        """Whether everything up to the limit was handed out."""
        return self.limit is not None and (self.drawn > self.limit or (self.drawn == self.limit and not self.pending))

    @property
    def resting(self) -> bool:
        """Whether everything up to the limit was handed out, and nothing of the next epoch."""
        return self.drawn == self.limit and not self.pending and self.offset == 0

    def passes(self) -> np.ndarray:
        """How often each document of the reader has been read whole, int64, in the order of their indices.

        A flat array: an entry for each document.
        """
        times = np.full(len(self._documents), self.epoch, dtype=np.int64)
        times[np.searchsorted(self._documents, self._ordered()[: self.place])] += 1
        for document, _ in self.pending:  # of two epochs perhaps, so one by one
            times[np.searchsorted(self._documents, document)] -= 1
        return times

    def next_row(self) -> Row:
        """The next row that has at least one target; after a rest, the first one of the next epoch."""
        while True:
            draw = self.draw()
            if draw is not None:
                return self.row(draw)

    def draw(self) -> Draw | None:
        """Moves on by one row with at least one target, without reading its tokens; None when nothing was left to read
        up to the limit (the call after that begins the next epoch)."""
        if self.shard.mask_N is None:
            return self._draw_text()
        while True:
            draw = self._draw_chat()
            if draw is None or draw.loss_tokens:
                return draw

    def row(self, draw: Draw) -> Row:
        """The row with its tokens."""
        return self._text_row(draw) if self.shard.mask_N is None else self._chat_row(draw)

    def _ordered(self) -> np.ndarray:
        if self._order is None or self._order[0] != self.epoch:
            hashes = splitmix64(self._documents.astype(np.uint64) ^ np.uint64(mixed_key(self.key, self.epoch)))
            self._order = (self.epoch, self._documents[np.argsort(hashes, kind="stable")])
        return self._order[1]

    def _draw_text(self) -> Draw | None:
        needed = self.context + 1
        pieces: list[tuple[int, int]] = []
        filled = 0
        while True:
            document = int(self._ordered()[self.place])
            low, high = int(self.shard.offsets[document]) + self.offset, int(self.shard.offsets[document + 1])
            take = min(high - low, needed - filled)
            pieces.append((low, take))
            filled += take
            last = self.limit is not None and self.drawn + 1 == self.limit
            if filled == needed and not (last and low + take == high):
                # The last token of this row is the first input of the next one.
                self.offset += take - 1
                return Draw(pieces=pieces, loss_tokens=self.context)
            self._next_document()
            if last:  # nothing of the next epoch before the rest; a single token has no target
                return Draw(pieces=pieces, loss_tokens=filled - 1) if filled > 1 else None

    def _text_row(self, draw: Draw) -> Row:
        row = np.zeros(self.context + 1, dtype=np.int64)
        filled = 0
        for low, take in draw.pieces:
            row[filled : filled + take] = self.shard.tokens_N[low : low + take]
            filled += take
        targets = row[1:]
        if filled <= self.context:
            targets = targets.copy()
            targets[max(0, filled - 1) :] = NO_LOSS
        return Row(inputs_T=row[:-1], targets_T=targets, segments_T=None, loss_tokens=draw.loss_tokens)

    def _next_document(self) -> None:
        self.place, self.offset = self.place + 1, 0
        if self.place == len(self._documents):
            self.epoch, self.place = self.epoch + 1, 0

    def _draw_chat(self) -> Draw | None:
        offsets, mask, needed = self.shard.offsets, self.shard.mask_N, self.context + 1
        assert mask is not None
        while len(self.pending) < LOOK_AHEAD and not (self.drawn == self.limit and self.pending):
            self.pending.append([int(self._ordered()[self.place]), 0])
            self._next_document()
        pieces: list[tuple[int, int]] = []
        filled = loss_tokens = 0
        waiting: list[list[int]] = []
        for entry in self.pending:
            document, offset = entry
            low, high = int(offsets[document]) + offset, int(offsets[document + 1])
            room = needed - filled
            if high - low > room and filled:
                waiting.append(entry)
                continue
            take = min(high - low, room)
            pieces.append((low, take))
            # The first token of a piece is never a target: what stands before it belongs to something else.
            loss_tokens += int(np.count_nonzero(mask[low + 1 : low + take]))
            filled += take
            if take < high - low:
                waiting.append([document, offset + take - 1])
        self.pending = waiting
        if self.drawn == self.limit and not any(self._has_target(*entry) for entry in waiting):
            self.pending = []  # rows of it would be passed over, so this is the last one
        if not loss_tokens and self.resting:
            return None
        return Draw(pieces=pieces, loss_tokens=loss_tokens)

    def _has_target(self, document: int, offset: int) -> bool:
        """Whether something of a conversation from `offset` on would be learned."""
        low, high = int(self.shard.offsets[document]) + offset, int(self.shard.offsets[document + 1])
        assert self.shard.mask_N is not None
        return bool(self.shard.mask_N[low + 1 : high].any())

    def _chat_row(self, draw: Draw) -> Row:
        C, mask = self.context, self.shard.mask_N
        assert mask is not None
        tokens = np.zeros(C + 1, dtype=np.int64)
        segments = np.full(C + 1, -1, dtype=np.int32)
        bears = np.zeros(C + 1, dtype=bool)
        filled = 0
        for segment, (low, take) in enumerate(draw.pieces):
            tokens[filled : filled + take] = self.shard.tokens_N[low : low + take]
            segments[filled : filled + take] = segment
            bears[filled + 1 : filled + take] = mask[low + 1 : low + take] != 0
            filled += take
        segments[filled:] = len(draw.pieces)
        targets = np.where(bears[1:], tokens[1:], NO_LOSS)
        return Row(inputs_T=tokens[:-1], targets_T=targets, segments_T=segments[:-1], loss_tokens=draw.loss_tokens)
