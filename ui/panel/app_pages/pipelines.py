"""The pipelines: the progress table over everything there is, and the runs."""

from collections.abc import Sequence

import streamlit as st

from ui.client import ClientError
from ui.client.views import Run
from ui.panel.shared import STATUS_LABELS, chosen_project, client, open_run, show_error
from ui.render import formatting
from ui.render import progress_table as progress
from ui.render.tables import current_stage

SHOWN_RUNS = 100
GOING = ("PENDING", "RUNNING", "SUSPENDED")

st.title("Pipelines")
project = chosen_project("Project", "shown_project", everything="All projects")


@st.fragment(run_every="3s")
def overview() -> None:
    """The two tables, read anew every few seconds."""
    try:
        runs = client().list_runs(limit=SHOWN_RUNS, project=project)
        going = client().list_runs(states=GOING, project=project)
        rows = progress.of_house(client().checkpoints(project=project), going)
    except ClientError as error:
        show_error(error)
        return
    with st.container(border=True):
        st.subheader("Training pipeline progress")
        st.dataframe(
            [
                {
                    "Stage": row.title,
                    "Checkpoints": row.checkpoints,
                    "Latest": row.latest or "-",
                    "Status": STATUS_LABELS.get(row.status, row.status),
                    "Needs": row.unlocked_by,
                }
                for row in rows
            ],
            hide_index=True,
            key="progress",
            alt="Progress of the stages: checkpoints, the latest, and what is complete, ready or locked",
        )
    waiting = [run for run in runs if run.state == "SUSPENDED"]
    if waiting:
        st.warning(
            f"{'A run waits' if len(waiting) == 1 else 'Runs wait'} for a person: {', '.join(r.id for r in waiting)}",
            icon=":material/front_hand:",
        )
    with st.container(border=True):
        st.subheader("Runs")
        if not runs:
            st.caption("No run yet. Begin one on the page New run.")
            return
        _runs(runs)


def _runs(runs: Sequence[Run]) -> None:
    table = []
    for run in runs:
        stage = current_stage(run)
        table.append(
            {
                "Run": run.id,
                "Name": run.name,
                "Project": run.project,
                "State": run.state.capitalize(),
                "Stage": stage.name if stage else "-",
                "Progress": stage.step / stage.total_steps if stage and stage.total_steps else 0.0,
                "Forgetting": formatting.percent(stage.forgetting if stage else None),
                "Created": run.create_time,
            }
        )
    event = st.dataframe(
        table,
        hide_index=True,
        key="runs",
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "Progress": st.column_config.ProgressColumn(format="percent", min_value=0.0, max_value=1.0),
            "Created": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm:ss"),
        },
        alt="Pipeline runs, newest first",
    )
    chosen = event.selection.rows
    if chosen and chosen[0] < len(runs):
        st.session_state["run_id"] = runs[chosen[0]].id
        if st.button(f"Open {runs[chosen[0]].id}", icon=":material/monitoring:", type="primary", key="open"):
            open_run(runs[chosen[0]].id)
    else:
        st.caption("Select a row to open its run.")


overview()
