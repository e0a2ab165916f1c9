"""The files of wandb: records that span blocks, files that end in the middle, others that are none. They are written by
hand, as the documentation of LevelDB's log says."""

import struct

import pytest

from ui.tracking.port import TrackerAway
from ui.tracking.wandb_file import records

HEAD = b":W&B\xe1\xbe\x00"


def part(kind: int, data: bytes) -> bytes:
    return struct.pack("<IHB", 0, len(data), kind) + data


def test_whole_records_and_one_over_three_blocks() -> None:
    first = b"a" * (32_768 - 7 - 7 - 12)  # leaves 12 bytes of the block: a header and 5 bytes
    middle, last = b"c" * (32_768 - 7), b"ddd"
    data = HEAD + part(1, first) + part(2, b"bbbbb") + part(3, middle) + part(4, last) + part(1, b"e")
    assert list(records(data, "f")) == [first, b"bbbbb" + middle + last, b"e"]


def test_an_end_of_a_block_that_is_too_short_for_a_header_is_padding() -> None:
    first = b"a" * (32_768 - 7 - 7 - 6)
    assert list(records(HEAD + part(1, first) + b"\0" * 6 + part(1, b"b"), "f")) == [first, b"b"]


@pytest.mark.parametrize("cut", [1, 5, 8])
def test_what_is_half_written_is_left(cut: int) -> None:
    data = HEAD + part(1, b"first") + part(1, b"second")
    assert list(records(data[:-cut], "f")) == [b"first"]
    assert list(records(HEAD[:3], "f")) == []


def test_another_file_is_no_run() -> None:
    with pytest.raises(TrackerAway, match="is no file of wandb"):
        list(records(b"PK\x03\x04 and more", "f"))
