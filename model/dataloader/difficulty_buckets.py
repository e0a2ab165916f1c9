"""Buckets of difficulty, and which of them the next row comes from.

A curriculum of a stream works on buckets: the documents of the target sorted by difficulty and cut into a few parts,
each read by a reader of its own. Choosing a bucket instead of a document keeps the state of a curriculum at one cursor
a bucket, whatever the size of the data, and no document comes twice before all of its bucket came once.

  STAGED      a bucket per level, cut at the stages' shares of tokens (or at given ranges); only the bucket of the stage
  COMPETENCE  20 buckets of equal tokens; from the open ones, each in proportion to its tokens
  SELF_PACED  10 buckets; those with the lowest running loss, and one row in ten from anywhere, so that every loss stays
              known. `record_losses` feeds the losses; all ranks must feed the same numbers
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from model.data.shards import TokenShard
from model.dataloader.curriculum import CurriculumSpec, Strategy, stage_fractions
from model.dataloader.packed_reader import mixed_key, splitmix64
from model.errors import BadConfig, NonFinite

COMPETENCE_BUCKETS, SELF_PACED_BUCKETS = 20, 10
EXPLORE = 0.1
SMOOTHING = 0.8


def make_buckets(shard: TokenShard, spec: CurriculumSpec) -> list[np.ndarray]:
    """Document indices of each bucket, easy to hard (hard to easy with `reverse`).

    Raises BadConfig when the shard has no difficulties or a bucket would be empty.
    Arrays are flat: the numbers of documents.
    """
    if shard.difficulty_D is None:
        raise BadConfig(
            field="curriculum",
            got=f"data without difficulties ({shard.meta.source})",
            expected="code, math or science data",
        )
    difficulty = np.asarray(shard.difficulty_D)
    if spec.strategy is Strategy.STAGED and spec.ranges is not None:
        lows = [low for low, _ in spec.ranges]
        buckets = [
            np.flatnonzero(((difficulty > low) | ((difficulty == low) & (low == min(lows)))) & (difficulty <= high))
            for low, high in spec.ranges
        ]
    else:
        buckets = _by_tokens(shard, difficulty, _shares_of(spec))
    for index, bucket in enumerate(buckets):
        if not len(bucket):
            got = f"no document in bucket {index + 1} of {len(buckets)}"
            raise BadConfig(field="curriculum", got=got, expected="fewer levels, other ranges or more documents")
    return buckets[::-1] if spec.reverse and spec.ranges is None else buckets


def _shares_of(spec: CurriculumSpec) -> Sequence[float]:
    if spec.strategy is Strategy.STAGED:
        # Reversed, the hardest part is the first bucket, and must have the first stage's share.
        fractions = stage_fractions(spec.levels)
        return fractions[::-1] if spec.reverse else fractions
    count = COMPETENCE_BUCKETS if spec.strategy is Strategy.COMPETENCE else SELF_PACED_BUCKETS
    return [1.0 / count] * count


def _by_tokens(shard: TokenShard, difficulty: np.ndarray, shares: Sequence[float]) -> list[np.ndarray]:
    """Sorted by difficulty (ties in random but fixed order), cut where the tokens reach the shares."""
    index = np.arange(len(difficulty), dtype=np.uint64)
    order = np.lexsort((splitmix64(index), difficulty))
    lengths = np.diff(shard.offsets)[order]
    middle = np.cumsum(lengths) - lengths / 2
    cuts = np.searchsorted(middle, np.cumsum(shares)[:-1] * lengths.sum())
    return [np.sort(part) for part in np.split(order, cuts)]


class BucketSelector:
    """Chooses the bucket of each row of the target. State: the number of draws and a running loss a bucket."""

    def __init__(self, spec: CurriculumSpec, bucket_tokens: Sequence[int], seed: int) -> None:
        self.spec, self.seed = spec, seed
        self.bucket_tokens = list(bucket_tokens)
        self.draws = 0
        self.loss_nats: list[float | None] = [None] * len(self.bucket_tokens)

    def open_buckets(self, progress: float) -> list[int]:
        """The buckets that rows may come from at this progress."""
        count = len(self.bucket_tokens)
        if self.spec.strategy is Strategy.STAGED:
            return [self.spec.stage_at(progress)]
        allowed = max(1, min(count, math.ceil(self.spec.open_part(progress) * count - 1e-9)))
        if self.spec.strategy is Strategy.SELF_PACED:
            ranked = sorted(range(count), key=lambda bucket: (self.loss_nats[bucket] or 0.0, bucket))
            return sorted(ranked[:allowed])
        return list(range(allowed))

    def choose(self, progress: float) -> int:
        """The bucket of the next row; counts the draw."""
        draw, self.draws = self.draws, self.draws + 1
        if self.spec.strategy is Strategy.SELF_PACED:
            unknown = next((bucket for bucket, loss in enumerate(self.loss_nats) if loss is None), None)
            if unknown is not None:  # before all losses are known: one bucket after another
                return draw % len(self.bucket_tokens)
            if _uniform(self.seed, draw, 1) < EXPLORE:
                return _weighted(range(len(self.bucket_tokens)), self.bucket_tokens, _uniform(self.seed, draw, 2))
        buckets = self.open_buckets(progress)
        return buckets[0] if len(buckets) == 1 else _weighted(buckets, self.bucket_tokens, _uniform(self.seed, draw, 0))

    def record_losses(self, bucket: int, nats: float, tokens: int) -> None:
        """The summed loss of a row of this bucket. Raises NonFinite."""
        if not math.isfinite(nats):
            raise NonFinite(field="curriculum loss", got=nats, expected="a finite number of nats")
        if tokens > 0:
            old, new = self.loss_nats[bucket], nats / tokens
            # Rounded, so that the float noise of another world size seldom changes a choice.
            self.loss_nats[bucket] = round(new if old is None else SMOOTHING * old + (1 - SMOOTHING) * new, 3)

    def state(self) -> dict[str, Any]:
        """Draws and losses."""
        return {"draws": self.draws, "loss_nats": list(self.loss_nats)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Back to where `state()` was. Raises BadConfig for another number of buckets."""
        if len(state["loss_nats"]) != len(self.loss_nats):
            raise BadConfig(field="curriculum", got=len(state["loss_nats"]), expected=f"{len(self.loss_nats)} buckets")
        self.draws = int(state["draws"])
        self.loss_nats = [None if loss is None else float(loss) for loss in state["loss_nats"]]


def _uniform(seed: int, draw: int, purpose: int) -> float:
    return mixed_key(seed, draw, purpose) / 2.0**64


def _weighted(buckets: Sequence[int], weights: Sequence[int], uniform: float) -> int:
    point = uniform * sum(weights[bucket] for bucket in buckets)
    for bucket in buckets:
        point -= weights[bucket]
        if point < 0:
            return bucket
    return buckets[-1]
