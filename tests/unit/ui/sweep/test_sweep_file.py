"""A sweep's file: its cells and runs, their names, and every fault at once."""

from pathlib import Path

import pytest

from ui.client.errors import BadInput
from ui.sweep.file import SETTINGS_LABEL, load_sweep, settings_of

SPEC = """
name: base
labels: {team: a}
stages: [{kind: PRETRAIN, data: {general: "sample://docs"}}, {kind: MIDTRAIN, domain: CODE}]
seed: 7
"""
SWEEP = """
name: shares
spec: base.yaml
grid:
  "stages[1].data.general_share": [0.02, 0.1]
  forgetting.controller: [LADDER, ANTICIPATE]
seeds: [0, 1]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "base.yaml").write_text(SPEC)
    return tmp_path


def written(folder: Path, text: str) -> str:
    (folder / "sweep.yaml").write_text(text)
    return str(folder / "sweep.yaml")


def test_every_combination_is_a_cell_and_each_has_its_seeds(folder: Path) -> None:
    sweep = load_sweep(written(folder, SWEEP))
    share, controller = "stages.1.data.general_share", "forgetting.controller"
    assert sweep.cells == [
        {share: 0.02, controller: "LADDER"},
        {share: 0.02, controller: "ANTICIPATE"},
        {share: 0.1, controller: "LADDER"},
        {share: 0.1, controller: "ANTICIPATE"},
    ]
    runs = list(sweep.runs())
    assert [run.seed for run in runs] == [0] * 4 + [1] * 4
    last = runs[-1].tree
    assert last["stages"][1]["data"] == {"general_share": 0.1}
    assert last["forgetting"] == {"controller": "ANTICIPATE"}
    assert last["seed"] == 1
    assert last["labels"]["team"] == "a"
    assert last["labels"]["sweep"] == "shares"
    assert settings_of(last["labels"][SETTINGS_LABEL]) == sweep.cells[-1]
    assert sweep.spec["stages"][1].get("data") is None, "the base is left as it is"


def test_a_name_is_of_sweep_settings_and_seed_alone(folder: Path) -> None:
    runs = list(load_sweep(written(folder, SWEEP)).runs())
    names = [run.request_id for run in runs]
    assert len(set(names)) == 8
    more = SWEEP.replace("[0.02, 0.1]", "[0.02, 0.05, 0.1]").replace("[0, 1]", "[2, 0, 1]")
    wider = {run.request_id: run.tree for run in load_sweep(written(folder, more)).runs()}
    assert {run.request_id: run.tree for run in runs}.items() <= wider.items()
    other = SWEEP.replace("name: shares", "name: others")
    assert not {run.request_id for run in load_sweep(written(folder, other)).runs()} & set(names)


ARMS = """
name: arms
spec: base.yaml
arms:
  plain: {"stages[1].data.general_share": 0, forgetting.mitigate: false}
  as-it-is: {}
