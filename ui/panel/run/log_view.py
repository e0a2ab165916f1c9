"""The part of a run's page with its attempts and the log lines of its workers."""

import streamlit as st

from ui.client import ClientError
from ui.client.views import Run
from ui.panel.live import Snapshot
from ui.panel.run import logs
from ui.panel.run.timeline import attempts
from ui.panel.shared import as_text, client, show_error
from ui.render import formatting

READ = "logs_read"  # of the session: run, when it was read, the text of each worker group


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


def _read(run: Run) -> None:
    try:
        texts = logs.by_submission(client().logs(run.id))
        st.session_state[READ] = (run.id, formatting.now(), texts)
    except ClientError as error:
        st.session_state["log_error"] = error


def log_lines(run: Run) -> None:
    """The end of the log, or the lines with some words; read when asked for."""
    of, at, texts = st.session_state.get(READ, ("", "", {}))
    if of != run.id and "log_error" not in st.session_state:
        _read(run)
        of, at, texts = st.session_state.get(READ, ("", "", {}))
    error = st.session_state.pop("log_error", None)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.button("Read again", icon=":material/refresh:", key="read_logs", on_click=_read, args=(run,))
        if of == run.id and texts:
            name = f"{run.id}.log"
            st.download_button("Download", logs.as_file(texts), name, icon=":material/download:", on_click="ignore")
    if error is not None:
        show_error(error)
    if of != run.id:
        return
    if not any(texts.values()):
        st.caption("The workers have printed nothing yet.")
        return
    groups = list(texts)
    left, right = st.columns([1, 2])
    with left:
        group = st.selectbox("Worker group", groups, index=len(groups) - 1, key="log_group")
    with right:
        words = st.text_input("Search", key="log_search", placeholder="Part of a line", type="search").strip()
    found = logs.search(texts[group], words) if words else logs.tail(texts[group])
    what = f"lines with {words!r}" if words else "lines"
    st.caption(as_text(f"The last {len(found.lines):,} of {found.total:,} {what}, as of {at}"))
    if found.lines:
        st.code(found.text, language=None, height=480, wrap_lines=True)
