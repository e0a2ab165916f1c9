"""What every page uses: the client, the live runs, and how an error of the client is shown."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import streamlit as st

from retain.values.faults import mismatch
from ui.client import Address, ClientError, connect
from ui.client.client import RetainClient
from ui.client.errors import BadInput, Violation
from ui.panel import rights
from ui.panel.__main__ import bind
from ui.panel.guard import LOOPBACK
from ui.panel.live import LiveRuns
from ui.panel.login import ROLES, address, ask_again, is_expired
from ui.spec.file import local_sources

PROJECTS_KEPT_S = 30.0
SESSIONS = 64  # people whose clients are kept; each has those of its own token
STATE_BADGES = {
    "PENDING": ("blue", ":material/hourglass_top:"),
    "RUNNING": ("blue", ":material/play_arrow:"),
    "SUSPENDED": ("orange", ":material/front_hand:"),
    "SUCCEEDED": ("green", ":material/check:"),
    "FAILED": ("red", ":material/error:"),
    "CANCELLED": ("gray", ":material/block:"),
}
STATUS_LABELS = {
    "COMPLETE": "✓ Complete",
    "RUNNING": "● Running",
    "SUSPENDED": "‖ Waits for a person",
    "FAILED": "✗ Failed",
    "READY": "○ Ready to start",
    "LOCKED": "⊗ Locked",
}


_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>()#+!|~$:-])")


def as_text(text: str) -> str:
    """A text from outside as itself where Streamlit reads Markdown: no link, no picture, no mark-up in it works."""
    return _MARKDOWN.sub(r"\\\1", text)


def refuse_local_paths(tree: dict[str, Any]) -> None:
    """Raises BadInput for local paths unless panel and server are this person's own machine: whoever types into the
    browser of a shared panel names files of the panel's machine, not of theirs."""
    if client().address.is_loopback and bind(os.environ)[0] in LOOPBACK:
        return
    expected = "a URI (sample://, s3://, hf://); `retain run` uploads"
    faults = [
        Violation(field=place, description=mismatch(f"{holder[key]!r}, a path of this panel's own machine", expected))
        for holder, key, place in local_sources(tree)
    ]
    if faults:
        raise BadInput(faults)


@st.cache_resource(max_entries=SESSIONS)
def _client(address: Address) -> RetainClient:
    return connect(address)


@st.cache_resource(max_entries=SESSIONS)
def _live(address: Address) -> LiveRuns:
    return LiveRuns(_client(address))


def client(project: str = "") -> RetainClient:
    """The client of this session; another address, token or project is another client."""
    return _client(replace(address(), project=project))


@st.cache_resource(max_entries=SESSIONS, ttl=PROJECTS_KEPT_S)
def _projects(address: Address) -> list[str]:
    return [project.name for project in _client(address).projects.all()]


def chosen_project(label: str, key: str, *, everything: str = "") -> str:
    """The project that was chosen; nothing is asked of somebody who has one. `everything` stands first where it is
    given, and is chosen as an empty name."""
    try:
        names = _projects(address())
    except ClientError:
        return ""  # what keeps the server from answering is said by the page's own calls
    if len(names) < 2:
        return "" if everything else next(iter(names), "")
    options = ["", *names] if everything else names
    return str(st.selectbox(label, options, key=key, format_func=lambda name: name or everything))


def choice(label: str, options: dict[str, str], key: str) -> str:
    """One of a few, by the names in `options`, side by side. The address holds what is chosen: a refresh and a second
    tab show the same."""
    if st.session_state.get(key) not in options:
        asked = st.query_params.get(key, "")
        st.session_state[key] = asked if asked in options else next(iter(options))
    chosen = st.segmented_control(
        label, list(options), format_func=options.__getitem__, key=key, required=True, label_visibility="collapsed"
    )
    st.query_params[key] = str(chosen)
    return str(chosen)


def live() -> LiveRuns:
    return _live(address())


def may_act() -> bool:
    """Whether the person of this session may do more than look; buttons of others are not drawn."""
    return rights.may_act(st.session_state.get(ROLES))


@contextmanager
def errors_shown() -> Iterator[None]:
    """Shows what the client could not do, every fault on a line, and stops the page there."""
    try:
        yield
    except ClientError as error:
        show_error(error)
        st.stop()


def show_error(error: ClientError) -> None:
    if error.violations:
        show_faults([(violation.field, violation.description) for violation in error.violations])
    else:
        st.error(as_text(error.message), icon=":material/cloud_off:" if error.exit_code == 3 else ":material/error:")
        if is_expired(error):
            ask_again(error)


def show_faults(faults: list[tuple[str, str]]) -> None:
    """Faults of an input as a table: where, and what was got and expected."""
    st.error(f"{len(faults)} {'fault' if len(faults) == 1 else 'faults'} in the spec", icon=":material/rule:")
    st.dataframe(
        [{"Field": field, "What is wrong": description} for field, description in faults],
        hide_index=True,
        alt="Faults of the spec by field",
    )


def state_badge(state: str) -> None:
    colour, icon = STATE_BADGES.get(state, ("gray", ":material/help:"))
    st.badge(state.capitalize(), color=colour, icon=icon)  # type: ignore[arg-type]


def open_run(run_id: str) -> None:
    """Goes to the page of a run."""
    st.session_state["run_id"] = run_id
    st.switch_page("app_pages/run.py", query_params={"run": run_id})
