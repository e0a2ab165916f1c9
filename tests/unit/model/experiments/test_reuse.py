"""A changed constant that changes no directive is the run that was there already; any other is trained."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model.experiments.arms import Arm, GateRules
from model.experiments.catalogue import HALF_AND_DOUBLE
from model.experiments.reuse import counterparts, first_difference, main, taken_over
from services.orchestrator.experiment_gate import experiment_gate
from tests.unit.model.experiments.tiny import finished_row
from tests.unit.services.orchestrator.test_experiment_gate import sets

SCORES = (0.05, 0.15, 0.13, 0.09, 0.08, 0.07, 0.06, 0.05, 0.05, 0.05)


def arm(*constants: tuple[str, Any]) -> Arm:
    gate = GateRules(controller="LADDER", stop_on="PROJECTED", constants=constants)
    return Arm(domain="gsm8k", seed=0, general_share=0.1, steps=100, gate=gate)


def played() -> dict[str, Any]:
    """The row of the unchanged arm: its gate on these scores climbs one rung."""
    gate, row = experiment_gate(arm()), finished_row(arm(), target=2.0, forgotten=math.log1p(SCORES[-1]))
    assert gate.begin() is not None
    row["history"] = []
    for boundary, ratio in enumerate(SCORES, start=1):
        given = gate.judge(boundary, 10 * boundary, 2.0, sets(ratio, last=boundary == 10))
        general = {"loss_nats": 1.5 + math.log1p(ratio), "forgetting_nats": math.log1p(ratio), "ratio": ratio}
        measured = {"gsm8k": {"loss_nats": 2.0, "gain_nats": 3.0}, "general": general}
        row["history"].append({"step": 10 * boundary, "verdict": str(given.verdict), "sets": measured})
    assert [one["verdict"] for one in row["history"]] == ["CONTINUE", "ADJUST", *["CONTINUE"] * 7, "ACCEPT"]
    return row


def test_the_arms_that_may_come_out_the_same_differ_in_their_gate_alone() -> None:
    assert counterparts(arm(("ladder.rate_factor", 0.25))) == [arm()]
    assert counterparts(replace(arm(), gate=replace(arm().gate, stop_on="RAW"))) == [arm()]
    assert counterparts(replace(arm(), gate=GateRules())) == []


def test_stop_on_the_other_score_is_taken_over_where_no_score_came_near_it() -> None:
    row = played()
    raw = replace(arm(), gate=replace(arm().gate, stop_on="RAW"))
    taken = taken_over(raw, row, experiment_gate)
    assert taken is not None
    assert (taken["digest"], taken["taken_from"]) == (raw.digest, row["digest"])
    strict = replace(raw, gate=replace(raw.gate, stop=0.12))
    assert taken_over(strict, row, experiment_gate) is None


def test_a_constant_that_no_directive_hangs_on_is_taken_over() -> None:
    """One rung was climbed, so the rate was never touched."""
    changed, row = arm(("ladder.rate_factor", 0.25)), played()
    taken = taken_over(changed, row, experiment_gate)
    assert taken is not None
    assert (taken["digest"], taken["taken_from"]) == (changed.digest, row["digest"])
    assert taken["points"] == row["points"]
    assert Arm.from_dict(taken["arm"]) == changed


def test_one_that_changes_a_directive_is_not() -> None:
    assert taken_over(arm(("ladder.rungs", (0.15, 0.4))), played(), experiment_gate) is None


def test_the_first_directive_that_differs_is_told() -> None:
    """At a fifth of the stage 15 % is over action: the first rung above a share of 10 %."""
    said = first_difference(arm(("ladder.rungs", (0.15, 0.4))), played(), experiment_gate)
    assert said == "at 20% ADJUST (general 15.0%, rate x 1) instead of ADJUST (general 20.0%, rate x 1)"
    assert first_difference(arm(("ladder.rate_factor", 0.25)), played(), experiment_gate) == ""


def test_the_table_has_every_constant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--gate", "services.orchestrator.experiment_gate:experiment_gate", "--out", str(tmp_path)])
    said = capsys.readouterr().out
    assert all(f"`{name}: " in said for name in HALF_AND_DOUBLE)
    assert "the unchanged arm has not run" in said


@pytest.mark.parametrize("change", [{"plays": 2}, {"outcome": "SUSPENDED"}])
def test_a_row_that_does_not_hold_all_that_was_asked_is_not(change: dict[str, Any]) -> None:
    assert taken_over(arm(("ladder.rate_factor", 0.25)), played() | change, experiment_gate) is None
