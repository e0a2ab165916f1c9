"""One run, live: its stages, both perplexities, forgetting in its bands, decisions, and what a person may do."""

import streamlit as st

from ui import answers
from ui.client import ClientError
from ui.client.views import Checkpoint, Run
from ui.panel import run_view
from ui.panel.shared import as_text, client, errors_shown, live, show_error, state_badge
from ui.render import formatting
from ui.render.perplexity_table import dual_rows
from ui.render.severity import Thresholds

REFRESH = "1s"  # of a run that continues; one that has ended is drawn once


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


def _act(run: Run, verb: str, action: str = "") -> None:
    """Carries out what a person decided on what that person saw (the etag), with the comment as it stands."""
    record = {"action": action, "comment": st.session_state.get("comment", "")} if action else {}
    try:
        getattr(client(), verb)(run.id, etag=run.etag, **record)
        live().forget(run.id)
    except ClientError as error:
        st.session_state["failure"] = error


def _buttons(run: Run) -> None:
    def button(label: str, icon: str, key: str, *arguments: str) -> None:
        st.button(label, icon=f":material/{icon}:", key=key, on_click=_act, args=(run, *arguments))

    with st.container(horizontal=True):
        if run.state == "SUSPENDED":
            hint = "Why, for the record"
            st.text_input(hint, key="comment", placeholder=hint, label_visibility="collapsed", width=260)
            button("Accept as it is", "thumb_up", "accept", "approve", "ACCEPT")
            button("One more retry", "replay", "continue", "approve", "CONTINUE")
        if not run.is_terminal:
            button("Cancel", "stop_circle", "cancel", "cancel")
        if run.state in {"FAILED", "CANCELLED"}:
            button("Retry", "replay", "retry", "retry")


def _void(run: Run) -> None:
    """Sets the chosen checkpoint aside, with the reason as it stands."""
    chosen = st.session_state.get("aside")
    if not chosen:
        return
    try:
        client().void_checkpoint(chosen, reason=st.session_state.get("aside_reason", ""))
        live().forget(run.id)
    except ClientError as error:
        st.session_state["failure"] = error


def _set_aside(run: Run, checkpoints: tuple[Checkpoint, ...]) -> None:
    """What a person may do about a checkpoint that should not be resumed from."""
    usable = [row.id for row in checkpoints if row.state in {"LIVE", "ACCEPTED"}]
    if not usable:
        return
    with st.expander("Set a checkpoint aside"):
        st.caption("Nothing resumes from it any more; the newest good one before it takes its place.")
        st.selectbox("Checkpoint", usable, index=None, key="aside", placeholder="Choose a checkpoint")
        st.text_input("Why, for the record", key="aside_reason")
        st.button("Set aside", icon=":material/block:", key="void", on_click=_void, args=(run,))


def _ask(run: Run) -> None:
    """Puts a person's own question, or unseen ones, to the models before and after the fine-tuning."""
    own = st.session_state.get("own_question", "").strip()
    try:
        pair = answers.compared(run)
        asked = [answers.Question(prompt=own)] if own else answers.unseen_questions(pair.chat, fields=pair.fields)
        st.session_state["answers"] = (run.id, answers.ask(client(), pair, asked))
    except ClientError as error:
        st.session_state["failure"] = error


def _answers(run: Run) -> None:
    """What the model learned in fine-tuning, once it is complete."""
    if not any(stage.kind == "FINETUNE" and stage.accepted for stage in run.stages):
        return
    with st.expander("Answers before and after the fine-tuning"):
        st.caption("Questions that no training has seen, or one of your own, put to both models.")
        st.text_input("Your question (empty: unseen ones of the fine-tuning's data)", key="own_question")
        st.button("Ask both models", icon=":material/forum:", key="ask", on_click=_ask, args=(run,))
        asked_of, found = st.session_state.get("answers", ("", []))
        if asked_of == run.id:
            run_view.answers(found)


def page(run_id: str, refreshing: bool) -> None:
    """Everything about the run, from the newest snapshot."""
    snapshot = live().look(run_id)
    failure = st.session_state.pop("failure", None)
    if failure is not None:
        show_error(failure)
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
        st.markdown(f"**{run.name}**, created {formatting.moment(run.create_time)}")
    if run.status.message or run.status.reason:
        (st.error if run.state == "FAILED" else st.warning)(as_text(run.status.message or run.status.reason))
    if run.status.waiting_for:
        st.info(f"Waits for: {as_text(run.status.waiting_for)}", icon=":material/hourglass_top:")
    _buttons(run)
    thresholds = Thresholds.of_spec(run.spec)
    rows = dual_rows(snapshot.history, snapshot.decisions, thresholds)
    run_view.stages(run, thresholds)
    run_view.charts(run, rows, thresholds)
    run_view.kept(run, thresholds)
    run_view.probe(run)
    run_view.decisions(snapshot.decisions)
    run_view.lineage(snapshot.checkpoints)
    _set_aside(run, snapshot.checkpoints)
    _answers(run)
    run_view.report(run, thresholds)


st.title("Run")
chosen = _run_id()
if chosen is None:
    st.caption("No run yet. Begin one on the page New run.")
else:
    st.session_state["run_id"] = chosen
    seen = live().look(chosen).run
    going = seen is None or not seen.is_terminal
    st.fragment(page, run_every=REFRESH if going else None)(chosen, going)
