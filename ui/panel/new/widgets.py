"""The widget of a field: it shows what the draft says and writes back the one change that was made."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from ui.panel.new import draft, echoes
from ui.panel.shared import as_text
from ui.spec.form.alternatives import Alternatives
from ui.spec.form.fields import Field, Kind, Odd, faults_at, one_line, read, write

Faults = list[tuple[str, str]]
COLUMNS = 2
_EMPTY: dict[Kind, Any] = {Kind.MANY: []}  # what an empty widget holds where that is not None
_YES_NO = {True: "yes", False: "no"}


def grid(fields: Sequence[Field], tree: Any, faults: Faults, *, disabled: bool) -> None:
    """Fields side by side, each with its faults below it."""
    for start in range(0, len(fields), COLUMNS):
        for column, field in zip(st.columns(COLUMNS), fields[start : start + COLUMNS], strict=False):
            with column:
                one(field, tree, faults, disabled=disabled)


def one(field: Field, tree: Any, faults: Faults, *, disabled: bool) -> None:
    """One field."""
    found = read(field, tree)
    if isinstance(found, Odd) or (field.kind is Kind.TEXT and not one_line(found.value or "")):
        st.caption(f"**{field.label}**: {as_text(repr(found.value)[:200])}, which is changed in the YAML")
    else:
        _widget(field, found.value, disabled)
    for said in faults_at(field, faults):
        st.caption(f":red[:material/error: {as_text(said)}]")


def either(alternatives: Alternatives, tree: Any, faults: Faults, *, disabled: bool) -> None:
    """Which of the alternatives, and its value."""
    chosen, key = alternatives.chosen(tree), f"either:{'.'.join(map(str, alternatives.holder))}"
    echoes.tell(key, chosen)
    labels = {name: alternatives.field(name).label for name in alternatives.names}
    left, right = st.columns(COLUMNS)
    with left:
        st.selectbox(
            alternatives.label,
            alternatives.names,
            index=None,
            key=key,
            format_func=labels.__getitem__,
            on_change=_choose,
            args=(alternatives, key),
            disabled=disabled,
            placeholder="Choose one",
        )
    with right:
        if chosen is not None:
            one(alternatives.field(chosen), tree, faults, disabled=disabled)
    holder = Field(path=alternatives.holder, label="", kind=Kind.TEXT, help="")
    below = {said for name in alternatives.names for said in faults_at(alternatives.field(name), faults)}
    for said in faults_at(holder, faults):
        if chosen is None or said not in below:
            st.caption(f":red[:material/error: {as_text(said)}]")


def _widget(field: Field, value: Any, disabled: bool) -> None:
    key = f"field:{field.name}"
    empty = _EMPTY.get(field.kind, field.ends if field.kind is Kind.RANGE else None)
    echoes.tell(key, value if value is not None else empty, empty)
    common: dict[str, Any] = {
        "key": key,
        "help": field.help or None,
        "disabled": disabled,
        "on_change": _write,
        "args": (field, key),
    }
    hint = f"default: {field.default}" if field.default else None
    match field.kind:
        case Kind.TEXT:
            st.text_input(field.label, value=None, placeholder=hint, **common)
        case Kind.WHOLE:
            st.number_input(field.label, value=None, placeholder=hint, step=1, format="%d", **common)
        case Kind.NUMBER:
            st.number_input(field.label, value=None, placeholder=hint, step=_step(value), format="%g", **common)
        case Kind.CHOICE:
            st.selectbox(field.label, field.options, index=None, placeholder=hint or "Choose one", **common)
        case Kind.SWITCH:
            st.selectbox(
                field.label, (True, False), index=None, placeholder=hint, format_func=_YES_NO.__getitem__, **common
            )
        case Kind.MANY:
            options = (*field.options, *(one for one in value or () if one not in field.options))
            st.multiselect(field.label, options, placeholder=hint, accept_new_options=True, **common)
        case Kind.RANGE:
            low, high = field.ends
            st.slider(field.label, min_value=low, max_value=high, step=0.5, **common)


def _step(value: float | None) -> float:
    """What a press on + or - changes: a tenth of the number's own size, so that a rate of 1e-5 can be stepped too."""
    return 10.0 ** (len(f"{abs(value):.0f}") - 2) if value and abs(value) >= 1 else _small_step(value)


def _small_step(value: float | None) -> float:
    if not value:
        return 0.01
    exponent = int(f"{abs(value):e}".partition("e")[2])
    return float(f"1e{exponent - 1}")


def _write(field: Field, key: str) -> None:
    if echoes.is_echo(key):
        return
    value = st.session_state[key]
    if field.kind is Kind.RANGE and tuple(value) == field.ends:
        value = None
    draft.change(write(field, value, draft.read()[0]))


def _choose(alternatives: Alternatives, key: str) -> None:
    if st.session_state[key] is not None and not echoes.is_echo(key):
        draft.change(alternatives.choose(st.session_state[key], draft.read()[0]))
