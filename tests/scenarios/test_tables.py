"""Every scenario of every table is run."""

import pytest

from tests.scenarios.tables import TABLES, scenario, sections

ALL = [(path.stem, title) for path in sorted(TABLES.glob("*.txt")) for title in sections(path.stem)]


@pytest.mark.parametrize(("table", "title"), ALL, ids=[f"{table}: {title}" for table, title in ALL])
def test_scenario(table: str, title: str) -> None:
    scenario(table, title)


def test_every_row_says_what_is_expected() -> None:
    assert ALL, "there are scenarios"
    for table, title in ALL:
        for number, event, expected in sections(table)[title].rows:
            assert expected, f"{table}.txt, line {number + 1}: {event} expects nothing"
