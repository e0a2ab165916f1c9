"""A new pipeline: a form and the YAML beside it, which are two views of one draft; the server's plan or every fault;
the start."""

import copy

import streamlit as st

from ui.client import ClientError
from ui.client.views import Plan
from ui.local.preflight import check_local
from ui.local.upload import place_local_sources
from ui.panel.new import draft, echoes
from ui.panel.new.form import form
from ui.panel.shared import (
    as_text,
    chosen_project,
    client,
    errors_shown,
    may_act,
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
from ui.spec.file import STANDARD_INPUT, to_yaml

RUN, CLONABLE = "run/", 20  # what begins with a run is named so in the choice
TEMPLATES = {entry.name: entry for entry in templates.templates()}


def _origins() -> dict[str, str]:
    """What a draft can begin with, and how it is shown: the templates, and the newest runs."""
    found = {name: f"{name}: {entry.title}" for name, entry in TEMPLATES.items()}
    try:
        for run in client().list_runs(limit=CLONABLE):
            found[f"{RUN}{run.id}"] = f"a copy of {run.id} ({run.name}, {run.state.lower()})"
    except ClientError:
        return found  # what keeps the server from answering is said below
    return found


def _begin(origin: str = "") -> None:
    """Another template or a run's own specification, as the server keeps it, replaces the draft."""
    origin = origin or st.session_state["template"] or ""
    if not origin:
        return  # the choice was taken back, and the draft stays
    try:
        text = _copied(origin.removeprefix(RUN)) if origin.startswith(RUN) else TEMPLATES[origin].text
    except ClientError as error:
        st.session_state["begin_failure"] = error  # the draft stays as it is
        return
    draft.begin(origin, text)


def _copied(run_id: str) -> str:
    """Raises ClientError."""
    told = f"# The specification of run {run_id}, with every default that was filled in.\n"
    return told + to_yaml(client().get_run(run_id).own_spec)


def _typed() -> None:
    if not echoes.is_echo("yaml"):
        draft.replace(st.session_state["yaml"])


def _editor() -> str:
    return str(st.text_area("Specification (YAML)", key="yaml", height=560, on_change=_typed) or "")


def _first() -> None:
    """The draft of a session that has none: what the page of a session before still shows, which outlives a restart of
    the panel too; else what that session knew; else a template."""
    if shown := _editor():
        draft.replace(shown)
    elif not draft.recalled():
        _begin("demo-code")
    st.rerun()


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


st.title("New pipeline")
if draft.TEXT not in st.session_state:
    _first()
if "clone" in st.query_params:
    _begin(f"{RUN}{st.query_params.pop('clone')}")
origins = _origins()
begun_with = draft.origin()
st.session_state["template"] = begun_with
begin, place = st.columns([2, 1])
with begin:
    st.selectbox(
        "Begin with",
        list(origins) if begun_with is None or begun_with in origins else [*origins, begun_with],
        index=None,
        key="template",
        placeholder="a draft of your own",
        on_change=_begin,
        format_func=lambda name: origins.get(name, name),
        help="Replaces the draft below. A copy of a run is what the server keeps of it, not what a form showed.",
    )
if "begin_failure" in st.session_state:
    show_error(st.session_state.pop("begin_failure"))
with place:
    project = chosen_project("Project", "new_run_project")
tree, unreadable = draft.read()
answer = draft.Checked() if unreadable else draft.checked(tree, project)
faults = [(fault.field, fault.description) for fault in unreadable or answer.faults]

left, right = st.columns([3, 2], gap="medium")
with left:
    if unreadable:
        st.warning("The YAML cannot be read at the moment. The form shows it as it last could be.")
    form(tree, faults, answer.plan, project, disabled=bool(unreadable))
with right:
    echoes.tell("yaml", draft.text(), "")
    _editor()
    with st.container(horizontal=True):
        check = st.button("Validate", icon=":material/rule:", key="validate", on_click=draft.ask_again)
        start = may_act() and st.button("Start", icon=":material/play_arrow:", type="primary", key="start")
    if (check or start) and not unreadable and answer.error is None:
        with errors_shown():
            refuse_local_paths(tree)
            local = check_local(tree, STANDARD_INPUT, sent=False)
        for line in local.lines():
            st.caption(as_text(line))
        faults = [(fault.field, fault.description) for fault in local.with_server(answer.faults)]
    if answer.error is not None:
        show_error(answer.error)
    elif faults:
        show_faults(faults)
    elif answer.plan is not None:
        _plan(answer.plan)
    if start and not faults and answer.plan is not None:
        try:
            placed = copy.deepcopy(tree)
            place_local_sources(client(project), placed, STANDARD_INPUT, send=False)
            made = client(project).create_run(placed, request_id=draft.request_id(project))
        except ClientError as error:
            show_error(error)
        else:
            draft.submitted()
            open_run(made.id)
echoes.drawn()
