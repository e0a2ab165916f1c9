"""Widgets that the draft fills, and what the browser sends of them.

A browser answers with what all its widgets show, also those to which it has not been told yet what they show now: press
Start while the form is drawn for a text that was pasted a moment ago, and it sends the form of the text before.
Streamlit would take that for changes by a person. Such an echo is known by its value, which is the one before.
"""

import time
from typing import Any

import streamlit as st

GRACE_S = 2.0  # after a page was drawn to its end: by then the browser has it
_BEFORE, _DRAWN = "draft_before", "draft_drawn"


def tell(key: str, value: Any, empty: Any = None) -> None:
    """The widget shows this; set only where it does not, so that what is being typed is left alone. `empty`: what it
    shows before it was told anything."""
    if key not in st.session_state or st.session_state[key] != value:
        st.session_state.setdefault(_BEFORE, {})[key] = st.session_state.get(key, empty)
        st.session_state[key] = value


def changed() -> None:
    """The draft is another, and the browser does not know it."""
    st.session_state.pop(_DRAWN, None)


def drawn() -> None:
    """The page was drawn to its end."""
    st.session_state.setdefault(_DRAWN, time.monotonic())


def is_echo(key: str) -> bool:
    """Whether what a widget is said to have become is only what it was, from a browser that is behind."""
    since = st.session_state.get(_DRAWN)
    behind = since is None or time.monotonic() - since < GRACE_S
    before = st.session_state.get(_BEFORE, {})
    return behind and key in before and bool(before[key] == st.session_state[key])
