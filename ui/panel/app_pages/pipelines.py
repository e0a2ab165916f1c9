"""The pipelines: what needs a person, the progress table over everything there is, and the runs, page by page."""

import time

import streamlit as st

from ui.client import ClientError
from ui.panel.pipelines.news import News, Question, held, read
from ui.panel.pipelines.rows import Attention, attention, found_line, run_row
from ui.panel.refresh.parts import Part, begin_page, follow, show
from ui.panel.shared import (
    NEEDING,
    STATUS_LABELS,
    addressed_text,
    as_text,
    chosen_project,
    nothing_yet,
    open_run,
    pager,
    show_error,
)
from ui.render.progress_table import ProgressRow

LOOK_S = 5.0  # at the most often
COST = 4.0  # a look asks the server for a page of runs
STATES = ("PENDING", "RUNNING", "SUSPENDED", "SUCCEEDED", "FAILED", "CANCELLED")


def needing(news: News) -> list[Attention]:
    """What needs a person now."""
    if isinstance(news.house, ClientError):
        return []
    return attention(news.house.waiting, news.house.failed, news.house.going, time.time())[:NEEDING]


def overview(news: News) -> None:
    """What needs a person, and the progress table."""
    if isinstance(news.house, ClientError):
        show_error(news.house)
        return
    if found := needing(news):
        with st.container(border=True):
            st.subheader("Needs a person")
            for one in found:
                with st.container(horizontal=True, vertical_alignment="center"):
                    st.page_link(
                        "app_pages/run.py",
                        label=f"{one.sign} {as_text(one.run_id)}",
                        query_params={"run": one.run_id},
                    )
                    st.markdown(f"**{as_text(one.name)}**: {as_text(one.why)}")
    with st.container(border=True):
        st.subheader("Training pipeline progress")
        _progress(news.house.rows)


def _progress(rows: list[ProgressRow]) -> None:
    st.dataframe(
        [
            {
                "Stage": row.title,
                "Status": STATUS_LABELS.get(row.status, row.status) + (f": {row.detail}" if row.detail else ""),
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


def listed(news: News) -> None:
    """One page of the runs: the one that the address names."""
    page, asked = news.page, news.asked
    if isinstance(page, ClientError):
        show_error(page)
        return
    runs = page.rows
    if not runs and not page.next_token:
        if asked.states or asked.words or asked.token or asked.project:
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
    if runs or asked.words:
        st.caption(found_line(len(runs), searched=bool(asked.words), more=more))
    pager("runs", asked.token, page.next_token)


st.title("Pipelines")
project = chosen_project("Project", "shown_project", everything="All projects")
top = st.container()
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
    runs_place = st.container()


def question() -> Question:
    """What is asked for now; a button of the list turns the pages of the address."""
    return Question(project=project, states=tuple(states), words=words, token=st.query_params.get("from", ""))


def known() -> News:
    return held(question())


parts = (
    Part(name="overview", draw=overview, drawn_from=lambda news: (news.house, needing(news))),
    Part(name="listed", draw=listed, drawn_from=lambda news: (news.asked, news.page)),
)
read(question())
begin_page()
for part, place in zip(parts, (top, runs_place), strict=True):
    with place:
        show(part, known)
follow(parts, lambda: read(question()), is_over=lambda news: False, least_s=LOOK_S, cost=COST)
