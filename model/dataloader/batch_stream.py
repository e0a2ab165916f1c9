# ruff: noqa: N815 (shape suffixes of names are upper case by convention)
"""The stream of batches of a stage: every batch is a pure function of a small state.

The state (a cursor per reader, the mixer's lags, the curriculum's draws, the progress) is plain JSON and goes into
every checkpoint. Restoring it and asking for the next batch gives the batch that would have come: after a crash, after
a rollback, on another number of workers. All ranks make the same global batch, which costs microseconds a row, and each
takes its rows (model/training/loop.py); nothing about consumption depends on the world size.

Epochs are whole: told how many, the stream hands out each document of the target so many times, no more and no less
(of a fraction, the documents that come first in the order of the last epoch once more). The batch in which the last
epoch ends is filled up with rows without targets, and `target_finished` says so. A curriculum keeps that promise when
it shows everything equally often (`CurriculumSpec.whole_passes`): STAGED then continues to its next stage when the
documents of one are through, not when the clock says so.

Shapes: R rows of the global batch, T = context.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from model.data.shards import TokenShard
from model.dataloader.curriculum import CurriculumSpec, Strategy
from model.dataloader.difficulty_buckets import BucketSelector, make_buckets
from model.dataloader.mixture import ShareMixer, complete_shares
from model.dataloader.packed_reader import Draw, PackedReader, Row, mixed_key
from model.errors import BadConfig

STATE_VERSION = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """A global batch.

    inputs_RT, targets_RT  int64; targets are NO_LOSS (model/nn/losses.py) where there is none
    segments_RT            int32, or None when no source of the stream holds conversations
    source_R               name of the source of each row
    bucket_R               bucket of difficulty of each row (0 without a curriculum)
    loss_tokens_R          target tokens of each row, at least 1; 0 in rows that fill up the end of an epoch,
                           whose source is the target
    """

    inputs_RT: torch.Tensor
    targets_RT: torch.Tensor
    segments_RT: torch.Tensor | None
    source_R: list[str]
    bucket_R: list[int]
    loss_tokens_R: list[int]

    @property
    def loss_tokens(self) -> int:
        """Target tokens of the whole batch: the denominator of its mean loss."""
        return sum(self.loss_tokens_R)


class BatchStream:
    """See the module. Raises BadConfig for shares, a target or a curriculum that do not fit, EmptyBatch for a source in
    which no token is a target."""

    def __init__(
        self,
        sources: Mapping[str, TokenShard],
        *,
        target: str,
        shares: Mapping[str, float],
        seed: int,
        context: int,
        rows: int,
        curriculum: CurriculumSpec | None = None,
        epochs: float | None = None,
    ) -> None:
        """epochs: passes over the target after which the stream fills up its batch (None: never). Ignored with a
        curriculum that does not show every document equally often."""
        for name, value in (("context", context), ("rows", rows)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise BadConfig(field=name, got=value, expected="a whole number from 1")
        self.sources = {name: sources[name] for name in sorted(sources)}
        self.target, self.seed, self.context, self.rows = target, seed, context, rows
        self.mixer = ShareMixer(complete_shares(target, shares, self.sources))
        self.curriculum = curriculum if curriculum and curriculum.strategy is not Strategy.RANDOM else None
        if epochs is not None and not (math.isfinite(epochs) and epochs > 0):
            raise BadConfig(field="duration.epochs", got=epochs, expected="a number above 0")
        whole = self.curriculum is None or self.curriculum.whole_passes
        self.epochs = epochs if whole else None
        self.progress = 0.0
        self.batches = 0
        self.loss_tokens_seen = dict.fromkeys(self.sources, 0)
        self._segmented = any(shard.mask_N is not None for shard in self.sources.values())
        self._readers = {name: self._make_readers(name, index) for index, name in enumerate(self.sources)}
        self._selector = None
        if self.curriculum is not None:
            bucket_tokens = [reader.tokens for reader in self._readers[target]]
            self._selector = BucketSelector(self.curriculum, bucket_tokens, mixed_key(seed, 0x5E1EC7))
        self._row_tokens = {
            name: sum(reader.expected_loss_tokens for reader in readers) / len(readers)
            for name, readers in self._readers.items()
        }

    def _make_readers(self, name: str, index: int) -> list[PackedReader]:
        shard = self.sources[name]
        buckets: Sequence[np.ndarray | None] = [None]
        if self.curriculum is not None and name == self.target:
            buckets = make_buckets(shard, self.curriculum)
        return [
            PackedReader(
                shard,
                key=mixed_key(self.seed, index, number),
                context=self.context,
                documents=documents,
                epochs=self.epochs if name == self.target else None,
            )
            for number, documents in enumerate(buckets)
        ]

    @property
    def shares(self) -> dict[str, float]:
        """The shares in force."""
        return dict(self.mixer.shares)

    @property
    def curriculum_level(self) -> float:
        """How far the curriculum is: number of the stage (STAGED), else the open part of the data times the levels."""
        if self.curriculum is None:
            return 0.0
        if self.curriculum.strategy is Strategy.STAGED:
            return 1.0 + (self.curriculum.stage_at(self.progress) if self.epochs is None else self._unfinished_bucket())
        return self.curriculum.open_part(self.progress) * self.curriculum.levels

    def set_progress(self, fraction: float) -> None:
        """Tell the curriculum how much of the stage is done, 0 to 1 (step / total steps, before each batch)."""
        if not 0.0 <= fraction <= 1.0:
            raise BadConfig(field="progress", got=fraction, expected="0 to 1")
        self.progress = float(fraction)

    def set_shares(self, shares: Mapping[str, float]) -> None:
        """New shares of loss-bearing tokens from the next batch on; call it at a checkpoint boundary only."""
        self.mixer.set_shares(complete_shares(self.target, shares, self.sources))

    def next_batch(self) -> Batch:
        """The next global batch; every row has at least one target, but for those that fill up after the last epoch."""
        rows: list[Row] = []
        names: list[str] = []
        buckets: list[int] = []
        for name, bucket, draw in self._draw_batch():
            rows.append(self._readers[name][bucket].row(draw))
            names.append(name)
            buckets.append(bucket)
        segments = None
        if self._segmented:
            zeros = np.zeros(self.context, dtype=np.int32)
            stacked = np.stack([zeros if row.segments_T is None else row.segments_T for row in rows])
            segments = torch.from_numpy(stacked)
        return Batch(
            inputs_RT=torch.from_numpy(np.stack([row.inputs_T for row in rows])),
            targets_RT=torch.from_numpy(np.stack([row.targets_T for row in rows])),
            segments_RT=segments,
            source_R=names,
            bucket_R=buckets,
            loss_tokens_R=[row.loss_tokens for row in rows],
        )

    def skip_batch(self) -> int:
        """Moves on by one batch without reading its tokens; returns how many of its rows have targets."""
        return sum(draw.loss_tokens > 0 for _, _, draw in self._draw_batch())

    def _draw_batch(self) -> list[tuple[str, int, Draw]]:
        """(source, bucket, what is in it) of each row."""
        drawn: list[tuple[str, int, Draw]] = []
        while len(drawn) < self.rows:
            name = self.mixer.choose(self._row_tokens)
            bucket = self._choose_bucket() if name == self.target else 0
            reader = self._readers[name][bucket]
            draw = reader.draw()
            if draw is not None:
                self.mixer.record(name, draw.loss_tokens)
                self.loss_tokens_seen[name] += draw.loss_tokens
                drawn.append((name, bucket, draw))
            # A batch that would hold nothing takes from the next epoch instead: every step must have a target.
            if name == self.target and reader.resting and self.target_finished and drawn:
                drawn += [(name, bucket, Draw(pieces=[], loss_tokens=0))] * (self.rows - len(drawn))
        self.batches += 1
        return drawn

    def _choose_bucket(self) -> int:
        if self._selector is None:
            return 0
        return self._selector.choose(self.progress) if self.epochs is None else self._unfinished_bucket()

    def _unfinished_bucket(self) -> int:
        """The first bucket of which something is left; the last one when there is none."""
        readers = self._readers[self.target]
        return next((bucket for bucket, reader in enumerate(readers) if not reader.finished), len(readers) - 1)

    @property
    def target_finished(self) -> bool:
        """Whether the target was handed out as many times as `epochs` asks."""
        return self.epochs is not None and all(reader.finished for reader in self._readers[self.target])

    def documents_drawn(self, name: str) -> int:
        """Documents of a source that were taken up, over all epochs."""
        return sum(reader.drawn for reader in self._readers[name])

    def documents_wanted(self, name: str) -> int:
        """Documents of a source up to the end of its epochs, 0 for one without."""
        return sum(reader.limit or 0 for reader in self._readers[name])

    def passes(self, name: str) -> np.ndarray:
        """How often each document of a source was handed out whole, int64, bucket after bucket.

        Arrays are flat: an entry for each document.
        """
        return np.concatenate([reader.passes() for reader in self._readers[name]])

    def record_losses(self, batch: Batch, nats_R: Sequence[float]) -> None:
        """Tell a self-paced curriculum the summed loss of every row of the global batch; all ranks the same numbers."""
        if self._selector is not None and self._selector.spec.strategy is Strategy.SELF_PACED:
            for name, bucket, nats, tokens in zip(
                batch.source_R, batch.bucket_R, nats_R, batch.loss_tokens_R, strict=True
            ):
                if name == self.target and tokens:
                    self._selector.record_losses(bucket, float(nats), tokens)

    def state(self) -> dict[str, Any]:
        """All that the next batch depends on, as plain JSON."""
        return {
            "version": STATE_VERSION,
            "data": self._identity(),
            "batches": self.batches,
            "progress": self.progress,
            "loss_tokens_seen": dict(self.loss_tokens_seen),
            "mix": self.mixer.state(),
            "cursors": {name: [reader.cursor() for reader in readers] for name, readers in self._readers.items()},
            "curriculum": None if self._selector is None else self._selector.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Back to where `state()` was. Raises BadConfig for a state of other data, seed, context or curriculum."""
        if state.get("version") != STATE_VERSION:
            raise BadConfig(field="stream state: version", got=state.get("version"), expected=STATE_VERSION)
        identity = self._identity()
        for field, expected in identity.items():
            if field == "epochs" and field not in state["data"]:  # written before streams counted epochs
                continue
            if state["data"].get(field) != expected:
                raise BadConfig(field=f"stream state: {field}", got=state["data"].get(field), expected=repr(expected))
        self.mixer.restore(state["mix"])
        for name, readers in self._readers.items():
            for reader, cursor in zip(readers, state["cursors"][name], strict=True):
                reader.seek(cursor)
        if self._selector is not None:
            self._selector.restore(state["curriculum"])
        self.batches, self.progress = int(state["batches"]), float(state["progress"])
        self.loss_tokens_seen = {name: int(count) for name, count in state["loss_tokens_seen"].items()}

    def _identity(self) -> dict[str, Any]:
        spec = self.curriculum
        return {
            "seed": self.seed,
            "context": self.context,
            "rows": self.rows,
            "target": self.target,
            "sources": {
                name: [shard.meta.digest, shard.meta.documents, shard.meta.tokens]
                for name, shard in self.sources.items()
            },
            "curriculum": None if spec is None else _curriculum_identity(spec),
            "epochs": self.epochs,
        }


def _curriculum_identity(spec: CurriculumSpec) -> list[Any]:
    """What of a curriculum decides over the order. The finer settings are named only where they were set, so that
    states from before they were looked at are still taken."""
    finer = [None if spec.ranges is None else [list(pair) for pair in spec.ranges], spec.initial, spec.full_at]
    base: list[Any] = [spec.strategy.value, spec.levels, spec.reverse]
    return base if finer == [None, None, CurriculumSpec.full_at] else base + finer
