"""A page of parts, of which those are drawn again that what came has changed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import streamlit as st

from ui.panel.refresh.again import again
from ui.panel.refresh.pace import OpenPages, pace_s
from ui.panel.refresh.tabs import is_connected, this_tab

News = TypeVar("News")
DRAWN, LOOKED_AT, PACE = "parts_drawn", "parts_looked_at", "parts_pace"  # of the session
JUST_DRAWN = "parts_just_drawn"  # of the session: what is drawn inline with its page has nothing to look for
PULSE, LOOK = "pulse", "look"  # parts: what decides how often is looked, and what looks

open_pages = OpenPages(is_there=is_connected)  # of this process


@dataclass(frozen=True, kw_only=True)
class Part(Generic[News]):
    """A part of a page. `drawn_from`: of the news, what it shows; while that is equal, it looks the same."""

    name: str
    draw: Callable[[News], None]
    drawn_from: Callable[[News], object]


def begin_page() -> None:
    """Before the first part of a page."""
    st.session_state[DRAWN], st.session_state[LOOKED_AT] = {}, None


def show(part: Part[News], newest: Callable[[], News]) -> None:
    """Draws a part from the newest news, as a fragment: what a person does in it draws it alone."""

    def drawn() -> None:
        news = newest()
        st.session_state[DRAWN][part.name] = part.drawn_from(news)
        part.draw(news)

    drawn.__qualname__ = f"part.{part.name}"
    st.fragment(drawn, key=part.name)()


def follow(
    parts: Sequence[Part[News]],
    newest: Callable[[], News],
    *,
    is_over: Callable[[News], bool],
    least_s: float,
    cost: float = 1.0,
) -> None:
    """Looks for news from now on, `least_s` seconds apart or, where many pages are open, more; draws the parts again
    that differ, and the whole page once `is_over` says that it is another one. `cost`: of a look, in looks that only
    take what is there."""

    def look() -> None:
        if st.session_state.pop(JUST_DRAWN, False):
            return
        every_s = st.session_state[PACE]
        news = newest()
        if is_over(news):
            st.rerun()
        stale = _stale(parts, news)
        if pace_s(cost * _pages(every_s), before_s=every_s, least_s=least_s) != every_s:
            stale.append(PULSE)
        if stale:
            again(stale)

    def pulse() -> None:
        before_s = st.session_state.get(PACE)
        every_s = pace_s(cost * _pages(before_s or least_s), before_s=before_s, least_s=least_s)
        st.session_state[PACE], st.session_state[JUST_DRAWN] = every_s, True
        st.fragment(look, key=LOOK, run_every=every_s)()

    st.fragment(pulse, key=PULSE)()


def _pages(every_s: float) -> int:
    """How many pages are open; this one looks every so many seconds."""
    return open_pages.look(this_tab(), every_s)


def _stale(parts: Sequence[Part[News]], news: News) -> list[str]:
    """The parts that show something else than the news."""
    if st.session_state[LOOKED_AT] is news:
        return []
    st.session_state[LOOKED_AT] = news
    drawn = st.session_state[DRAWN]
    return [part.name for part in parts if part.name not in drawn or drawn[part.name] != part.drawn_from(news)]
