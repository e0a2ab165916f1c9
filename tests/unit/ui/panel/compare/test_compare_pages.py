"""What the pages of checkpoints and of several runs show, as plain data."""

import math
from dataclasses import replace

import pytest

from retain.values import CheckpointRef, CheckpointState, EvalSetRef, MetricSeries, SetResult
from tests.unit.ui.panel.run.test_run_page import run_of
from ui.client.views import Checkpoint, ForgettingRecord
from ui.panel.axes import Axis
from ui.panel.checkpoints.figures import measured, side_by_side
from ui.panel.checkpoints.lineage import ancestors, children, graph
from ui.panel.compare.charts import rows
from ui.panel.compare.frontier import Point, frontier, point
from ui.panel.compare.settings import differing
from ui.render.perplexity_table import BASE, DualRow


def test_only_settings_that_differ_are_listed_by_their_path() -> None:
    one = {"name": "a", "stages": [{"kind": "PRETRAIN", "learning_rate": 3e-4}, {"kind": "FINETUNE"}], "seed": 1}
    two = {"name": "a", "stages": [{"kind": "PRETRAIN", "learning_rate": 1e-4}], "seed": 1, "rungs": [0.1, 0.2]}
    assert differing([one, two]) == [
        ("stages.0.learning_rate", ("0.0003", "0.0001")),
        ("stages.1.kind", ("FINETUNE", "-")),
        ("rungs", ("-", "[0.1, 0.2]")),
    ]
    assert differing([one, one]) == []


def dual(step: int, target: float | None, forgetting: float | None, verdict: str = "CONTINUE") -> DualRow:
    return DualRow(
        stage="midtrain/code", attempt=1, step=step, tokens=step, target_set="code", target_perplexity=target,
        general_perplexity=None, general_baseline=None, time_s=None, forgetting=forgetting, forgetting_low=None,
        forgetting_high=None, floor=None, worst_set="general", severity="", verdict=verdict,
    )  # fmt: skip


def test_a_run_is_a_point_of_gain_and_forgetting() -> None:
    made = point("r", [dual(0, 80.0, None, BASE), dual(10, 50.0, 0.05), dual(20, 40.0, 0.08)])
    assert made is not None
    assert made.gain == pytest.approx(math.log(2))  # perplexity 80 -> 40
    assert (made.forgetting, made.from_base) == (0.08, True)
    late = point("r", [dual(10, 60.0, 0.05), dual(20, 40.0, 0.08)])
    assert late is not None
    assert (late.gain, late.from_base) == (pytest.approx(math.log(1.5)), False)
    assert point("r", [dual(10, 60.0, 0.05)]) is None
    assert point("r", [dual(0, 60.0, None, BASE), dual(10, 50.0, math.inf)]) is None
    assert point("r", []) is None


def test_the_frontier_is_what_no_other_run_beats() -> None:
    def at(name: str, gain: float, forgetting: float) -> Point:
        return Point(run_id=name, stage="s", gain=gain, forgetting=forgetting, from_base=True)

    points = [at("low", 0.1, 0.01), at("mid", 0.3, 0.05), at("beaten", 0.2, 0.06), at("high", 0.5, 0.2)]
    assert [one.run_id for one in frontier(points)] == ["low", "mid", "high"]
    assert [one.run_id for one in frontier([*points, at("best", 0.6, 0.0)])] == ["best"]
    assert [one.run_id for one in frontier([*points, at("twin", 0.5, 0.2)])] == ["low", "mid", "twin", "high"]
    assert frontier([]) == []


def test_runs_of_different_days_lie_over_each_other() -> None:
    first = replace(run_of(("pretrain", 10, 100)), create_time_s=1000.0)
    series = MetricSeries(
        name="train_loss_nats", stage="pretrain", steps=(1, 2), tokens=(10, 20), unix_seconds=(4600.0, 8200.0),
        attempts=(1, 1), values=(2.0, math.nan),
    )  # fmt: skip
    (shown,) = rows([first], {"r": [series]}, Axis.TIME)
    assert (shown["x"], shown["value"], shown["run"]) == (1.0, 2.0, "r")
    assert [row["x"] for row in rows([first], {"r": [series]}, Axis.TOKENS)] == [10]


def kept(step: int, parent: int | None, *, state: CheckpointState = CheckpointState.LIVE) -> Checkpoint:
    return Checkpoint(
        id=f"r/pretrain/attempt-1/step-{step:09d}", run_id="r", stage="pretrain", attempt=1, state=state,
        ref=CheckpointRef(manifest_sha256=f"{step:064d}", step=step), parent="" if parent is None else f"{parent:064d}",
    )  # fmt: skip


def test_lineage_goes_back_to_random_weights_and_on_to_what_grew() -> None:
    all_of = [kept(30, 20), kept(25, 20), kept(20, 10, state=CheckpointState.DAMAGED), kept(10, None)]
    by_digest = {row.ref.manifest_sha256: row for row in all_of}
    chain = ancestors(all_of[2], by_digest.get)
    assert [row.ref.step for row in chain] == [20, 10]
    assert [row.ref.step for row in children(all_of[2], all_of)] == [30, 25]
    drawn = graph(chain, children(all_of[2], all_of))
    assert drawn.count("->") == 4  # 10 to 20, 20 to each of two, random weights to 10
    assert '"random weights"' in drawn
    assert "attempt 1, step 20\\ndamaged" in drawn
    assert '"an earlier checkpoint"' in graph(ancestors(all_of[0], lambda _: None), [])


def test_a_name_cannot_leave_its_place_in_the_graph() -> None:
    odd = replace(kept(1, None), id='x"]; evil [label="', run_id='x"]; evil [label="')
    assert '"x\\"]; evil [label=\\""' in graph([odd], [])


def result(name: str, perplexity: float) -> SetResult:
    return SetResult(set=EvalSetRef(name=name), perplexity=perplexity)


def test_two_checkpoints_stand_side_by_side_by_set() -> None:
    left = ForgettingRecord(
        stage="pretrain", attempt=1, step=10, results=(result("general", 50.0), result("code", 9.0))
    )
    right = ForgettingRecord(stage="pretrain", attempt=1, step=20, results=(result("general", 55.0),))
    assert side_by_side(left, right) == [
        ("general", 50.0, 55.0, pytest.approx(math.log(1.1))),
        ("code", 9.0, None, None),
    ]
    assert measured(kept(20, None), [left, right]) == right
    assert measured(kept(30, None), [left, right]) is None
