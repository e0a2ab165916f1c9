"""How often open pages look for news."""

import pytest

from ui.panel.refresh.pace import LOOKS_PER_S, OpenPages, pace_s


@pytest.mark.parametrize(
    ("pages", "seconds"),
    [(0, 0.5), (1, 0.5), (5, 0.5), (6, 1.0), (10, 1.0), (11, 2.0), (20, 2.0), (50, 5.0), (51, 10.0), (1000, 30.0)],
)
def test_the_more_pages_are_open_the_seldomer_each_looks(pages: int, seconds: float) -> None:
    assert pace_s(pages) == seconds


@pytest.mark.parametrize("pages", range(1, 300, 7))
def test_all_pages_together_look_no_oftener_than_the_process_bears(pages: int) -> None:
    assert pages / pace_s(pages) <= LOOKS_PER_S


def test_a_page_that_need_not_look_often_never_does() -> None:
    assert [pace_s(pages, least_s=5.0) for pages in (1, 50, 51)] == [5.0, 5.0, 10.0]
    assert pace_s(1, least_s=60.0) == 60.0


def test_a_tab_more_or_less_does_not_turn_the_pace_to_and_fro() -> None:
    assert pace_s(6, before_s=0.5) == 1.0
    assert [pace_s(pages, before_s=1.0) for pages in (5, 4, 3)] == [1.0, 1.0, 0.5]
    assert pace_s(1, before_s=30.0) == 0.5, "where all others have gone, the one that is left is quick again"


def test_a_page_that_looks_no_more_is_not_counted() -> None:
    now_s = 100.0
    pages = OpenPages(clock=lambda: now_s)
    assert [pages.look("a", 0.5), pages.look("b", 0.5), pages.look("a", 0.5)] == [1, 2, 2]
    now_s += 6.4  # b has missed three looks and is given five seconds
    assert pages.look("a", 0.5) == 2
    now_s += 0.2
    assert pages.look("a", 0.5) == 1
    assert pages.look("b", 0.5) == 2
