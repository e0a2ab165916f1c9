"""The pipelines: what needs a person, the progress table over everything there is, and the runs, page by page."""

import time

import streamlit as st

from ui.client import ClientError
from ui.panel.pipelines.rows import attention, found_line, run_row
from ui.panel.shared import (
    STATUS_LABELS,
    addressed_text,
    as_text,
    chosen_project,
    client,
    house,
    nothing_yet,
    open_run,
    pager,
    show_error,
)

PAGE_ROWS = 50
NEEDING = 20  # runs that are named on top; the states below find the others
STATES = ("PENDING", "RUNNING", "SUSPENDED", "SUCCEEDED", "FAILED", "CANCELLED")


@st.fragment(run_every="5s")
def overview(project: str) -> None:
    """What needs a person, and the progress table: read anew every few seconds."""
    try:
        rows, going = house(project)
        waiting = client().list_runs(states=("SUSPENDED",), limit=NEEDING, project=project)
        failed = client().list_runs(states=("FAILED",), limit=NEEDING, project=project)
    except ClientError as error:
        show_error(error)
        return
    needing = attention(waiting, failed, going, time.time())
    if needing:
        with st.container(border=True):
            st.subheader("Needs a person")
            for one in needing[:NEEDING]:
                with st.container(horizontal=True, vertical_alignment="center"):
                    st.page_link(
                        "app_pages/run.py",
                        label=f"{one.sign} {as_text(one.run_id)}",
                        query_params={"run": one.run_id},
                    )
                    st.markdown(f"**{as_text(one.name)}**: {as_text(one.why)}")
    with st.container(border=True):
        st.subheader("Training pipeline progress")
        st.dataframe(
            [
                {
                    "Stage": row.title,
                    "Status": STATUS_LABELS.get(row.status, row.status) + (f" {row.detail}" if row.detail else ""),
                    "Checkpoints": row.checkpoints,
                    "Latest": row.latest or "-",
                    "Needs": row.unlocked_by or "-",
                }
                for row in rows
            ],
            hide_index=True,
            key="progress",
            alt="Progress of the stages: checkpoints, the latest, and what is complete, ready or locked",
        )


@st.fragment(run_every="5s")
def listed(project: str, states: tuple[str, ...], words: str) -> None:
    """One page of the runs: the one that the address names."""
    token = st.query_params.get("from", "")
    try:
        page = client().runs_page(states=states, project=project, words=words, size=PAGE_ROWS, token=token)
    except ClientError as error:
        show_error(error)
        return
    runs = page.rows
    if not runs and not page.next_token:
        chosen = bool(states or words or token or project)
        if chosen:
            st.caption("No run is like that. Take a state or a word of the search away.")
        else:
            nothing_yet("No run yet.")
    if runs:
        event = st.dataframe(
            [run_row(run) for run in runs],
            hide_index=True,
            key="runs",
            on_select="rerun",
            selection_mode="multi-row",
            column_config={
                "Progress": st.column_config.ProgressColumn(format="%.0f %%", min_value=0, max_value=100),
                "Created": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm:ss"),
            },
            alt="Pipeline runs, newest first",
        )
        chosen_ids = [runs[row].id for row in event.selection.rows if row < len(runs)]
        with st.container(horizontal=True, vertical_alignment="center"):
            if len(chosen_ids) == 1 and st.button(
                f"Open {chosen_ids[0]}", icon=":material/monitoring:", type="primary", key="open"
            ):
                open_run(chosen_ids[0])
            elif len(chosen_ids) > 1 and st.button(
                f"Compare {len(chosen_ids)} runs", icon=":material/compare_arrows:", type="primary", key="compare"
            ):
                st.switch_page("app_pages/compare.py", query_params={"runs": ",".join(chosen_ids)})
            elif not chosen_ids:
                st.caption("Select a row to open its run, several to compare them.")
    more = bool(page.next_token)
    if runs or words:
        st.caption(found_line(len(runs), searched=bool(words), more=more))
    pager("runs", token, page.next_token)


st.title("Pipelines")
project = chosen_project("Project", "shown_project", everything="All projects")
overview(project)
with st.container(border=True):
    st.subheader("Runs")
    left, right = st.columns([1, 1])
    with left:
        words = addressed_text("Search", "search", "Part of an id or name, or label=value")
    with right:
        asked = [state for state in st.query_params.get_all("state") if state in STATES]
        if "states" not in st.session_state:
            st.session_state["states"] = asked
        states = st.multiselect("State", STATES, key="states", format_func=str.capitalize, placeholder="Any state")
        st.query_params["state"] = states
    filters = (project, tuple(states), words)
    if st.session_state.setdefault("runs_filters", filters) != filters:
        st.session_state["runs_filters"] = filters  # another question begins at its first page
        st.query_params.pop("from", None)
        st.session_state.pop("runs_pages", None)
    listed(project, tuple(states), words)
