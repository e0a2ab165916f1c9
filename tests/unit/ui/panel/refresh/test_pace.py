"""How often open pages look for news."""

import pytest

from ui.panel.refresh.pace import LOOKS_PER_S, OpenPages, pace_s


@pytest.mark.parametrize(
    ("pages", "seconds"),
    [
        (0, 0.5),
        (1, 0.5),
        (35, 0.5),
        (36, 0.75),
        (50, 0.75),
        (53, 1.0),
        (70, 1.0),
        (71, 2.0),
        (140, 2.0),
        (350, 5.0),
        (351, 10.0),
        (5000, 30.0),
    ],
)
def test_the_more_pages_are_open_the_seldomer_each_looks(pages: int, seconds: float) -> None:
    assert pace_s(pages) == seconds


@pytest.mark.parametrize("pages", range(1, 1500, 35))
def test_all_pages_together_look_no_oftener_than_the_process_bears(pages: int) -> None:
    assert pages / pace_s(pages) <= LOOKS_PER_S


def test_a_page_that_need_not_look_often_never_does() -> None:
    assert [pace_s(pages, least_s=5.0) for pages in (1, 350, 351)] == [5.0, 5.0, 10.0]
    assert pace_s(1, least_s=60.0) == 60.0


def test_a_tab_more_or_less_does_not_turn_the_pace_to_and_fro() -> None:
    assert pace_s(36, before_s=0.5) == 0.75
    assert [pace_s(pages, before_s=0.75) for pages in (35, 24, 23)] == [0.75, 0.75, 0.5]
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


def test_a_page_whose_tab_is_gone_is_not_counted_though_it_has_missed_no_look() -> None:
    gone = set[object]()
    pages = OpenPages(clock=lambda: 100.0, is_there=lambda page: page not in gone)
    assert [pages.look("a", 5.0), pages.look("b", 5.0)] == [1, 2]
    gone.add("a")
    assert pages.look("b", 5.0) == 1
    gone.clear()
    assert pages.look("a", 5.0) == 2, "a connection that was lost is there again"
