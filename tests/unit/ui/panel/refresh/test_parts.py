"""A page of parts, run by Streamlit's own test harness; a tick of the browser's timer asks for the part that looks."""

import functools
from collections import Counter
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
from streamlit.runtime.scriptrunner import RerunData
from streamlit.testing.v1 import AppTest

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


def tick(at: AppTest, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """What a tick of the timer draws."""
    World.drawn = Counter()
    asked = at._fragment_storage.resolve_target([parts.LOOK])
    with monkeypatch.context() as patch:
        patch.setattr(
            "streamlit.testing.v1.local_script_runner.RerunData", functools.partial(RerunData, fragment_id_queue=asked)
        )
        at.run()
    assert not at.exception
    return World.drawn


def said(at: AppTest) -> list[str]:
    return [one.value for one in at.markdown]


def test_a_tick_without_news_draws_nothing(at: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    assert World.drawn == {"page": 1, "left": 1, "right": 1}
    assert tick(at, monkeypatch) == {}
    World.news = replace(World.news)  # another object that says the same
    assert tick(at, monkeypatch) == {}


def test_a_tick_draws_what_has_changed_and_nothing_else(at: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    at.text_input(key="right").set_value("typed").run()
    World.news = replace(World.news, left="c")
    assert tick(at, monkeypatch) == {"left": 1}
    assert said(at) == ["left: c"], "only that is sent"
    assert at.session_state["right"] == "typed"
    assert tick(at, monkeypatch) == {}
    World.news = News(left="d", right="e")
    assert tick(at, monkeypatch) == {"left": 1, "right": 1}


def test_news_of_another_page_draw_the_page(at: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    World.news = News(over=True)
    assert tick(at, monkeypatch) == {"page": 1, "left": 1, "right": 1}


def test_many_open_pages_slow_one_down_without_drawing_it(at: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    assert at.session_state[parts.PACE] == 0.5
    for number in range(49):
        parts.open_pages.look(number, 0.5)
    assert tick(at, monkeypatch) == {}
    assert at.session_state[parts.PACE] == 5.0
    monkeypatch.setattr(parts, "open_pages", OpenPages())
    tick(at, monkeypatch)
    assert at.session_state[parts.PACE] == 0.5


def test_with_a_streamlit_that_cannot_draw_parts_the_page_is_drawn(
    at: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    World.news = replace(World.news, left="c")
    monkeypatch.setattr("ui.panel.refresh.again._ask", lambda parts: exec("raise AttributeError('resolve_target')"))
    assert tick(at, monkeypatch) == {"page": 1, "left": 1, "right": 1}
    assert said(at) == ["left: c", "right: b"]
