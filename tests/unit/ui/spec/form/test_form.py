"""The form and the text say the same, both ways: over every template and over generated specs."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.data.readers.formats import LANGUAGES
from model.data.sources.science_texts import FIELDS
from services.orchestrator.domain.spec.presets import PRESETS
from ui.client.spec import to_message
from ui.spec import templates
from ui.spec.file import parse_yaml, to_yaml
from ui.spec.form import layout, policy, stages
from ui.spec.form.edit import REMOVED, changed, edited, value_at
from ui.spec.form.fields import Field, Kind, Odd, Shown, faults_at, read, write

TEMPLATES = {entry.name: entry.text for entry in templates.templates()}
ODD = st.sampled_from([[], {}, "what", -1, 3.5, 1e301, True, ["a", "a"], [3, 1], {"unknown": [1]}, 2**60, None])
VALUES = {
    Kind.TEXT: st.sampled_from(["a", "sample://docs", "no", "3e-4", "# x", "ä: b"]),
    Kind.WHOLE: st.integers(-5, 2**53 - 1),
    Kind.NUMBER: st.floats(-1e9, 1e9),
    Kind.SWITCH: st.booleans(),
    Kind.MANY: st.lists(st.sampled_from(["python", "physics", "c#"]), min_size=1, unique=True),
    Kind.RANGE: st.tuples(st.integers(1, 3), st.integers(3, 5)).map(lambda ends: tuple(map(float, ends))),
}


def values_of(field: Field) -> st.SearchStrategy[Any]:
    return st.sampled_from(field.options) if field.kind is Kind.CHOICE else VALUES[field.kind]


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    """A template with some of the form's fields set, some of them oddly, and fields that no form shows."""
    tree = parse_yaml(TEMPLATES[draw(st.sampled_from(sorted(TEMPLATES)))])
    for field in draw(st.lists(st.sampled_from(layout.all_fields(tree)), max_size=6)):
        value = draw(values_of(field) | ODD)
        tree = changed(tree, field.path, list(value) if isinstance(value, tuple) else value)  # YAML has no tuples
        if not isinstance(tree.get("stages"), list):
            break
    if draw(st.booleans()):
        tree["labels"] = {"team": "x", "note": draw(st.text(st.characters(exclude_categories=["Cs", "Cc"])))}
        tree.setdefault("forgetting", {})
    return tree


@settings(max_examples=10, deadline=None)
@given(tree=specs(), data=st.data())
def test_a_field_is_written_and_read_back_and_nothing_else_changes(tree: dict[str, Any], data: st.DataObject) -> None:
    fields = layout.all_fields(tree)
    for field in fields:
        shown = read(field, tree)
        if isinstance(shown, Shown):
            assert write(field, shown.value, tree) == [], "what is shown is what stands there"
    field = data.draw(st.sampled_from(fields))
    value = data.draw(values_of(field) | st.none())
    before = copy.deepcopy(tree)
    text = to_yaml(tree)
    after = parse_yaml(edited(text, write(field, value, tree)))
    assert tree == before
    assert read(field, after) == Shown(value)
    for other in fields:
        if other.path != field.path:
            assert read(other, after) == read(other, tree), f"{other.name} changed with {field.name}"
    assert after.get("labels") == tree.get("labels"), "what no form shows survives"


@settings(max_examples=10, deadline=None)
@given(tree=specs())
def test_the_text_of_a_tree_is_that_tree(tree: dict[str, Any]) -> None:
    assert edited(to_yaml(tree), [(("seed",), 7)]) != ""
    assert parse_yaml(edited(to_yaml(tree), [])) == tree
    assert parse_yaml(edited(to_yaml(tree), [(("seed",), 7)])) == {**tree, "seed": 7}


@pytest.mark.parametrize("name", TEMPLATES)
def test_comments_of_a_template_stay_where_a_field_changes(name: str) -> None:
    text = edited(TEMPLATES[name], [(("stages", 0, "learning_rate"), 1e-3), (("compute", "workers"), 2)])
    for line in TEMPLATES[name].splitlines():
        comment = line.partition("# ")[2]
        assert comment in text, f"lost: {comment}"
    assert parse_yaml(text)["compute"]["workers"] == 2
    assert parse_yaml(text)["stages"][0]["learning_rate"] == 0.001


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_field_of_the_form_is_one_of_the_specification(name: str) -> None:
    """No option that nothing reads: each has a value that the specification takes, and is refused with another type."""
    tree = parse_yaml(TEMPLATES[name])
    for field in layout.all_fields(tree):
        wrong = changed(tree, field.path, {"not": "so"})
        faults = [(fault.field, fault.description) for fault in to_message(wrong)[1]]
        assert faults_at(field, faults), f"{field.name} is no field of the specification"
        assert (
            "unknown field" not in faults_at(field, faults)[0]
            or field.kind is Kind.TEXT
            or faults[0][0].endswith(".not")
        )
        for option in field.options:
            fine = changed(tree, field.path, [option] if field.kind is Kind.MANY else option)
            assert not to_message(fine)[1], f"{option} of {field.name}"


