"""No row without a test or a reason: what is tried is found in the code, not listed by hand."""

import re
from pathlib import Path

import pytest

from tests.attacks.matrix import ROWS, WAITING, Line, table


def tried() -> list[int]:
    """Numbers of the rows that have a test, in whatever file."""
    files = Path(__file__).parent.glob("test_*.py")
    return [int(number) for file in files for number in re.findall(r"^def test_row_(\d+)_", file.read_text(), re.M)]


def test_every_row_is_tried_once_or_says_what_it_waits_for() -> None:
    assert sorted([*tried(), *WAITING]) == sorted(ROWS)


@pytest.mark.attacks
def test_no_row_waits() -> None:
    assert not [f"row {number}, {ROWS[number]}: {why}" for number, why in WAITING.items()]


def test_the_table_says_what_was_not_refused() -> None:
    lines = [Line(number=2, refused=False, how="it was taken", tried=1, ms=3.2)]
    lines.append(Line(number=1, refused=True, how="INVALID_ARGUMENT", tried=9, ms=12.6))
    said = table(lines, besides=["and so on"]).splitlines()
    assert [line.split()[:2] for line in said[1:3]] == [["1", "yes"], ["2", "NO"]]
    assert said[3:] == [f"1 of {len(ROWS)} rows refused; tried here: 2", "and so on"]
