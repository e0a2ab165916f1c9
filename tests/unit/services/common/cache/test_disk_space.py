"""What counts as a full disk, and the place that people are told."""

import errno
from pathlib import Path

import pytest

from model.errors import BadSource
from services.common.cache.disk_space import LONGEST_PAUSE_S, is_disk_full, when_there_is_room

FULL = OSError(errno.ENOSPC, "No space left on device")


def test_the_systems_errors_and_what_wraps_them() -> None:
    assert is_disk_full(FULL)
    assert is_disk_full(OSError(errno.EDQUOT, "Disk quota exceeded"))
    wrapped = BadSource(field="hf://x", got="OSError", expected="rows")
    wrapped.__cause__ = FULL
    assert is_disk_full(wrapped)
    assert not is_disk_full(OSError(errno.EIO, "Input/output error"))
    assert not is_disk_full(ValueError("no room"))


def test_what_libraries_say_in_words() -> None:
    """As safetensors and the hub's client (both in Rust) put it."""
    for words in (
        "Error while serializing: I/O error: No space left on device (os error 28)",
        "I/O error: Disk quota exceeded (os error 122)",
    ):
        assert is_disk_full(RuntimeError(words))
    assert not is_disk_full(RuntimeError("I/O error: Permission denied (os error 13)"))


def test_pauses_grow_and_the_place_is_named(tmp_path: Path) -> None:
    told: list[str] = []
    pauses: list[float] = []
    freed: list[None] = []

    def work() -> str:
        if len(pauses) < 12:
            raise OSError(errno.ENOSPC, "No space left on device", "/elsewhere/hub/blob.incomplete")
        return "done"

    result = when_there_is_room(work, tmp_path, told=told.append, pause=pauses.append, free=lambda: freed.append(None))
    assert result == "done"
    assert told == ["disk full at /elsewhere/hub/blob.incomplete"] * 12 + [""]
    assert len(freed) == 12
    assert pauses[0] <= 1.0
    assert all(LONGEST_PAUSE_S / 2 <= pause <= LONGEST_PAUSE_S for pause in pauses[5:])


def test_other_errors_are_raised_at_once(tmp_path: Path) -> None:
    def work() -> None:
        raise OSError(errno.EACCES, "Permission denied")

    with pytest.raises(PermissionError):
        when_there_is_room(work, tmp_path, told=lambda text: None, pause=lambda seconds: None)
