"""Real rows of a stage's data in the form, as the server reads them for a run."""

import copy
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from ui.client import ClientError
from ui.client.views import DataPreview
from ui.local.upload import place_local_sources
from ui.panel.new import draft
from ui.panel.shared import as_text, client, may_act, refuse_local_paths, show_error
from ui.render.data.preview import document_line, facts_line, visible
from ui.spec.file import STANDARD_INPUT
from ui.spec.form.edit import value_at
from ui.spec.form.layout import kind_of, stages_of

ROLES = {"general": "general text", "domain": "text of the domain", "chat": "conversations"}
_FOUND = "draft_previews"  # by (stage, role): (what was asked about, the answer or the fault)


def previews(number: int, tree: dict[str, Any], project: str, *, disabled: bool) -> None:
    """A button for each text of the stage, and what it showed."""
    roles = _roles(number, tree) if may_act() else []
    with st.container(horizontal=True):
        for role in roles:
            st.button(
                f"Preview {ROLES[role]}",
                icon=":material/visibility:",
                key=f"preview:{number}:{role}",
                disabled=disabled,
                on_click=_look,
                args=(number, role, project),
            )
    for role in roles:
        known = st.session_state.get(_FOUND, {}).get((number, role))
        if known is None or known[0] != _question(number, tree):
            continue  # another spec: what was seen is not what it names
        if isinstance(known[1], ClientError):
            show_error(known[1])
        else:
            _show(known[1], ROLES[role])


def _roles(number: int, tree: dict[str, Any]) -> list[str]:
    here = value_at(tree, ("stages", number, "data"))
    here = here if isinstance(here, dict) else {}
    found = [role for role in ROLES if here.get(role)]
    earlier = any(value_at(tree, ("stages", n, "data", "general")) for n in stages_of(tree))
    return found if "general" in found or not earlier or kind_of(tree, number) == "PRETRAIN" else ["general", *found]


def _question(number: int, tree: dict[str, Any]) -> str:
    """All of the spec that decides what is shown."""
    stage = value_at(tree, ("stages", number))
    stage = stage if isinstance(stage, dict) else {}
    first = [value_at(tree, ("stages", n, "data", "general")) for n in stages_of(tree)]
    whose = [tree.get(key) for key in ("model", "tokenizer")]  # whose tokenizer it is
    return repr(({key: stage.get(key) for key in ("kind", "domain", "domain_options", "data")}, first, whose))


def _look(number: int, role: str, project: str) -> None:
    tree = copy.deepcopy(draft.read()[0])
    asked = _question(number, tree)
    answer: DataPreview | ClientError
    try:
        refuse_local_paths(tree)
        place_local_sources(client(project), tree, STANDARD_INPUT, send=False)
        answer = client(project).preview_data(tree, stage=number, role=role)
    except ClientError as error:
        answer = error
    st.session_state.setdefault(_FOUND, {})[number, role] = (asked, answer)


def _show(found: DataPreview, what: str) -> None:
    with st.expander(f"{what.capitalize()}: {facts_line(found)}", expanded=True):
        st.caption("Each box is a token; the green ones are learned, the grey ones are only read.")
        for one in found.documents:
            st.caption(as_text(document_line(one.place, one.token_count, one.target_count, one.cut, one.difficulty)))
            st.markdown(" ".join(_boxed(visible(token), token.is_target) for token in one.tokens))
        if found.difficulty:
            st.altair_chart(_histogram(found))
        elif found.unrated:
            st.caption("No document says how hard it is, so a curriculum has nothing to order by.")
        for note in (*found.notes, f"Tokens: {found.tokenizer}"):
            st.caption(as_text(note))


def _boxed(text: str, is_target: bool) -> str:
    """A token in its colour; blanks at its ends are shown, since Markdown takes them away."""
    shown = as_text(text.replace(" ", "·"))
    return f":{'green' if is_target else 'gray'}-background[{shown}]"


def _histogram(found: DataPreview) -> Any:
    bars = [{"from": bar.low, "to": bar.high, "documents": bar.count} for bar in found.difficulty]
    return (
        alt.Chart(pd.DataFrame(bars))
        .mark_bar(color="#1f5fd0")
        .encode(
            x=alt.X("from:Q", title="Difficulty, 1 (easy) to 5 (hard)", scale=alt.Scale(domain=[1, 5])),
            x2="to:Q",
            y=alt.Y("documents:Q", title="Documents", scale=alt.Scale(zero=True)),
            y2=alt.datum(0),  # with both ends of x given, a bar would else be a line at its height
            tooltip=["from", "to", "documents"],
        )
        .properties(height=160)
    )
