"""No row without a test or a reason: what is tried is found in the code, not listed by hand."""

import re

import pytest

from tests.attacks import test_calls, test_identity, test_models, test_secrets, test_sources, test_specs
from tests.attacks.matrix import ROWS, WAITING, Line, table

MODULES = (test_specs, test_sources, test_models, test_calls, test_identity, test_secrets)


def tried() -> list[int]:
    """Numbers of the rows that have a test."""
    names = [name for module in MODULES for name in vars(module)]
    return [int(found.group(1)) for name in names if (found := re.match(r"test_row_(\d+)_", name))]


def test_every_row_is_tried_once_or_says_what_it_waits_for() -> None:
    assert sorted([*tried(), *WAITING]) == sorted(ROWS)


@pytest.mark.attacks
@pytest.mark.parametrize("number", sorted(WAITING))
def test_a_row_that_waits(number: int) -> None:
    pytest.fail(f"row {number}, {ROWS[number]}: {WAITING[number]}")


def test_the_table_says_what_was_not_refused() -> None:
    lines = [Line(number=2, refused=False, how="it was taken", tried=1, ms=3.2)]
    lines.append(Line(number=1, refused=True, how="INVALID_ARGUMENT", tried=9, ms=12.6))
    said = table(lines, besides=["and so on"]).splitlines()
    assert [line.split()[:2] for line in said[1:3]] == [["1", "yes"], ["2", "NO"]]
    assert said[3:] == [f"1 of {len(ROWS)} rows refused; tried here: 2", "and so on"]
