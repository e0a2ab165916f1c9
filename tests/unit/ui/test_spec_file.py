"""Reading spec files: YAML 1.2 numbers, refused duplicates, overrides, local paths."""

from pathlib import Path

import pytest

from ui.client.errors import BadInput
from ui.spec_file import apply_override, find_local, load_spec, local_sources, parse_yaml, to_yaml


def faults(error: BadInput) -> dict[str, str]:
    return {violation.field: violation.description for violation in error.violations}


def test_an_exponent_without_a_point_is_a_number_and_no_is_text() -> None:
    assert parse_yaml("{rate: 3e-4, answer: no, on: yes}") == {"rate": 0.0003, "answer": "no", "on": "yes"}


def test_a_key_that_stands_twice_is_refused_with_its_line() -> None:
    with pytest.raises(BadInput) as caught:
        parse_yaml("name: a\nseed: 1\nname: b\n", name="my.yaml")
    assert list(faults(caught.value)) == ["my.yaml:3:1"]
    assert "name" in caught.value.violations[0].description


@pytest.mark.parametrize("text", ["a: [1, 2", "a: b: c", "\tx: 1"])
def test_broken_yaml_is_bad_input_with_a_place(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_yaml(text, name="my.yaml")
    assert caught.value.violations[0].field.startswith("my.yaml:")
    assert caught.value.exit_code == 2


def test_overrides_change_lists_maps_and_make_what_is_missing() -> None:
    tree = {"stages": [{"kind": "PRETRAIN"}, {"learning_rate": 1.0}]}
    apply_override(tree, "stages.1.learning_rate=1e-5")
    apply_override(tree, "stages[0].data.general=sample://docs")
    apply_override(tree, "forgetting.action=0.2")
    apply_override(tree, "stages.0.domain_options.difficulty=[1, 3]")
    assert tree == {
        "stages": [
            {"kind": "PRETRAIN", "data": {"general": "sample://docs"}, "domain_options": {"difficulty": [1, 3]}},
            {"learning_rate": 1e-5},
        ],
        "forgetting": {"action": 0.2},
    }


@pytest.mark.parametrize(
    ("override", "field"),
    [
        ("stages.1.learning_rate", "--set"),
        ("=3", "--set"),
        ("stages.7.kind=PRETRAIN", "--set stages.7"),
        ("stages.first.kind=PRETRAIN", "--set stages.first"),
        ("name.length=3", "--set name.length"),
    ],
)
def test_an_override_that_points_nowhere_is_refused(override: str, field: str) -> None:
    with pytest.raises(BadInput) as caught:
        apply_override({"name": "x", "stages": [{}]}, override)
    assert list(faults(caught.value)) == [field]


def test_a_spec_must_be_a_mapping_in_a_readable_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        load_spec(str(tmp_path / "absent.yaml"))
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(BadInput, match="came list"):
        load_spec(str(tmp_path / "list.yaml"))


def test_what_is_written_is_read_back() -> None:
    tree = {"name": "x", "stages": [{"learning_rate": 3e-4, "data": {"general": "sample://docs"}}], "seed": 0}
    assert parse_yaml(to_yaml(tree)) == tree
    assert list(parse_yaml(to_yaml(tree))) == ["name", "stages", "seed"]


def test_local_sources_are_those_without_a_scheme() -> None:
    tree = {
        "model": {"huggingface": "base"},
        "stages": [{"data": {"general": "sample://docs", "domain": "code.jsonl"}}, {"data": {"chat": "s3://b/c"}}],
        "forgetting": {"retention": {"law": "law.txt", "old": "hf://x"}},
    }
    assert [place for _, _, place in local_sources(tree)] == [
        "stages[0].data.domain",
        "forgetting.retention.law",
        "model.huggingface",
    ]


def test_a_relative_path_is_looked_for_here_and_beside_the_spec(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "data.txt").write_text("beside")
    monkeypatch.chdir(tmp_path)
    spec = str(tmp_path / "specs" / "spec.yaml")
    assert find_local("data.txt", spec) == tmp_path / "specs" / "data.txt"
    (tmp_path / "data.txt").write_text("here")
    assert find_local("data.txt", spec) == tmp_path / "data.txt"
    assert find_local("absent.txt", spec) is None
