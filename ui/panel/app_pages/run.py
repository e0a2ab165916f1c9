"""One run, live: its stages, both perplexities, forgetting in its bands, decisions, logs, its own specification, and
what a person may do. The address names the run and what is looked at: a refresh and a second tab show the same."""

import functools

import streamlit as st

from ui.client import ClientError
from ui.panel.axes import NAMES, Axis
from ui.panel.live import RESUMABLE
from ui.panel.refresh.parts import begin_page, follow, show
from ui.panel.run import pieces
from ui.panel.shared import choice, client, errors_shown, live, nothing_yet, show_error

LOOK_S = 0.5  # at the most often, of a run that continues; one that has succeeded is drawn once
LOOK_ENDED_S = 5.0  # of one that may be resumed, in another tab or by somebody else
CHOICES = 50  # runs to choose from here; the page Pipelines has them all
VIEWS = {
    "live": "Live",
    "checkpoints": "Checkpoints",
    "logs": "Attempts and logs",
    "specification": "Specification",
}


def _run_id() -> str | None:
    """The run of the address or of the last choice; else the newest. The address says it from then on."""
    asked = st.query_params.get("run") or st.session_state.get("run_id")
    with errors_shown():
        known = client().run_names(limit=CHOICES)
    if asked and asked not in known:
        try:
            known[asked] = client().get_run(asked).name
        except ClientError as error:
            show_error(error)
    if not known:
        return None
    if asked in known and asked != st.session_state.get("shown_run"):
        st.session_state["chosen_run"] = asked
    chosen = st.selectbox(
        "Run",
        list(known),
        format_func=lambda run_id: f"{run_id}  ({known[run_id]})",
        key="chosen_run",
        label_visibility="collapsed",
    )
    st.session_state["shown_run"] = st.session_state["run_id"] = st.query_params["run"] = chosen
    return chosen


st.title("Run")
chosen = _run_id()
if chosen is None:
    nothing_yet("No run yet. Begin one, and it is shown here live.")
else:
    seen = live().look(chosen).run
    going = seen is None or not seen.is_terminal
    newest = functools.partial(live().look, chosen)
    head = pieces.head(going)
    begin_page()
    show(head, newest)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        view = choice("Look at", VIEWS, "view")
        axis = choice("Over", NAMES, "axis") if view == "live" else Axis.TOKENS
    parts = pieces.body(view, Axis(axis))
    for part in parts:
        show(part, newest)
    if seen is None or not seen.is_terminal or seen.state in RESUMABLE:
        follow(
            (head, *parts) if going and view in pieces.MOVING else (head,),
            newest,
            is_over=functools.partial(pieces.is_another_page, seen=seen, view=view),
            least_s=LOOK_S if going else LOOK_ENDED_S,
        )
