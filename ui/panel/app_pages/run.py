"""One run, live: its stages, both perplexities, forgetting in its bands, decisions, logs, its own specification, and
what a person may do. The address names the run and what is looked at: a refresh and a second tab show the same."""

import streamlit as st

from ui import answers
from ui.client import ClientError
from ui.client.views import Run
from ui.panel.axes import NAMES, Axis
from ui.panel.live import RESUMABLE, Snapshot
from ui.panel.run import actions, log_view, parts
from ui.panel.shared import (
    as_badge,
    as_text,
    choice,
    client,
    errors_shown,
    live,
    may_act,
    nothing_yet,
    show_error,
    state_badge,
)
from ui.render import formatting
from ui.render.data.facts import data_lines
from ui.render.perplexity_table import dual_rows
from ui.render.severity import Thresholds
from ui.spec.file import to_yaml

REFRESH = "1s"  # of a run that continues; one that has ended is drawn once
REFRESH_ENDED = "5s"  # of one that may be resumed, in another tab or by somebody else
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
        known = {run.id: run.name for run in client().list_runs(limit=CHOICES)}
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


def _ask(run: Run) -> None:
    """Puts a person's own question, or unseen ones, to the models before and after the fine-tuning."""
    own = st.session_state.get("own_question", "").strip()
    try:
        pair = answers.compared(run)
        asked = [answers.Question(prompt=own)] if own else answers.unseen_questions(pair.chat, fields=pair.fields)
        st.session_state["answers"] = (run.id, answers.ask(client(), pair, asked))
    except ClientError as error:
        st.session_state[actions.FAILURE] = ("answers", error)


def _answers(run: Run) -> None:
    """What the model learned in fine-tuning, once it is complete."""
    if not any(stage.kind == "FINETUNE" and stage.accepted for stage in run.stages):
        return
    with st.expander("Answers before and after the fine-tuning"):
        actions.show_failure("answers")
        st.caption("Questions that no training has seen, or one of your own, put to both models.")
        st.text_input("Your question (empty: unseen ones of the fine-tuning's data)", key="own_question")
        st.button("Ask both models", icon=":material/forum:", key="ask", on_click=_ask, args=(run,))
        asked_of, found = st.session_state.get("answers", ("", []))
        if asked_of == run.id:
            parts.answers(found)


def header(run_id: str, refreshing: bool) -> None:
    """How the run stands, and what may be done about it."""
    snapshot = live().look(run_id)
    if snapshot.error:
        st.warning(as_text(snapshot.error), icon=":material/cloud_off:")
    run = snapshot.run
    if run is None:
        if not snapshot.error:
            st.caption("Reading the run ...")
        return
    if run.is_terminal == refreshing:
        st.rerun()  # it has ended, or continues again: the page decides anew how often it looks
    with st.container(horizontal=True, vertical_alignment="center"):
        state_badge(run.state)
        st.markdown(f"**{as_text(run.name)}**, created {formatting.moment(run.create_time)}")
        for key, value in sorted(run.spec.labels.items()):
            st.badge(as_badge(f"{key}={value}"), color="gray")
    if run.state == "PENDING" and run.status.queue_position:
        st.info(f"Place {run.status.queue_position} in the queue", icon=":material/hourglass_top:")
    if run.status.message or run.status.reason:
        (st.error if run.state == "FAILED" else st.warning)(as_text(run.status.message or run.status.reason))
    if run.status.waiting_for:
        st.info(f"Waits for: {as_text(run.status.waiting_for)}", icon=":material/hourglass_top:")
    if may_act():
        actions.buttons(run)


def body(run_id: str, view: str, axis: Axis) -> None:
    """What of the run is looked at, from the newest snapshot."""
    if st.session_state.pop(actions.ACTED, False):
        st.rerun()  # the header of a run that has ended is not drawn by itself: it would offer what was set aside
    snapshot = live().look(run_id)
    if snapshot.run is None:
        return
    match view:
        case "checkpoints":
            parts.lineage(snapshot.checkpoints)
            if may_act():
                actions.set_aside(snapshot.run, snapshot.checkpoints)
        case "logs":
            log_view.attempts_table(snapshot)
            log_view.log_lines(snapshot.run)
        case "specification":
            _specification(snapshot.run)
        case _:
            _live(snapshot.run, snapshot, axis)


def _live(run: Run, snapshot: Snapshot, axis: Axis) -> None:
    thresholds = Thresholds.of_spec(run.spec)
    rows = dual_rows(snapshot.history, snapshot.decisions, thresholds)
    parts.stages(run, thresholds)
    parts.charts(run, rows, thresholds, axis)
    parts.training(run, snapshot, axis)
    parts.kept(run, thresholds)
    parts.probe(run)
    parts.report(run, thresholds)
    parts.decisions(snapshot.decisions, snapshot.checkpoints)
    if may_act():
        _answers(run)


def _specification(run: Run) -> None:
    st.caption("As the server keeps it for this run, with every default filled in: not what a form holds now.")
    text = to_yaml(run.own_spec)
    st.download_button("Download", text, f"{run.id}.yaml", icon=":material/download:", on_click="ignore")
    if may_act():
        actions.change_form(run)
    st.code(text, language="yaml")
    for line in data_lines(run.status):
        st.caption(as_text(line))


st.title("Run")
chosen = _run_id()
if chosen is None:
    nothing_yet("No run yet. Begin one, and it is shown here live.")
else:
    seen = live().look(chosen).run
    going = seen is None or not seen.is_terminal
    again = REFRESH_ENDED if seen is not None and seen.state in RESUMABLE else None
    st.fragment(header, run_every=REFRESH if going else again)(chosen, going)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        view = choice("Look at", VIEWS, "view")
        axis = choice("Over", NAMES, "axis") if view == "live" else Axis.TOKENS
    moving = going and view in {"live", "checkpoints"}
    st.fragment(body, run_every=REFRESH if moving else None)(chosen, view, Axis(axis))
