"""A new run: a template, its YAML, the check of the server and of local data with every fault listed, and the start."""

import streamlit as st

from ui.client import ClientError
from ui.client.views import Plan
from ui.local.preflight import check_local
from ui.local.upload import place_local_sources
from ui.panel.shared import (
    as_text,
    chosen_project,
    client,
    errors_shown,
    open_run,
    refuse_local_paths,
    show_error,
    show_faults,
)
from ui.render import formatting
from ui.render.needs import needs_lines
from ui.render.projects import queue_lines
from ui.render.tables import cost_lines, must_keep
from ui.spec import templates
from ui.spec.file import STANDARD_INPUT, parse_yaml

TEMPLATES = {entry.name: entry for entry in templates.templates()}


def _fill() -> None:
    """Another template replaces the text."""
    st.session_state["yaml"] = TEMPLATES[st.session_state["template"]].text
    st.session_state.pop("plan", None)


st.title("New run")
st.session_state.setdefault("template", "demo-code")
st.selectbox(
    "Template",
    list(TEMPLATES),
    key="template",
    on_change=_fill,
    format_func=lambda name: f"{name}: {TEMPLATES[name].title}",
)
if "yaml" not in st.session_state:
    _fill()
project = chosen_project("Project", "new_run_project")
text = st.text_area("Specification (YAML)", key="yaml", height=460)

with st.container(horizontal=True):
    check = st.button("Validate", icon=":material/rule:", key="validate")
    start = st.button("Start", icon=":material/play_arrow:", type="primary", key="start")


def _plan(plan: Plan) -> None:
    st.success("The server accepts it. This is what it would do:", icon=":material/check_circle:")
    st.dataframe(
        [
            {
                "Stage": stage.name,
                "Tokens": formatting.amount(stage.tokens) if stage.tokens else "after preparing",
                "Steps": str(stage.steps or "after preparing"),
                "Boundaries": str(stage.boundaries or "after preparing"),
                "Peak LR": f"{stage.learning_rate:g}",
                "Must keep": must_keep(stage),
                "Builds on": stage.base or "random weights",
            }
            for stage in plan.stages
        ],
        hide_index=True,
        alt="The planned stages",
    )
    for warning in plan.warnings:
        st.warning(as_text(warning), icon=":material/warning:")
    for line in (*plan.policy, *needs_lines(plan), *cost_lines(plan), *queue_lines(plan.queue)):
        st.caption(as_text(line))


if check or start:
    with errors_shown():
        tree = parse_yaml(text, name="line")
        refuse_local_paths(tree)
        local = check_local(tree, STANDARD_INPUT, sent=False)
        plan, faults = client(project).validate(tree)
    for line in local.lines():
        st.caption(as_text(line))
    faults = local.with_server(faults)
    if faults:
        show_faults([(fault.field, fault.description) for fault in faults])
    elif check and plan is not None:
        _plan(plan)
    else:
        try:
            place_local_sources(client(project), tree, STANDARD_INPUT, send=False)
            made = client(project).create_run(tree)
        except ClientError as error:
            show_error(error)
        else:
            open_run(made.id)
