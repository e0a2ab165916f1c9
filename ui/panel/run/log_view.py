"""The part of a run's page with its attempts and the log lines of its workers."""

import functools

import streamlit as st

from ui.client import ClientError
from ui.client.client import RetainClient
from ui.client.views import Run
from ui.panel.live import Snapshot
from ui.panel.run import logs
from ui.panel.run.timeline import attempts
from ui.panel.shared import as_text, client, show_error
from ui.render import formatting

READ = "logs_read"  # of the session: what was asked, when, and what was found


def attempts_table(snapshot: Snapshot) -> None:
    """Every attempt, newest first."""
    rows = attempts(snapshot.decisions, snapshot.checkpoints)
    if not rows:
        st.caption("No attempt has come to a checkpoint yet.")
        return
    st.dataframe(
        [
            {
                "Stage": row.stage,
                "Attempt": row.attempt,
                "Steps": f"{row.first_step:,} to {row.last_step:,}",
                "Checkpoints": row.checkpoints,
                "of them usable": row.usable,
                "Last decision": row.outcome or "none: it was cut short",
            }
            for row in rows
        ],
        hide_index=True,
        key="attempts",
        alt="Attempts of the stages, newest first",
    )


def _read(run: Run, group: int, words: str, skip: int) -> None:
    asked = {"containing": words} if words else {"skip_lines": skip}
    most = logs.MOST_FOUND if words else logs.PAGE_LINES
    try:
        found = logs.excerpt(client().logs(run.id, submission=group, last_lines=most, **asked))
        st.session_state[READ] = ((run.id, group, words, skip), formatting.now(), found)
    except ClientError as error:
        st.session_state["log_error"] = error


def _whole(asked: RetainClient, run_id: str) -> str:
    return "".join(logs.as_file(asked.logs(run_id)))


def log_lines(run: Run) -> None:
    """The end of the log of a worker group, older lines page by page, or the lines with some words; read when asked
    for."""
    groups = list(range(1, run.status.submission + 1))
    if not groups:
        st.caption("The workers have printed nothing yet.")
        return
    left, right = st.columns([1, 2])
    with left:
        group = st.selectbox("Worker group", groups, index=len(groups) - 1, key="log_group")
    with right:
        words = st.text_input("Search", key="log_search", placeholder="Part of a line", type="search").strip()
    of, skip = st.session_state.get("log_page", ("", 0))
    if of != f"{run.id}/{group}" or words:
        skip = 0
    question = (run.id, group, words, skip)
    if st.session_state.get(READ, ("", "", None))[0] != question and "log_error" not in st.session_state:
        _read(run, group, words, skip)
    known, at, found = st.session_state.get(READ, ("", "", None))
    error = st.session_state.pop("log_error", None)
    _buttons(run, group, words, skip, found if known == question else None)
    if error is not None:
        show_error(error)
    if known != question or found is None:
        return
    count = f"{len(found.lines):,}"
    if words:
        said = f"The last {count} lines with {words!r}"
    elif skip:
        said = f"{count} lines before the last {skip:,}"
    else:
        said = f"The last {count} lines"
    st.caption(as_text(f"{said}, as of {at}"))
    if found.lines:
        st.code(found.text, language=None, height=480, wrap_lines=True)
    elif not words and not skip:
        st.caption("This group has printed nothing yet.")


def _buttons(run: Run, group: int, words: str, skip: int, found: logs.Excerpt | None) -> None:
    def turn(to: int) -> None:
        st.session_state["log_page"] = (f"{run.id}/{group}", to)

    page = logs.PAGE_LINES
    with st.container(horizontal=True, vertical_alignment="bottom"):
        again = (run, group, words, skip)
        st.button("Read again", icon=":material/refresh:", key="read_logs", on_click=_read, args=again)
        if not words and found is not None and len(found.lines) >= page:
            st.button("Older", icon=":material/arrow_upward:", key="older_logs", on_click=turn, args=(skip + page,))
        if skip:
            newer = (max(0, skip - page),)
            st.button("Newer", icon=":material/arrow_downward:", key="newer_logs", on_click=turn, args=newer)
        # It is read when it is asked for, outside of the session: whose client that is, is said here.
        whole = functools.partial(_whole, client(), run.id)
        st.download_button("Download", whole, f"{run.id}.log", icon=":material/download:", on_click="ignore")