def test_the_options_are_those_that_the_platform_knows() -> None:
    assert tuple(PRESETS) == layout.PRESETS
    assert tuple(LANGUAGES) == layout.LANGUAGES
    assert layout.SCIENCE_FIELDS == FIELDS


def test_what_a_widget_cannot_show_is_said_and_kept() -> None:
    field = next(f for f in layout.COMPUTE if f.path[-1] == "workers")
    for odd in ("two", 1.5, True, 2**60, [1], float("inf")):
        assert read(field, {"compute": {"workers": odd}}) == Odd(odd)
    assert read(field, {"compute": {"workers": 2.0}}) == Shown(2)


def test_aliases_unfold_where_one_of_them_changes() -> None:
    text = "name: a\nstages:\n- &s {kind: PRETRAIN, data: {general: x}}\n- *s\n"
    after = parse_yaml(edited(text, [(("stages", 1, "data", "general"), "y")]))
    assert [stage["data"]["general"] for stage in after["stages"]] == ["x", "y"]


def test_a_field_that_goes_takes_its_empty_mapping_along() -> None:
    assert changed({"a": {"b": {"c": 1}}, "d": 2}, ("a", "b", "c"), REMOVED) == {"d": 2}
    assert changed({"d": 2}, ("a", "b"), REMOVED) == {"d": 2}


def test_another_alternative_takes_the_place_of_the_first() -> None:
    duration = layout.duration_of(0)
    tree = {"stages": [{"duration": {"tokens": 500}}]}
    assert duration.chosen(tree) == "tokens"
    after = tree
    for path, value in duration.choose("steps", tree):
        after = changed(after, path, value)
    assert after == {"stages": [{"duration": {"steps": 500}}]}
    assert layout.MODEL.chosen({"model": {"preset": "nano", "checkpoint": "s3://x"}}) is None


@pytest.mark.parametrize("position", policy.POSITIONS)
def test_a_position_of_the_policy_is_read_back_and_spares_the_rest(position: str) -> None:
    tree = {"name": "x", "forgetting": {"minor": 0.01, "mitigate": True, "settle": 0.3}}
    text = edited(to_yaml(tree), policy.changes_to(position))
    after = parse_yaml(text)
    assert policy.position_of(after) == position
    assert after["forgetting"]["settle"] == 0.3


def test_the_middle_of_the_policy_is_the_default() -> None:
    assert policy.position_of({}) == policy.BALANCED
    assert policy.settings_of(policy.BALANCED) == {"minor": 0.05, "action": 0.10, "stop": 0.20, "budget": 0.10}
    assert policy.settings_of(policy.KEEP)["stop"] == 0.10
    assert policy.position_of({"forgetting": {"action": 0.11}}) == policy.CUSTOM
    assert policy.position_of({"forgetting": {"mitigate": False, "stop": 0.3}}) == policy.CUSTOM


def test_stages_are_added_at_their_place_and_taken_away_with_their_comments_kept() -> None:
    tree = parse_yaml(TEMPLATES["minimal"])
    assert stages.addable(tree) == ["MIDTRAIN", "FINETUNE"]
    text = edited(TEMPLATES["minimal"], stages.added(tree, "FINETUNE"))
    text = edited(text, stages.added(parse_yaml(text), "MIDTRAIN"))
    after = parse_yaml(text)
    assert [stage["kind"] for stage in after["stages"]] == ["PRETRAIN", "MIDTRAIN", "FINETUNE"]
    assert "# tiny models bear ten times the rate" in text
    assert not to_message(after)[1]
    two = parse_yaml(edited(text, stages.added(after, "MIDTRAIN")))
    assert [stage.get("domain") for stage in two["stages"]] == [None, "CODE", "MATH", None]
    assert parse_yaml(edited(text, stages.without(1)))["stages"] == [after["stages"][0], after["stages"][2]]
    assert stages.added({}, "PRETRAIN")[0] == (("stages",), [])


def test_faults_find_their_fields_however_a_map_is_written() -> None:
    tree = parse_yaml(TEMPLATES["three-stage"])
    field = next(f for f in layout.data_fields(tree, 2) if f.path[-1] == "domain")
    faults = [("stages[2].data.replay[domain]", "a"), ("stages[2].data.replay.domain", "b"), ("stages[2].data", "c")]
    assert faults_at(field, faults) == ["a", "b"]
    assert value_at(tree, field.path) == 0.05