grid: {stages.1.learning_rate: [1e-4, 1e-3]}
"""


def test_an_arm_changes_several_fields_together_and_a_grid_stands_beside_it(folder: Path) -> None:
    sweep = load_sweep(written(folder, ARMS))
    rate = "stages.1.learning_rate"
    assert sweep.cells == [{"arm": arm, rate: value} for arm in ("plain", "as-it-is") for value in (1e-4, 1e-3)]
    plain, _, bare, _ = (run.tree for run in sweep.runs())
    assert plain["stages"][1] == {
        "kind": "MIDTRAIN",
        "domain": "CODE",
        "data": {"general_share": 0},
        "learning_rate": 1e-4,
    }
    assert plain["forgetting"] == {"mitigate": False}
    assert bare["stages"][1] == {"kind": "MIDTRAIN", "domain": "CODE", "learning_rate": 1e-4}
    assert "forgetting" not in bare
    assert settings_of(plain["labels"][SETTINGS_LABEL]) == {"arm": "plain", rate: 1e-4}
    more = ARMS.replace("  as-it-is: {}", "  as-it-is: {}\n  lora: {stages.1.lora.rank: 8}")
    wider = {run.request_id for run in load_sweep(written(folder, more)).runs()}
    assert {run.request_id for run in sweep.runs()} < wider, "an arm more leaves the names of the others"


def test_one_arm_alone_has_the_runs_that_it_has_among_all(folder: Path) -> None:
    sweep = load_sweep(written(folder, ARMS))
    alone = [run.request_id for run in sweep.of_arms(["as-it-is"]).runs()]
    assert alone == [run.request_id for run in sweep.runs()][2:]
    assert sweep.of_arms([]) == sweep
    with pytest.raises(BadInput, match=r"--arm: got 'x'; expected plain, as-it-is"):
        sweep.of_arms(["plain", "x"])


def test_a_place_that_an_arm_names_wrongly_is_told_with_the_arm(folder: Path) -> None:
    sweep = load_sweep(written(folder, ARMS.replace("stages[1].data", "stages[5].data")))
    with pytest.raises(BadInput, match=r"arms.plain stages.5: got '5'; the list has 2 entries"):
        list(sweep.runs())


@pytest.mark.parametrize(
    ("was", "now", "field", "said"),
    [
        ("  as-it-is: {}", "  As It Is: {}", "arms.As It Is", "characters of a-z"),
        ("  as-it-is: {}", "  as-it-is: [1]", "arms.as-it-is", "fields with their values"),
        ("forgetting.mitigate", "seed", "arms.plain.seed", "`seeds`"),
        ("stages.1.learning_rate", "arm", "grid.arm", "`seeds`"),
    ],
)
def test_a_fault_of_an_arm_is_told_by_its_place(folder: Path, was: str, now: str, field: str, said: str) -> None:
    assert was in ARMS
    with pytest.raises(BadInput) as caught:
        load_sweep(written(folder, ARMS.replace(was, now)))
    (fault,) = caught.value.violations
    assert fault.field == field
    assert said in fault.description


def test_without_seeds_it_is_the_specs_own_and_a_spec_may_stand_in_the_sweep(folder: Path) -> None:
    sweep = load_sweep(written(folder, "name: one\nspec: base.yaml\n"), ["stages.0.learning_rate=1e-3"])
    (run,) = sweep.runs()
    assert run.seed == 7
    assert run.settings == {}
    assert run.tree["stages"][0]["learning_rate"] == 1e-3
    sweep = load_sweep(written(folder, "name: one\nspec: {name: x}\ngrid: {model.preset: [nano, micro]}\n"))
    assert [(run.seed, run.tree["model"]) for run in sweep.runs()] == [
        (0, {"preset": "nano"}),
        (0, {"preset": "micro"}),
    ]
    assert sweep.spec_path.endswith("sweep.yaml")


@pytest.mark.parametrize(
    ("was", "now", "field", "said"),
    [
        ("name: shares", "name: Shares", "name", "got 'Shares'"),
        ("name: shares", "", "name", "got None"),
        ("spec: base.yaml", "spec: 7", "spec", "got 7"),
        ("spec: base.yaml", "spec: none.yaml", "spec", "does not exist"),
        ("seeds: [0, 1]", "seeds: [0, 0]", "seeds", "that differ"),
        ("seeds: [0, 1]", "seeds: 3", "seeds", "got 3"),
        ("seeds: [0, 1]", "seeds: [-1]", "seeds", "got [-1]"),
        ("seeds: [0, 1]", "at_most: 0", "at_most", "got 0"),
        ("seeds: [0, 1]", "seed: 3", "seed", "an unknown field"),
        ("forgetting.controller: [LADDER, ANTICIPATE]", "seed: [1]", "grid.seed", "`seeds`"),
        ("forgetting.controller: [LADDER, ANTICIPATE]", "labels.x: [1]", "grid.labels.x", "`seeds`"),
        ("[LADDER, ANTICIPATE]", "LADDER", "grid.forgetting.controller", "a list of at least one value"),
        ("[LADDER, ANTICIPATE]", "[]", "grid.forgetting.controller", "a list of at least one value"),
        ("[LADDER, ANTICIPATE]", "[LADDER, LADDER]", "grid.forgetting.controller", "values that differ"),
        ("forgetting.controller", "stages.1.data.general_share", "grid.stages.1.data.general_share", "twice"),
        ("seeds: [0, 1]", f"seeds: {list(range(251))}", "grid", "got 1,004 runs; expected up to 1,000"),
        ("LADDER,", f"{'x' * 1100},", "grid", "expected up to 1,024 for a cell"),
    ],
)
def test_a_fault_is_told_by_its_place(folder: Path, was: str, now: str, field: str, said: str) -> None:
    assert was in SWEEP
    with pytest.raises(BadInput) as caught:
        load_sweep(written(folder, SWEEP.replace(was, now)))
    (fault,) = caught.value.violations
    assert fault.field == field
    assert said in fault.description


def test_a_setting_without_a_place_is_told(folder: Path) -> None:
    sweep = load_sweep(written(folder, SWEEP.replace("stages[1]", "stages[5]")))
    with pytest.raises(BadInput, match=r"grid stages.5: got '5'; the list has 2 entries"):
        list(sweep.runs())


def test_faults_come_together(folder: Path) -> None:
    with pytest.raises(BadInput) as caught:
        load_sweep(written(folder, "name: X\nspec: [1]\ngrid: 3\nseeds: x\nat_most: y\nz: 1\n"))
    assert [fault.field for fault in caught.value.violations] == ["z", "name", "grid", "at_most", "spec", "seeds"]
