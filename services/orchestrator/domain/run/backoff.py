"""How long to wait before something that failed is tried again.

Pauses are lengths in the state, never points in time: whoever carries an effect out counts them with a clock that does
not go back, from the moment that it first saw the effect. A wall clock that is put back cannot stretch them, and after
a restart at most the whole pause is waited once more.
"""

FIRST_PAUSE_S = 1.0
FACTOR = 5.0
LONGEST_PAUSE_S = 125.0
PAUSE_FOR_ROOM_S = 25.0

# What passes by itself, or when a person makes room: it is waited for, and never counted against a run.
PASSING_REASONS = ("STORAGE_FULL", "UNAVAILABLE", "EVALUATOR_UNAVAILABLE", "STORE_UNAVAILABLE")


def pause_s(failures: int) -> float:
    """Seconds before the next try after so many failures in a row: none, 1, 5, 25, 125, and no more than that."""
    if failures <= 0:
        return 0.0
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * FACTOR ** min(failures - 1, 8))
