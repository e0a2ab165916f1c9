"""What every page uses: the client, the live runs, and how an error of the client is shown."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from retain.values.faults import mismatch
from ui.client import Address, ClientError, connect
from ui.client.client import RetainClient
from ui.client.errors import BadInput, Violation
from ui.client.views import Run
from ui.panel import rights
from ui.panel.__main__ import bind
from ui.panel.guard import LOOPBACK
from ui.panel.live import LiveRuns
from ui.panel.session.login import ROLES, address, ask_again, is_expired
from ui.progress import of_house
from ui.render.progress_table import ProgressRow
from ui.spec.file import local_sources

PROJECTS_KEPT_S = 30.0
NEEDING = 20  # runs that wait or failed are named; the list by state has the others
HOUSE_KEPT_S = 4.0  # tabs of one person look at one answer
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
# An address becomes a link however it is escaped, unless something stands in it; this has no width.
_ADDRESS, _JOINER = re.compile(r"(https?://|www(?=\.))", re.IGNORECASE), "\u2060"


def as_text(text: str) -> str:
    """A text from outside as itself where Streamlit reads Markdown: no link, no picture, no mark-up in it works."""
    return _MARKDOWN.sub(r"\\\1", _ADDRESS.sub(rf"\1{_JOINER}", text))


def as_badge(text: str) -> str:
    """The same for a badge, which escapes square brackets itself."""
    return re.sub(r"\\([\[\]])", r"\1", as_text(text))


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


def my_projects() -> list[str]:
    """The projects that the person may use. Raises ClientError."""
    return _projects(address())


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


def addressed_text(label: str, key: str, placeholder: str = "") -> str:
    """A text to search with, which the address holds too."""
    if key not in st.session_state:
        st.session_state[key] = st.query_params.get(key, "")
    text = str(st.text_input(label, key=key, placeholder=placeholder, type="search")).strip()
    if text:
        st.query_params[key] = text
    else:
        st.query_params.pop(key, None)
    return text


def pager(name: str, token: str, following: str) -> None:
    """Buttons to the parts of a long list. The address holds where one is (`from`); the way back is the session's, and
    after a refresh it begins at the newest."""
    way: list[str] = st.session_state.get(f"{name}_pages", [])

    def go(to: str, before: list[str]) -> None:
        st.session_state[f"{name}_pages"] = before
        if to:
            st.query_params["from"] = to
        else:
            st.query_params.pop("from", None)

    if not token and not following:
        return
    with st.container(horizontal=True):
        if token:
            st.button("Newest", icon=":material/first_page:", key=f"{name}_first", on_click=go, args=("", []))
        if way:
            back = (way[-1], way[:-1])
            st.button("Newer", icon=":material/chevron_left:", key=f"{name}_newer", on_click=go, args=back)
        if following:
            on = (following, [*way, token])
            st.button("Older", icon=":material/chevron_right:", key=f"{name}_older", on_click=go, args=on)


@dataclass(frozen=True, kw_only=True)
class House:
    """The progress table of everything (of a project); the runs that continue; the newest that wait for a person or
    failed."""

    rows: list[ProgressRow]
    going: list[Run]
    waiting: list[Run]
    failed: list[Run]


@st.cache_resource(max_entries=SESSIONS, ttl=HOUSE_KEPT_S, show_spinner=False)
def _house(address: Address, project: str) -> House:
    rows, going = of_house(_client(address), project=project)
    waiting, failed = (
        _client(address).list_runs(states=(state,), limit=NEEDING, project=project) for state in ("SUSPENDED", "FAILED")
    )
    return House(rows=rows, going=going, waiting=waiting, failed=failed)


def house(project: str) -> House:
    """What there is as a whole. Raises ClientError."""
    return _house(address(), project)


def nothing_yet(said: str) -> None:
    """Where there is nothing: why, and the way to where something begins."""
    st.caption(said)
    st.page_link("app_pages/new_run.py", label="New pipeline", icon=":material/add_circle:")


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
        show_faults([(one.field, one.description) for one in error.violations], of="what was asked for")
    else:
        st.error(as_text(error.message), icon=":material/cloud_off:" if error.exit_code == 3 else ":material/error:")
        if is_expired(error):
            ask_again(error)


def show_faults(faults: list[tuple[str, str]], of: str = "the spec") -> None:
    """Faults of an input as a table: where, and what was got and expected."""
    st.error(f"{len(faults)} {'fault' if len(faults) == 1 else 'faults'} in {of}", icon=":material/rule:")
    st.dataframe(
        [{"Field": field, "What is wrong": description} for field, description in faults],
        hide_index=True,
        alt=f"Faults of {of} by field",
    )


def state_badge(state: str) -> None:
    colour, icon = STATE_BADGES.get(state, ("gray", ":material/help:"))
    st.badge(state.capitalize(), color=colour, icon=icon)  # type: ignore[arg-type]


def open_run(run_id: str) -> None:
    """Goes to the page of a run."""
    st.session_state["run_id"] = run_id
    st.switch_page("app_pages/run.py", query_params={"run": run_id})
