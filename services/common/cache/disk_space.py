"""A full disk is waited for: it is a matter of time, never the end of a run.

`when_there_is_room` does a piece of work again and again until there was room for it, says meanwhile what is waited
for ("disk full at /var/retain"), and frees what nobody uses. Work that is tried again must be able to begin anew.
"""

import errno
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

FULL = (errno.ENOSPC, errno.EDQUOT)
# What libraries that report a full disk in words (safetensors, pyarrow, the hub's client) say: the system's own text,
# or its number as Rust prints it.
_WORDS = ("no space left on device", "disk quota exceeded", "os error 28)", "os error 122)")
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0


def is_disk_full(error: BaseException) -> bool:
    """Whether an error, or one that it was raised from, says that a disk or a quota is full."""
    return any(
        (isinstance(link, OSError) and link.errno in FULL) or any(words in str(link).lower() for words in _WORDS)
        for link in _chain(error)
    )


def full_place(error: BaseException, place: Path) -> Path:
    """What is full: `place`, unless the error names something elsewhere (a file of another cache, say)."""
    for link in _chain(error):
        if isinstance(link, OSError) and link.errno in FULL and isinstance(link.filename, str | Path):
            named = Path(link.filename)
            return place if named.is_relative_to(place) or not named.is_absolute() else named
    return place


def when_there_is_room(
    work: Callable[[], T],
    place: Path,
    *,
    told: Callable[[str], None],
    pause: Callable[[float], None],
    free: Callable[[], object] = lambda: None,
) -> T:
    """Do `work` until there was room for all of it, and return its result.

    place: the folder that it writes to, for people. told: called with "disk full at PATH" at every try that failed,
    and with "" once there was room again. free: deletes what nobody uses. pause: sleeps for the given seconds and may
    raise to give up. Other errors of `work` are raised as they are.
    """
    tries = 0
    while True:
        try:
            result = work()
        except Exception as error:
            if not is_disk_full(error):
                raise
            told(f"disk full at {full_place(error, place)}")
        else:
            if tries:
                told("")
            return result
        free()
        tries += 1
        pause(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(tries, 10)) * random.uniform(0.5, 1.0))


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__
