"""What a person may do about a run: cancel, resume, approve, set a checkpoint aside, change what may change.

Each acts on what that person saw (the etag); what is refused is said where it was asked, and what was typed stays.
"""

from collections.abc import Callable
from typing import Any

import streamlit as st

from ui.client import ClientError
from ui.client.views import Checkpoint, Run
from ui.panel.run import changes
from ui.panel.shared import client, live, show_error

STALE_TRIES = 5  # with another etag, where what was seen is as it was
ACTED = "acted"  # of the session: a part of the page changed the run, and the other parts do not show it yet
FAILURE = "failure"  # of the session: what kept the last action from happening, by the place that asked for it


def show_failure(place: str) -> None:
    """Says once what kept the last action of this place from happening."""
    where, error = st.session_state.get(FAILURE, ("", None))
    if error is not None and where == place:
        del st.session_state[FAILURE]
        show_error(error)


def _as_seen(run: Run, call: Callable[[str], object], seen: Callable[[Run], object]) -> None:
    """Calls with the etag of what the person saw. A run at work is another version with each step: while what they saw
    of it is the same, they mean the present one too. Raises ClientError."""
    etag = run.etag
    for _ in range(STALE_TRIES):
        try:
            call(etag)
            return
        except ClientError as error:
            now = client().get_run(run.id) if error.reason.startswith("STALE") else None
            if now is None or seen(now) != seen(run):
                raise
            etag = now.etag
    call(etag)


def standing(run: Run) -> tuple[object, ...]:
    """All that an approval or another try is about."""
    stages = tuple((one.state, one.attempt, one.retries, one.latest) for one in run.stages)
    return (run.state, run.status.reason, run.status.message, stages)


def _act(run: Run, verb: str, action: str = "") -> None:
    record = {"action": action, "comment": st.session_state.get("comment", "")} if action else {}
    act = getattr(client(), verb)
    try:
        if verb == "cancel":
            act(run.id)  # whatever it has come to meanwhile
        else:
            _as_seen(run, lambda etag: act(run.id, etag=etag, **record), standing)
        live().forget(run.id)
    except ClientError as error:
        st.session_state[FAILURE] = ("buttons", error)


def resumes_at(run: Run) -> str:
    """Where a run that is retried resumes, in words: the newest checkpoint that the server still counts."""
    for stage in run.stages:
        if stage.state == "COMPLETE":
            continue
        if stage.latest is not None:
            return f"at step {stage.latest.step:,} of {stage.name}"
        return f"at the beginning of {stage.name}"
    return "where it ended"


def buttons(run: Run) -> None:
    """What may be done about the run as a whole."""

    def button(label: str, icon: str, key: str, *arguments: str, primary: bool = False) -> None:
        kind: Any = "primary" if primary else "secondary"
        st.button(label, icon=f":material/{icon}:", key=key, on_click=_act, args=(run, *arguments), type=kind)

    show_failure("buttons")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if run.state == "SUSPENDED":
            hint = "Why, for the record"
            st.text_input(hint, key="comment", placeholder=hint, label_visibility="collapsed", width=260)
            button("Accept as it is", "thumb_up", "accept", "approve", "ACCEPT", primary=True)
            button("One more retry", "replay", "continue", "approve", "CONTINUE")
        if not run.is_terminal:
            with st.popover("Cancel", icon=":material/stop_circle:"):
                st.markdown("It ends, and what it has trained stays: it can be resumed from its last checkpoint.")
                button("Cancel the run", "stop_circle", "cancel", "cancel", primary=True)
        if run.state in {"FAILED", "CANCELLED"}:
            button(f"Resume {resumes_at(run)}", "replay", "retry", "retry", primary=True)


def _void(run: Run) -> None:
    chosen = st.session_state.get("aside")
    if not chosen:
        return
    try:
        client().void_checkpoint(chosen, reason=st.session_state.get("aside_reason", ""))
        live().forget(run.id)
        st.session_state[ACTED] = True
    except ClientError as error:
        st.session_state[FAILURE] = ("void", error)


def set_aside(run: Run, checkpoints: tuple[Checkpoint, ...]) -> None:
    """What a person may do about a checkpoint that should not be resumed from."""
    usable = [row.id for row in checkpoints if row.state.usable]
    if not usable:
        return
    with st.expander("Set a checkpoint aside"):
        show_failure("void")
        st.caption("Nothing resumes from it any more; the newest good one before it takes its place.")
        st.selectbox("Checkpoint", usable, index=None, key="aside", placeholder="Choose a checkpoint")
        st.text_input("Why, for the record", key="aside_reason")
        st.button("Set aside", icon=":material/block:", key="void", on_click=_void, args=(run,))


def _change(run: Run) -> None:
    said = st.session_state
    said.pop("changed", None)
    try:
        wanted = changes.changed(
            run,
            keep_last=said.get("keep_last"),
            budget_percent=said.get("budget_percent"),
            max_retries=said.get("max_retries"),
            labels=said.get("labels_text", ""),
        )
        if wanted:
            _as_seen(run, lambda etag: client().update(run.id, wanted, etag=etag), lambda one: one.spec)
            live().forget(run.id)
            said[ACTED] = True
        told = f"Changed: {', '.join(wanted)}" if wanted else "Nothing differs from what the run has."
        said["changed"] = (run.id, told)
    except ClientError as error:
        said[FAILURE] = ("change", error)


def change_form(run: Run) -> None:
    """Retention of checkpoints, the promise about forgetting, labels: with the run's own values, not those of a form
    that made it."""
    open_ended = run.state != "SUCCEEDED"
    of, done = st.session_state.get("changed", ("", ""))  # it stays: the part is drawn again with what came of it
    told = done if of == run.id else ""
    with st.expander("Change retention, budget or labels", key="changing", expanded=bool(told)):
        show_failure("change")
        if told:
            st.success(told, icon=":material/check:")
        own = run.spec.forgetting
        with st.form("change", border=False):
            kept = run.spec.checkpoints.keep_last
            st.number_input("Newest checkpoints of a stage to keep", 1, 1000, kept or 1, key="keep_last")
            if open_ended and own.budget is not None:
                budget = own.budget * 100
                st.number_input("Forgetting budget at a stage's end (%)", value=budget, key="budget_percent", step=1.0)
            if open_ended and own.max_retries is not None:
                st.number_input("Retries of a stage", 0, 100, own.max_retries, key="max_retries")
            st.text_area("Labels, one key=value a line", changes.labels_text(run), key="labels_text", height=100)
            st.form_submit_button("Change", on_click=_change, args=(run,))
        st.caption("Budget and retries hold from the next boundary on.")
