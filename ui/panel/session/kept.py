"""What a person has typed and is still at work on, beside their sessions: a refresh, a second tab and the session after
one that ended find it. It is the panel's memory, by server and person, and ends with the panel."""

from typing import Any

import streamlit as st

from ui.panel.session.login import CALLER, address

PEOPLE = 256  # whose texts are kept


@st.cache_resource(max_entries=PEOPLE, show_spinner=False)
def _of(server: str, person: str) -> dict[str, dict[Any, Any]]:
    return {}


def mine(page: str) -> dict[Any, Any] | None:
    """What is kept of this person for one page. None where a server does not know people: all would share it."""
    person = st.session_state.get(CALLER)
    return _of(address().orchestrator, person).setdefault(page, {}) if person else None
