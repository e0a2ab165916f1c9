"""How long epochs are: the steps in which the target was passed over so many times, and how often each document came.

Tokens divided by tokens a step is not it: conversations leave room at the ends of rows, the last batch of an epoch is
seldom full, and replay takes rows whose number depends on how many tokens are targets. So the stream itself is moved on
without reading a token, batch by batch, until its target is through. That costs some microseconds a row; beyond
MOST_ROWS the rest is taken in proportion.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from model.dataloader.batch_stream import BatchStream
from model.dataloader.curriculum import Strategy
from model.errors import BadConfig

MOST_ROWS = 1_000_000
_BATCHES_A_BEAT = 200


@dataclass(frozen=True, kw_only=True)
class Passes:
    """How often the documents of a source are handed out whole: the least, the median and the most."""

    least: float
    median: float
    most: float

    @classmethod
    def of(cls, times: np.ndarray) -> Passes:
        """times: passes of each document. `times` is flat: an entry for each document."""
        return cls(least=float(times.min()), median=float(np.median(times)), most=float(times.max()))

    def __str__(self) -> str:
        return f"least {self.least:g}, median {self.median:g}, most {self.most:g}"


def count_steps(
    stream: BatchStream, *, most_rows: int = MOST_ROWS, beat: Callable[[], None] = lambda: None
) -> tuple[int, Passes]:
    """(steps that the stream's epochs take, passes of the target's documents then). Moves the stream there.

    Raises BadConfig for a stream that was not told a number of epochs, or whose curriculum does not promise any.
    """
    if stream.epochs is None:
        raise BadConfig(field="duration.epochs", got="a stream without epochs", expected="a number of passes")
    while not stream.target_finished and stream.batches * stream.rows < most_rows:
        stream.skip_batch()
        if stream.batches % _BATCHES_A_BEAT == 0:
            beat()
    if stream.target_finished:
        return stream.batches, Passes.of(stream.passes(stream.target))
    done = stream.documents_drawn(stream.target) / stream.documents_wanted(stream.target)
    low, high = math.floor(stream.epochs), math.ceil(stream.epochs)
    promised = Passes(least=low, median=round(stream.epochs), most=high)
    return math.ceil(stream.batches / done), promised


def count_passes(
    stream: BatchStream, steps: int, *, most_rows: int = MOST_ROWS, beat: Callable[[], None] = lambda: None
) -> Passes | None:
    """Passes of the target's documents after so many steps. Moves the stream there.

    None where they cannot be known beforehand: with SELF_PACED they follow from the losses, and beyond `most_rows`
    counting takes too long.
    """
    self_paced = stream.curriculum is not None and stream.curriculum.strategy is Strategy.SELF_PACED
    if self_paced or steps * stream.rows > most_rows:
        return None
    for step in range(steps):
        stream.set_progress(step / steps)
        stream.skip_batch()
        if step % _BATCHES_A_BEAT == 0:
            beat()
    return Passes.of(stream.passes(stream.target))
