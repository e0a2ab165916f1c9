"""One run, live: its stages, both perplexities, forgetting in its bands, decisions, and what a person may do."""

import streamlit as st

from ui import words
from ui.client import ClientError
from ui.client.views import Run
from ui.dual import dual_rows
from ui.panel import run_view
from ui.panel.shared import client, errors_shown, live, show_error, state_badge
from ui.severity import Thresholds

REFRESH = "1s"


def _run_id() -> str | None:
    """The run of the address or of the last choice; else the newest."""
    asked = st.query_params.get("run") or st.session_state.get("run_id")
    with errors_shown():
        known = {run.id: run for run in client().list_runs(limit=100)}
    if asked and asked not in known:
        with errors_shown():
            known[asked] = client().get_run(asked)
    if not known:
        return None
    names = list(known)
    return st.selectbox(
        "Run",
        names,
        index=names.index(asked) if asked in names else 0,
        format_func=lambda run_id: f"{run_id}  ({known[run_id].name})",
        key="chosen_run",
        label_visibility="collapsed",
    )


def _act(run: Run, verb: str, **arguments: str) -> None:
    """Carries out what a person decided on what that person saw: the etag goes along."""
    try:
        getattr(client(), verb)(run.id, etag=run.etag, **arguments)
        live().forget(run.id)
        st.toast(f"{verb} {run.id}", icon=":material/check:")
    except ClientError as error:
        st.session_state["failure"] = error


def _buttons(run: Run) -> None:
    with st.container(horizontal=True):
        if run.state == "SUSPENDED":
            st.text_input(
                "Why (for the record)",
                key="comment",
                placeholder="Why, for the record",
                label_visibility="collapsed",
                width=260,
            )
            comment = st.session_state.get("comment", "")
            accept = {"action": "ACCEPT", "comment": comment}
            go_on = {"action": "CONTINUE", "comment": comment}
            st.button(
                "Accept as it is",
                icon=":material/thumb_up:",
                key="accept",
                on_click=_act,
                args=(run, "approve"),
                kwargs=accept,
            )
            st.button(
                "One more retry",
                icon=":material/replay:",
                key="continue",
                on_click=_act,
                args=(run, "approve"),
                kwargs=go_on,
            )
        if not run.is_terminal:
            st.button("Cancel", icon=":material/stop_circle:", key="cancel", on_click=_act, args=(run, "cancel"))
        if run.state in {"FAILED", "CANCELLED"}:
            st.button("Retry", icon=":material/replay:", key="retry", on_click=_act, args=(run, "retry"))


@st.fragment(run_every=REFRESH)
def page(run_id: str) -> None:
    """Everything about the run, from the newest snapshot."""
    snapshot = live().look(run_id)
    failure = st.session_state.pop("failure", None)
    if failure is not None:
        show_error(failure)
    if snapshot.error:
        st.warning(snapshot.error, icon=":material/cloud_off:")
    run = snapshot.run
    if run is None:
        if not snapshot.error:
            st.caption("Reading the run ...")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        state_badge(run.state)
        st.markdown(f"**{run.name}**, created {words.moment(run.create_time)}")
    if run.status.message or run.status.reason:
        (st.error if run.state == "FAILED" else st.warning)(run.status.message or run.status.reason)
    _buttons(run)
    thresholds = Thresholds.of_spec(run.resource["spec"])
    rows = dual_rows(snapshot.history, snapshot.decisions, thresholds)
    run_view.stages(run, thresholds)
    run_view.charts(run, rows, thresholds)
    run_view.decisions(snapshot.decisions)
    run_view.report(run, thresholds)


st.title("Run")
chosen = _run_id()
if chosen is None:
    st.caption("No run yet. Begin one on the page New run.")
else:
    st.session_state["run_id"] = chosen
    page(chosen)
