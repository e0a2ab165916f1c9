"""The arithmetic of forgetting: the score, its severity, and how sure one can be of it. Plain numbers and numpy.

Legend for array names: U units of the evaluation set (documents, or 2,048-token segments of longer ones), R
resamples of the bootstrap.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.errors import BadConfig
from retain.values import thresholds as values

MIN_UNITS = 50  # with fewer, the percentiles of a bootstrap say little, so no interval is given at all
RESAMPLES = 2000
CONFIDENCE = 0.95
_CHUNK_CELLS = 4_000_000  # resamples are drawn in slices of at most so many counts (32 MB)


@dataclass(frozen=True, kw_only=True)
class Thresholds(values.Thresholds):
    """The bounds of the severities with their defaults. Raises BadConfig for bounds that do not rise."""

    minor: float = values.MINOR
    action: float = values.ACTION
    stop: float = values.STOP

    def __post_init__(self) -> None:
        if not -1.0 <= self.suspicious_below < 0.0:
            raise BadConfig("thresholds.suspicious_below", self.suspicious_below, "-1 to just below 0")
        if not 0 < self.minor <= self.action <= self.stop < math.inf:
            got = f"minor {self.minor}, action {self.action}, stop {self.stop}"
            raise BadConfig("thresholds", got, "0 < minor <= action <= stop, finite")


def perplexity(nats: float, tokens: int) -> float:
    """exp(summed nats / tokens): the sum is divided once. Infinite where the exponent overflows, NaN when nats is.

    Raises BadConfig.
    """
    if tokens <= 0:
        raise BadConfig("tokens", tokens, "at least one target token")
    mean_nats = nats / tokens
    return math.inf if mean_nats > 700 else math.exp(mean_nats)  # exp(709.8) is the largest double


def forgetting_ratio(ppl_now: float, ppl_baseline: float) -> float:
    """(ppl_now - ppl_baseline) / ppl_baseline: signed, unclamped; > 0 is worse, an untouched model scores exactly 0.

    A broken model (NaN or infinite perplexity now) gives that NaN or infinity back, which `Thresholds` calls a stop.
    A baseline that is not a positive finite number was never measured: BadConfig.
    """
    _require_baseline(ppl_baseline)
    return (ppl_now - ppl_baseline) / ppl_baseline


def forgetting_nats(ppl_now: float, ppl_baseline: float) -> float:
    """ln(ppl_now / ppl_baseline): the same in nats a token, which add up over stages; > 0 is worse."""
    _require_baseline(ppl_baseline)
    if math.isnan(ppl_now) or ppl_now <= 0:
        return math.nan
    return math.inf if math.isinf(ppl_now) else math.log(ppl_now / ppl_baseline)


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Ends of a confidence interval of the ratio; ln(1 + end) is the same in nats."""

    low: float
    high: float


def bootstrap_interval(
    nats_now_U: npt.ArrayLike,
    nats_baseline_U: npt.ArrayLike,
    tokens_U: npt.ArrayLike,
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Interval | None:
    """Percentile interval of the forgetting ratio by a paired bootstrap over units (Efron & Tibshirani 1993, ch. 13).

    nats_now_U, nats_baseline_U: summed nats of each unit under the model now and under the baseline; tokens_U: tokens
    of each unit, the same for both, because the set is frozen. Paired: one draw of units serves both models, so that
    what makes a document hard for either cancels. Each resample is a ratio of sums, never a mean of means:

        delta = sum(c * (now - baseline)) / sum(c * tokens),  ratio = exp(delta) - 1,  c ~ Multinomial(U, 1/U)

    Returns None with under 50 units, or when a unit is not finite (the score itself is a stop then). Seeded: the same
    data give the same interval. Raises BadConfig when the arrays do not match.
    """
    now_U, baseline_U = np.asarray(nats_now_U, dtype=np.float64), np.asarray(nats_baseline_U, dtype=np.float64)
    tokens = np.asarray(tokens_U, dtype=np.float64)
    if not now_U.shape == baseline_U.shape == tokens.shape or now_U.ndim != 1:
        got = f"shapes {now_U.shape}, {baseline_U.shape}, {tokens.shape}"
        raise BadConfig("units", got, "one row of the same length for each: both were measured on the same frozen set")
    units = now_U.size
    if units < MIN_UNITS or not (np.isfinite(now_U).all() and np.isfinite(baseline_U).all()):
        return None
    rng = np.random.default_rng(seed)
    columns = np.stack([now_U - baseline_U, tokens], axis=1)
    chance_U = np.full(units, 1.0 / units)
    ratios: list[npt.NDArray[np.float64]] = []
    left = resamples
    while left:
        rows = min(left, max(1, _CHUNK_CELLS // units))
        sums_R2 = rng.multinomial(units, chance_U, size=rows) @ columns
        ratios.append(np.expm1(sums_R2[:, 0] / sums_R2[:, 1]))
        left -= rows
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(ratios), [tail, 1 - tail])
    return Interval(low=float(low), high=float(high))


def _require_baseline(ppl_baseline: float | None) -> None:
    if ppl_baseline is None or not math.isfinite(ppl_baseline) or ppl_baseline <= 0:
        expected = "the perplexity that the model had before, measured on the same frozen set (there is no default)"
        raise BadConfig("baseline perplexity", ppl_baseline, expected)
