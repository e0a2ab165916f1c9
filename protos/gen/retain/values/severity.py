"""How bad a forgetting score is, said once: the gate acts by it, the torch core's detector, command and panel show it.

A ratio is (perplexity now - perplexity of the baseline) / perplexity of the baseline: above 0 is worse. Thresholds are
inclusive. What is not a number is the worst there is: `nan >= 0.2` is False, so it must be asked for first.
"""

import math
from enum import StrEnum
from typing import Literal

LEAST_RATIO = -1.0  # a perplexity is at least 1 and cannot fall by more than all of it
SUSPICIOUS_BELOW = -0.5  # half the perplexity gone: rather a broken baseline than a model that got so much better

Severity = Literal["OK", "MINOR", "ACTION", "STOP"]


class Doubt(StrEnum):
    """How far a score is to be believed. A perplexity is at least 1, so (now - baseline) / baseline stays above -1:
    whatever lies below was computed from something that was no perplexity."""

    NONE = "NONE"
    SUSPICIOUS = "SUSPICIOUS"
    IMPOSSIBLE = "IMPOSSIBLE"


def severity_of(ratio: float, *, minor: float, action: float, stop: float) -> Severity:
    """Severity of a ratio by thresholds that rise. NaN and infinity are STOP."""
    if not math.isfinite(ratio) or ratio >= stop:
        return "STOP"
    if ratio >= action:
        return "ACTION"
    return "MINOR" if ratio >= minor else "OK"


def doubt_of(ratio: float, *, suspicious_below: float) -> Doubt:
    """Whether a ratio is too good to be true, or even below what a perplexity can do. What is not finite is no doubt
    but a stop."""
    if not math.isfinite(ratio):
        return Doubt.NONE
    if ratio < LEAST_RATIO:
        return Doubt.IMPOSSIBLE
    return Doubt.SUSPICIOUS if ratio < suspicious_below else Doubt.NONE


def badness_of(ratio: float, floor_ratio: float | None) -> float:
    """How bad a score is beside others: infinite where it is no number, so that it cannot hide behind one, and 0 where
    it is not resolved."""
    if not math.isfinite(ratio):
        return math.inf
    return 0.0 if within_floor(ratio, floor_ratio) else ratio


def within_floor(ratio: float, floor_ratio: float | None) -> bool:
    """Whether a score is not resolved: no further from 0 than the noise floor of the gauge. Never where no floor is
    known, and never for what is not a number."""
    return floor_ratio is not None and math.isfinite(ratio) and abs(ratio) <= floor_ratio
