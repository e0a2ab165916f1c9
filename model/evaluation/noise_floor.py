"""What the gauge can resolve: the noise floor of a forgetting score on one device.

The same weights on the same text give the same bits as long as nothing else changes. Another batch size, another number
of threads or another split over workers sums in another order, and the last digits differ. A score within so much of 0
says nothing about the model: it is not resolved, whatever its sign. So the baseline's measurement is repeated under
other settings on this device, and twice the largest difference is the floor:

    floor nats  = max(2 * max |repeat - standard|, spacing of float32 at the standard mean loss)
    floor ratio = exp(floor nats) - 1                                  in the unit of the score

Twice, because a handful of repeats seldom holds the largest difference there is; the spacing, because losses are
float32 numbers, and repeats that happen to agree to the last bit do not make them finer.

The repeats read the first windows of the set only (about 2,048 tokens, at least 4 windows): differences average out
over a longer text, so that the floor of a part is no smaller than the whole set's. Their cost is therefore bounded
whatever the set: at most 7 passes over that part, once for each device, shape of a model and set.

Why the shape, and not the weights: how sums round follows from how long they are and in which order they are taken,
which the shape and the settings decide. On SmolLM2-135M-Instruct (float32, two cores, 2,048 tokens each of two texts)
repeats differed by 7e-9 nats a token at most, and as much after every weight had been moved by 2 % of its tensor's
spread: both far below the spacing of float32 at the loss, 2.4e-7, which was the floor. Weights would ask for repeats
again at every stage, twenty minutes on a slow machine with such a model, and find the same. What does follow from the
weights is the loss, and with it the spacing: random weights of that shape have 10.9 nats and a spacing of 9.5e-7. So
whoever uses a floor for another baseline takes the spacing at that baseline's own loss (the evaluator does).
`python -m model.cli.evaluate MODEL --data FILE --floor` prints the repeats.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from model.data.eval_set import EvalSet
from model.errors import BadConfig
from model.evaluation.perplexity import ROWS_TOKENS, evaluate_set
from model.nn.causal_lm import CausalLM

SAFETY = 2.0
PART_TOKENS = 2048
LEAST_WINDOWS = 4  # fewer could not be batched or split in another way
WORKERS = 3  # no divisor of the usual numbers of windows: their parts are of different sizes


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How a set is measured: windows per forward pass, threads of one pass, workers that share the windows."""

    rows: int
    threads: int
    workers: int = 1


@dataclass(frozen=True, kw_only=True)
class NoiseFloor:
    """The floor in nats a token, and what it was made of: repeats beside the standard measurement, tokens that bear
    loss in each of them."""

    nats: float
    repeats: int
    tokens: int

    @property
    def ratio(self) -> float:
        """The floor in the unit of the forgetting ratio."""
        return math.expm1(self.nats)


def floor_nats(standard_nats: float, repeats_nats: Sequence[float]) -> float:
    """The floor from the mean loss of the standard measurement and of its repeats, all in nats a token.

    Raises BadConfig when one of them is not finite: noise of a broken model says nothing.
    """
    if not all(math.isfinite(nats) for nats in (standard_nats, *repeats_nats)):
        got = f"mean losses {standard_nats}, {list(repeats_nats)}"
        raise BadConfig("noise floor", got, "finite mean losses in nats")
    difference = max((abs(nats - standard_nats) for nats in repeats_nats), default=0.0)
    return max(SAFETY * difference, float(np.spacing(np.float32(abs(standard_nats)))))


def repeats(standard: Setting, *, windows: int, cores: int) -> tuple[Setting, ...]:
    """The settings to repeat a measurement of `windows` windows under, each different from the standard one in one
    respect: single rows and half of them, another number of threads (1, 2 and all cores), 3 workers."""
    used = min(standard.rows, windows)
    batches = [
        Setting(rows=rows, threads=standard.threads) for rows in dict.fromkeys((1, used // 2)) if 0 < rows < used
    ]
    counts = [count for count in dict.fromkeys((1, 2, cores)) if count > 0 and count != standard.threads]
    threads = [Setting(rows=standard.rows, threads=count) for count in counts]
    workers = [Setting(rows=standard.rows, threads=standard.threads, workers=WORKERS)] if windows >= WORKERS else []
    return (*batches, *threads, *workers)


def measure_floor(
    model: CausalLM,
    eval_set: EvalSet,
    *,
    device: torch.device | str,
    cores: int,
    alone: Callable[[], AbstractContextManager[object]] = nullcontext,
    on_tokens: Callable[[int], None] | None = None,
) -> NoiseFloor:
    """The floor of scores against this model on this set, on this device.

    `cores`: threads that the machine has. `alone` is entered around each pass: the number of threads belongs to the
    whole process. Raises what `evaluate_set` raises; the number of threads is as before afterwards.
    """
    found = measure_repeats(model, eval_set, device=device, cores=cores, alone=alone, on_tokens=on_tokens)
    return NoiseFloor(nats=found.floor_nats, repeats=len(found.repeats), tokens=found.tokens)


@dataclass(frozen=True, kw_only=True)
class Repeats:
    """The standard measurement and its repeats, in mean nats a token of the part that was read."""

    standard: Setting
    standard_nats: float
    repeats: tuple[tuple[Setting, float], ...]
    tokens: int

    @property
    def floor_nats(self) -> float:
        """The floor that they make."""
        return floor_nats(self.standard_nats, [nats for _, nats in self.repeats])


def measure_repeats(
    model: CausalLM,
    eval_set: EvalSet,
    *,
    device: torch.device | str,
    cores: int,
    alone: Callable[[], AbstractContextManager[object]] = nullcontext,
    on_tokens: Callable[[int], None] | None = None,
) -> Repeats:
    """What `measure_floor` measures, with each repeat. Raises BadConfig, and what `evaluate_set` raises."""
    part = eval_set.part(0, max(LEAST_WINDOWS, PART_TOKENS // eval_set.context))
    standard = Setting(rows=max(1, ROWS_TOKENS // eval_set.context), threads=torch.get_num_threads())

    def mean_nats(setting: Setting) -> float:
        with alone(), _threads(setting.threads):
            nats = sum(
                evaluate_set(model, piece, batch_rows=setting.rows, device=device, on_tokens=on_tokens).nats
                for piece in _split(part, setting.workers)
            )
        return nats / part.target_tokens

    if part.target_tokens == 0:
        raise BadConfig(f"noise floor of {eval_set.name}", "no target in its first windows", "at least one target")
    first = mean_nats(standard)
    others = [(one, mean_nats(one)) for one in repeats(standard, windows=part.window_count, cores=cores)]
    return Repeats(standard=standard, standard_nats=first, repeats=tuple(others), tokens=part.target_tokens)


def _split(part: EvalSet, workers: int) -> Iterator[EvalSet]:
    """The windows as so many workers would share them; who would have no target has nothing to do."""
    edges = [part.window_count * worker // workers for worker in range(workers + 1)]
    for low, high in pairwise(edges):
        piece = part.part(low, high - low)
        if piece.target_tokens:
            yield piece


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    if count != before:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if count != before:
            torch.set_num_threads(before)
