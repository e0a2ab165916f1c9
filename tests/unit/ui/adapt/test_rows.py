"""Rows of arms: kept by recipe, published ones taken where there is none of one's own; the table of them."""

from dataclasses import replace
from pathlib import Path

import pytest

from ui.adapt.__main__ import SWEEP, main
from ui.adapt.rows import Row, read_rows, recipe_of, write_rows
from ui.adapt.table import samples, table
from ui.client.errors import BadInput
from ui.sweep.file import ARM, load_sweep

SETS = [
    {"name": name, "perplexity": 8.0, "baseline_perplexity": 10.0, "ratio": at, "ratio_low": low, "ratio_high": high}
    for name, at, low, high in (
        ("math", -0.2, -0.25, -0.15),
        ("encyclopaedia", 0.1234, 0.1, 0.15),
        ("stories", 0.0, None, None),
        ("chat", -0.01, -0.02, 0.0),
    )
]
ROW = Row(
    arm="plain",
    recipe="r",
    state="SUCCEEDED",
    target_tokens=52224,
    seconds=610.0,
    rollbacks=0,
    decisions=["step 34: CONTINUE, fine"],
    sets=SETS,
    samples=[{"prompt": "What | is?", "text": "This.\n" * 60}],
)


def test_own_rows_come_before_published_ones_and_other_recipes_count_for_nothing(tmp_path: Path) -> None:
    published = tmp_path / "published.json"
    write_rows(published, [ROW, replace(ROW, arm="lora"), replace(ROW, arm="old", recipe="other")])
    own = replace(ROW, target_tokens=7)
    write_rows(tmp_path / "rows" / "plain.json", [own])
    recipes = {"lora": "r", "plain": "r", "old": "r", "never": "r"}
    found = read_rows(tmp_path / "rows", recipes, published)
    assert list(found) == ["lora", "plain"]
    assert found["plain"] == own
    assert read_rows(tmp_path / "none", recipes, tmp_path / "nothing.json") == {}
    published.write_text('[{"arm": "plain"}]')
    with pytest.raises(BadInput, match=r"published.json.*rows of arms"):
        read_rows(tmp_path / "rows", recipes, published)


def test_a_recipe_is_of_the_specification_and_of_no_models_place() -> None:
    def recipes(*changes: str) -> dict[str, str]:
        return {str(run.settings[ARM]): recipe_of(run) for run in load_sweep(str(SWEEP), changes).runs()}

    own = recipes()
    assert len(set(own.values())) == len(own) >= 4
    assert recipes("model.checkpoint=s3://x/y") == own
    assert not set(recipes("stages.0.duration.steps=103").values()) & set(own.values())


def test_the_table_says_what_was_forgotten_with_its_interval() -> None:
    before = replace(ROW, arm="before", recipe="", sets=[{"name": one["name"], "perplexity": 10.0} for one in SETS])
    stopped = replace(ROW, arm="default", state="SUSPENDED", rollbacks=3, sets=[], samples=[])
    head, _, first, second, third = table([before, ROW, stopped]).splitlines()
    assert head.startswith(
        "| arm | problems, perplexity | Wikipedia, forgotten | stories, forgotten | chat, forgotten |"
    )
    assert first.startswith("| before | 10.00 | (perplexity 10.00) |")
    assert second == (
        "| plain | 8.00 | +12.3 % [+10.0, +15.0] | +0.0 % | -1.0 % [-2.0, +0.0] | 52,224 | 10 min 10 s | 0 |"
    )
    assert "no model: SUSPENDED" in third
    said = samples([before, ROW, stopped]).splitlines()
    assert said[0] == "> What \\| is?"
    assert len([line for line in said if line.endswith("This. ... |")]) == 2


def test_published_rows_print_without_a_stack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--table-only", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("| arm | problems, perplexity |")
    assert main(["--table-only", "--anew", "--out", str(tmp_path)]) == 0
    assert "not run yet: plain" in capsys.readouterr().err
    assert main(["--arm", "nothing", "--out", str(tmp_path)]) == 2
    assert "--arm" in capsys.readouterr().err
