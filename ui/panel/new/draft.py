"""The draft of a session: its text, which is the truth, and the request that it would be submitted as.

The text is kept under a name that belongs to no widget, so neither an error nor a look at another page empties it, and
beside the session, which ends with its page.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from ui.client import ClientError
from ui.client.errors import BadInput, Violation
from ui.client.views import Plan
from ui.panel.new import echoes
from ui.panel.session import kept
from ui.panel.shared import client
from ui.spec.file import parse_yaml
from ui.spec.form.edit import Path, edited

TEXT = "draft"
_PAGE = "new_run"
_BEGUN = "draft_begun"  # what it began with, and that text
_TREE, _REQUEST, _CHECKED = "draft_tree", "draft_request", "draft_checked"


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What the server says of a draft: its plan, or faults, or why it said nothing."""

    plan: Plan | None = None
    faults: tuple[Violation, ...] = ()
    error: ClientError | None = None


def text() -> str:
    """The draft."""
    return str(st.session_state[TEXT])


def replace(new: str) -> None:
    """Another text takes its place."""
    st.session_state[TEXT] = new
    echoes.changed()
    _keep()


def begin(origin: str, new: str) -> None:
    """A template or a copy takes its place."""
    st.session_state[_BEGUN] = (origin, new)
    replace(new)


def origin() -> str | None:
    """What it is a copy of still; None once it was changed."""
    begun: tuple[str, str] | None = st.session_state.get(_BEGUN)
    return begun[0] if begun is not None and begun[1] == text() else None


def recalled() -> bool:
    """Whether a session without a draft has one now: that of this person's session before, with its request."""
    found = kept.mine(_PAGE) or {}
    st.session_state.update(found)
    return TEXT in found


def _keep() -> None:
    said = {name: st.session_state.get(name) for name in (TEXT, _BEGUN, _REQUEST)}
    mine = kept.mine(_PAGE)
    if mine is not None:
        mine.clear()
        mine.update({name: value for name, value in said.items() if value is not None})


def change(changes: Sequence[tuple[Path, Any]]) -> None:
    """Changes places of it; see `edited`."""
    replace(edited(text(), changes))


def read() -> tuple[dict[str, Any], tuple[Violation, ...]]:
    """The tree of the text. Of a text that cannot be read: the last one that could be, and why not."""
    try:
        tree = parse_yaml(text(), name="line")
    except BadInput as error:
        return st.session_state.get(_TREE, {}), error.violations
    if tree is not None and not isinstance(tree, dict):
        said = Violation(field="line:1", description="expected a mapping with name, model, stages")
        return st.session_state.get(_TREE, {}), (said,)
    st.session_state[_TREE] = tree or {}
    return tree or {}, ()


def checked(tree: dict[str, Any], project: str) -> Checked:
    """The server's answer to this text, asked for once as long as it does not change."""
    question = (text(), project)
    known = st.session_state.get(_CHECKED)
    if known is None or known[0] != question:
        known = (question, _ask(tree, project))
        if known[1].error is None:
            st.session_state[_CHECKED] = known
    found: Checked = known[1]
    return found


def ask_again() -> None:
    """The next `checked` asks the server, also about a text that it has answered."""
    st.session_state.pop(_CHECKED, None)


def _ask(tree: dict[str, Any], project: str) -> Checked:
    try:
        plan, faults = client(project).validate(tree)
    except ClientError as error:
        return Checked(error=error)
    return Checked(plan=plan, faults=faults)


def request_id(project: str) -> str:
    """Names the submission of this text to this project: pressing again after an answer was lost makes no second run.
    Another text is another request."""
    known = st.session_state.get(_REQUEST)
    if known is None or known[:2] != (text(), project):
        known = st.session_state[_REQUEST] = (text(), project, str(uuid.uuid4()))
        _keep()
    return str(known[2])


def submitted() -> None:
    """The request was answered: the same text again is a new one."""
    st.session_state.pop(_REQUEST, None)
    _keep()
