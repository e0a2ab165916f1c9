"""Which rows are no text: empty ones, and loops, in which sampled text sometimes ends (Holtzman et al. 2020,
arXiv:1904.09751). Bounds are wide: what is dropped here is missing in what the parent is held to."""

from collections.abc import Sequence

LEAST_TOKENS = 16  # of a document; a turn of a conversation may be shorter
GRAM = 4  # tokens that are looked at together
LEAST_GRAMS = 32  # fewer say nothing about a loop
LEAST_DISTINCT = 0.5  # of all runs of GRAM tokens: prose has above 0.9, tables and code above 0.6
LONGEST_PERIOD, LEAST_REPEATED = 16, 48  # tokens


def fault_of(ids: Sequence[int], *, least: int = LEAST_TOKENS) -> str | None:
    """`short`, `loop`, or None for a row that is kept. ids: of one document or one turn."""
    if len(ids) < least:
        return "short"
    return "loop" if _repeats(ids) or _ends_in_a_cycle(ids) else None


def _repeats(ids: Sequence[int]) -> bool:
    grams = [tuple(ids[n : n + GRAM]) for n in range(len(ids) - GRAM + 1)]
    return len(grams) >= LEAST_GRAMS and len(set(grams)) < LEAST_DISTINCT * len(grams)


def _ends_in_a_cycle(ids: Sequence[int]) -> bool:
    """Whether the last tokens are one short run again and again."""
    tail = list(ids[-LEAST_REPEATED:])
    if len(tail) < LEAST_REPEATED:
        return False
    return any(tail[period:] == tail[:-period] for period in range(1, LONGEST_PERIOD + 1))
