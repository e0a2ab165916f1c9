"""The checkpoints, page by page: by stage and domain, each with its figures and lineage, two side by side. The address
names what is looked at."""

import streamlit as st

from ui.client import ClientError
from ui.client.views import Checkpoint
from ui.panel.checkpoints import detail
from ui.panel.shared import choice, chosen_project, client, errors_shown, nothing_yet, pager, show_error
from ui.render import formatting

PAGE_ROWS = 50
STAGES = {
    "all": "All",
    "pretrain": "Pre-training",
    "midtrain/code": "Code",
    "midtrain/math": "Math",
    "midtrain/science": "Science",
    "finetune": "Fine-tuning",
    "imported": "Imported",
}
STATES = {"usable": "Usable", "accepted": "Accepted", "any": "Any state"}
WANTED = {"usable": ("LIVE", "ACCEPTED"), "accepted": ("ACCEPTED",), "any": ()}


def _row(row: Checkpoint) -> dict[str, object]:
    return {
        "Checkpoint": row.id,
        "State": row.standing,
        "Forgetting": formatting.percent(row.forgetting),
        "Loss": f"{row.train_loss_nats:.3f}" if row.train_loss_nats else "-",
        "Size": formatting.file_size(row.bytes),
        "Created": row.create_time,
    }


def _named(name: str) -> Checkpoint | None:
    try:
        return client().checkpoint(name)
    except ClientError as error:
        show_error(error)
        return None


st.title("Checkpoints")
project = chosen_project("Project", "checkpoints_project", everything="All projects")
with st.container(horizontal=True):
    stage = choice("Stage", STAGES, "stage")
    state = choice("State", STATES, "standing")
filters = (project, stage, state)
if st.session_state.setdefault("checkpoints_filters", filters) != filters:
    st.session_state["checkpoints_filters"] = filters  # another question begins at its first page
    st.query_params.pop("from", None)
    st.session_state.pop("checkpoints_pages", None)
token = st.query_params.get("from", "")
with errors_shown():
    page = client().checkpoints_page(
        stage="" if stage == "all" else stage, states=WANTED[state], project=project, size=PAGE_ROWS, token=token
    )
rows = page.rows
if rows:
    event = st.dataframe(
        [_row(row) for row in rows],
        hide_index=True,
        key=f"checkpoints_{hash((filters, token))}",
        on_select="rerun",
        selection_mode="multi-row",
        column_config={"Created": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm:ss")},
        alt="Checkpoints, newest first",
    )
    chosen = [rows[number] for number in event.selection.rows if number < len(rows)][:2]
    if chosen:
        st.query_params["checkpoint"] = [row.id for row in chosen]
    st.caption(f"{len(rows)} of {page.total:,}, newest first. Select one to look at it, two to compare them.")
else:
    chosen = []
    if (stage, state) == ("all", "usable"):
        nothing_yet("No checkpoint yet. A run makes some; `retain import DIR` brings a model of elsewhere.")
    else:
        st.caption("No checkpoint is like that. Choose another stage or state above.")
pager("checkpoints", token, page.next_token)
if not chosen:
    asked = [_named(name) for name in st.query_params.get_all("checkpoint")[:2]]
    chosen = [row for row in asked if row is not None]
with errors_shown():
    for row in chosen[:1]:
        if len(chosen) == 1:
            detail.one(row, rows)
    if len(chosen) == 2:
        detail.two(*chosen)
