"""Reading spec files: YAML 1.2 numbers, refused duplicates, overrides, local paths."""

from pathlib import Path

import pytest

from ui.client.errors import BadInput, Violation
from ui.spec.file import apply_override, find_local, load_spec, local_sources, parse_yaml, to_yaml


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


def bomb(levels: int) -> str:
    """Each level holds ten aliases of the one before: ten to the power of `levels` nodes in 60 bytes a level."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        (bomb(9), "my.yaml:5:", "more than 20,000 nodes"),
        ("a: " + "[" * 100_000, "my.yaml:1:35", "nested more than 32 deep"),
        ("{" + '"a": {' * 5_000, "my.yaml", "nested more than 32 deep"),
        ('{"a": ' + "[" * 5_000 + "]" * 5_000 + "}", "my.yaml", "nested more than 32 deep"),
        ('{"a": ' + "[" * 40 + "]" * 40 + "}", "my.yaml", "nested more than 32 deep"),
        ("a: &a [*a]", "my.yaml:1:8", "holds itself"),
        ("a: " + "9" * 5_000, "my.yaml:1:4", "5,000 digits"),
        ('{"a": ' + "9" * 5_000 + "}", "my.yaml", "too many digits"),
        ('{"a": ' + "9" * 600 + "}", "my.yaml: a", "too many digits"),
        ("a: " + "x" * 20_000, "my.yaml:1:4", "20,000 characters"),
        ('{"a": "' + "x" * 20_000 + '"}', "my.yaml: a", "20,000 characters"),
        ("# " + "x" * 1_100_000, "my.yaml", "1,100,002 bytes"),
        ("a: [" + "x, " * 30_000 + "]", "my.yaml:1:", "more than 20,000 nodes"),
        ('{"a": 1, "b": 2, "a": 3}', "my.yaml", "'a' twice"),
        ('a: "\\ud800"', "my.yaml: a", "surrogate"),
        ('{"a": ["b", "\\ud800"]}', "my.yaml: a[1]", "surrogate"),
        ("a: 2020-01-01", "my.yaml: a", "a date"),
        ("a: !!binary aGVsbG8=", "my.yaml: a", "a bytes"),
        ("a: !!set {x, y}", "my.yaml: a", "a set"),
        ("? [1, 2]\n: 3", "my.yaml", "tuple"),
        ("a: !!int x", "my.yaml", "YAML cannot read"),
        ("a: !!timestamp 2020-99-99", "my.yaml", "YAML cannot read"),
        ("a: !!python/object:os.system x", "my.yaml:1:4", "constructor"),
    ],
)
def test_text_made_to_hurt_is_refused_in_a_few_words(text: str, place: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_yaml(text, name="my.yaml")
    (field,) = faults(caught.value)
    assert field.startswith(place)
    assert said in caught.value.violations[0].description
    assert len(str(caught.value).encode()) < 4_096


def test_aliases_and_json_with_tabs_are_as_good_as_ever() -> None:
    assert parse_yaml("a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}") == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1, "y": 2}}
    assert parse_yaml('{\n\t"rate": 3e-4,\n\t"text": "a/b"\n}') == {"rate": 0.0003, "text": "a/b"}
    assert parse_yaml("") is None
    assert parse_yaml(bomb(3))["a2"][9][9][9] == "x"


def test_errors_are_cut_and_what_was_left_out_is_counted() -> None:
    long = BadInput([Violation(field=f"stages[{n}].kind", description="got 'x' * 60" * 5) for n in range(500)])
    assert len(str(long).encode()) < 4_096
    shown = len(long.violations) - 1
    assert long.violations[-1].description == f"{500 - shown} more faults"
    (one,) = BadInput([Violation(field="f" * 5_000, description="d" * 50_000)]).violations
    assert one.field.endswith("... (4,800 more characters)")
    assert one.description.endswith("... (49,000 more characters)")
    (half,) = BadInput([Violation(field="\ud800", description="\udcff")]).violations
    assert (half.field, half.description) == (r"\ud800", r"\udcff")


def test_files_that_cannot_be_specs_are_named(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_bytes(b"# " + b"x" * (1 << 20))
    with pytest.raises(BadInput, match="more than 1,048,576 bytes"):
        load_spec(str(path))
    path.write_bytes(b"name: \xff")
    with pytest.raises(BadInput, match="cannot be read"):
        load_spec(str(path))
    for name, said in (("a\0b", "cannot be read"), (str(tmp_path), "cannot be read"), ("x" * 5_000, "more characters")):
        with pytest.raises(BadInput, match=said):
            load_spec(name)
    path.write_bytes(b"\xef\xbb\xbfname: a")
    assert load_spec(str(path)) == {"name": "a"}


@pytest.mark.parametrize("name", ["a\0b", "x" * 5_000, "~nobody-of-this-name/x"])
def test_paths_that_no_system_has_are_nowhere(name: str) -> None:
    assert find_local(name, "-") is None


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
        ("a." * 5_000 + "b=1", "--set"),
        ("stages.\u00b2.kind=x", "--set stages.\u00b2"),
        ("stages." + "9" * 5_000 + "=x", "--set stages.9"),
        ("name=" + "[" * 5_000, "--set name"),
    ],
)
def test_an_override_that_points_nowhere_is_refused(override: str, field: str) -> None:
    with pytest.raises(BadInput) as caught:
        apply_override({"name": "x", "stages": [{}]}, override)
    (named,) = faults(caught.value)
    assert named.startswith(field)
    assert len(str(caught.value)) < 4_096


def test_a_spec_must_be_a_mapping_in_a_readable_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        load_spec(str(tmp_path / "absent.yaml"))
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(BadInput, match="got list"):
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
