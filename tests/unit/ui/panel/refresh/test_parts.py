"""A page of parts, run by Streamlit's own test harness; a tick of the browser's timer asks for the part that looks."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
from streamlit.testing.v1 import AppTest

from tests.ticks import tick
from ui.panel.refresh import parts
from ui.panel.refresh.pace import OpenPages


@dataclass(frozen=True)
class News:
    left: str = "a"
    right: str = "b"
    over: bool = False


class World:
    """What the page of this test shows, and how often it drew each part."""

    news = News()
    drawn: ClassVar[Counter[str]] = Counter()


def page() -> None:
    import streamlit as st

    from tests.unit.ui.panel.refresh.test_parts import World
    from ui.panel.refresh.parts import Part, begin_page, follow, show

    def part(name: str) -> Part:
        def draw(news) -> None:
            World.drawn[name] += 1
            st.markdown(f"{name}: {getattr(news, name)}")
            st.text_input(name, key=name)

        return Part(name=name, draw=draw, drawn_from=lambda news: getattr(news, name))

    World.drawn["page"] += 1
    both = (part("left"), part("right"))
    begin_page()
    for one in both:
        show(one, lambda: World.news)
    if not World.news.over:
        follow(both, lambda: World.news, is_over=lambda news: news.over, least_s=0.5)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> AppTest:
    World.news, World.drawn = News(), Counter()
    monkeypatch.setattr(parts, "open_pages", OpenPages())
    return AppTest.from_function(page, default_timeout=30).run()


def drawn_by_a_tick(at: AppTest) -> Counter[str]:
    """How often each part was drawn."""
    World.drawn = Counter()
    tick(at)
    return World.drawn


def said(at: AppTest) -> list[str]:
    return [one.value for one in at.markdown]


def test_a_tick_without_news_draws_nothing(at: AppTest) -> None:
    assert World.drawn == {"page": 1, "left": 1, "right": 1}
    assert drawn_by_a_tick(at) == {}
    World.news = replace(World.news)  # another object that says the same
    assert drawn_by_a_tick(at) == {}


def test_a_tick_draws_what_has_changed_and_nothing_else(at: AppTest) -> None:
    at.text_input(key="right").set_value("typed").run()
    World.news = replace(World.news, left="c")
    assert drawn_by_a_tick(at) == {"left": 1}
    assert said(at) == ["left: c"], "only that is sent"
    assert at.session_state["right"] == "typed"
    assert drawn_by_a_tick(at) == {}
    World.news = News(left="d", right="e")
    assert drawn_by_a_tick(at) == {"left": 1, "right": 1}


def test_news_of_another_page_draw_the_page(at: AppTest) -> None:
    World.news = News(over=True)
    assert drawn_by_a_tick(at) == {"page": 1, "left": 1, "right": 1}


def test_many_open_pages_slow_one_down_without_drawing_it(at: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    assert at.session_state[parts.PACE] == 0.5
    for number in range(249):
        parts.open_pages.look(number, 0.5)
    assert drawn_by_a_tick(at) == {}
    assert at.session_state[parts.PACE] == 5.0
    monkeypatch.setattr(parts, "open_pages", OpenPages())
    drawn_by_a_tick(at)
    assert at.session_state[parts.PACE] == 0.5


def test_with_a_streamlit_that_cannot_draw_parts_the_page_is_drawn(
    at: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    World.news = replace(World.news, left="c")
    monkeypatch.setattr("ui.panel.refresh.again._ask", lambda parts: exec("raise AttributeError('resolve_target')"))
    assert drawn_by_a_tick(at) == {"page": 1, "left": 1, "right": 1}
    assert said(at) == ["left: c", "right: b"]
