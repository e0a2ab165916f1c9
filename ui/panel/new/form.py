"""The form, section by section."""

from typing import Any

import streamlit as st

from ui.client.views import Plan
from ui.panel.new import draft, echoes
from ui.panel.new.preview import previews
from ui.panel.new.schedules import schedules
from ui.panel.new.widgets import Faults, either, grid, one
from ui.panel.shared import as_text
from ui.render import formatting
from ui.render.needs import memory_text
from ui.spec.form import layout, policy, stages


def form(tree: dict[str, Any], faults: Faults, plan: Plan | None, project: str, *, disabled: bool) -> None:
    """All of it. `disabled`: the text cannot be read at the moment, so only it can be changed."""
    with st.container(border=True):
        st.subheader("Model")
        one(layout.NAME, tree, faults, disabled=disabled)
        either(layout.MODEL, tree, faults, disabled=disabled)
        grid(layout.model_fields(tree), tree, faults, disabled=disabled)
    for number in layout.stages_of(tree):
        _stage(number, tree, faults, plan, project, disabled=disabled)
    _add_stage(tree, disabled=disabled)
    with st.container(border=True):
        st.subheader("Forgetting")
        _policy(tree, disabled=disabled)
        with st.expander("Each threshold"):
            grid(layout.GATE, tree, faults, disabled=disabled)
    with st.container(border=True):
        st.subheader("Measuring")
        either(layout.EVERY, tree, faults, disabled=disabled)
        grid((*layout.EVALUATION, layout.KEEP_LAST), tree, faults, disabled=disabled)
    with st.container(border=True):
        st.subheader("Compute")
        grid(layout.COMPUTE, tree, faults, disabled=disabled)
        _memory(plan)


def _stage(
    number: int, tree: dict[str, Any], faults: Faults, plan: Plan | None, project: str, *, disabled: bool
) -> None:
    kind, domain = layout.kind_of(tree, number), layout.domain_of(tree, number)
    title = layout.STAGE_TITLES.get(kind, kind or "A stage without a kind")
    with st.container(border=True):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.subheader(as_text(f"{number + 1}. {title}" + (f" ({domain.lower()})" if domain else "")))
            st.button(
                "Remove",
                icon=":material/delete:",
                key=f"remove:{number}",
                type="tertiary",
                disabled=disabled,
                on_click=draft.change,
                args=(stages.without(number),),
            )
        grid(layout.data_fields(tree, number), tree, faults, disabled=disabled)
        previews(number, tree, project, disabled=disabled)
        either(layout.duration_of(number), tree, faults, disabled=disabled)
        grid(layout.training_fields(tree, number), tree, faults, disabled=disabled)
        schedules(number, plan)


def _add_stage(tree: dict[str, Any], *, disabled: bool) -> None:
    with st.container(horizontal=True):
        for kind in stages.addable(tree):
            st.button(
                f"Add {layout.STAGE_TITLES[kind].lower()}",
                icon=":material/add:",
                key=f"add:{kind}",
                disabled=disabled,
                on_click=_add,
                args=(kind,),
            )


def _add(kind: str) -> None:
    draft.change(stages.added(draft.read()[0], kind))


def _policy(tree: dict[str, Any], *, disabled: bool) -> None:
    stands = policy.position_of(tree)
    options = (*policy.POSITIONS, policy.CUSTOM) if stands == policy.CUSTOM else policy.POSITIONS
    echoes.tell("policy", stands, options[0])
    st.select_slider("What matters more", options, key="policy", on_change=_set_policy, disabled=disabled)
    st.caption(as_text(policy.told(stands)).replace("\\`", "`"))


def _set_policy() -> None:
    chosen = st.session_state["policy"]
    if chosen != policy.CUSTOM and not echoes.is_echo("policy"):
        draft.change(policy.changes_to(chosen))


def _memory(plan: Plan | None) -> None:
    """What each stage needs on each worker, by the server's plan."""
    if plan is None:
        st.caption("The memory plan is shown as soon as the spec has no faults.")
        return
    for stage in plan.stages:
        need = stage.needs
        if need is None or need.memory is None:
            continue
        total, limit = need.memory.total_bytes, need.memory_limit_bytes
        said = f"{stage.name}: {formatting.file_size(total)} of memory on each worker"
        if limit:
            st.progress(min(1.0, total / limit), text=as_text(f"{said}, of {formatting.file_size(limit)}"))
        else:
            st.caption(as_text(said))
        st.caption(as_text(memory_text(need.memory)))
