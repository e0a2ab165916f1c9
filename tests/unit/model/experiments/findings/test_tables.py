"""Tables and sentences from rows with figures worked by hand."""

import json
from pathlib import Path
from typing import Any

import pytest

from model.experiments.__main__ import main
from model.experiments.arms import Arm, NamedArm
from model.experiments.catalogue import FORCED_RATE, alarm_arms, arms_of, default_arms, loop_arms, share_arms
from model.experiments.findings.tables import report
from tests.unit.model.experiments.tiny import finished_row, write_row


def rows_of(arms: list[NamedArm], figures: dict[str, tuple[float, float]]) -> dict[str, Any]:
    """Rows of the arms whose label has figures: (target loss, forgotten nats)."""
    rows = {}
    for named in arms:
        if named.label in figures:
            target, forgotten = figures[named.label]
            rows[named.arm.digest] = finished_row(named.arm, target=target, forgotten=forgotten)
    return rows


def test_replay_removes_the_part_that_it_removes() -> None:
    """.5 -> .2 nats: 60 % removed, for .03 nats of the target."""
    arms = share_arms("gsm8k", 0)
    made = report({("a", "gsm8k"): arms}, rows_of(arms, {"0%": (2.00, 0.5), "5%": (2.03, 0.2), "10%": (2.05, 0.1)}))
    said = " ".join(made.data[0]["conclusions"])
    assert "5 % of replay removes 60%" in said
    assert "costs +0.0300 nats" in said
    assert "falls at every step" in said
    assert "rises at every step" in said


def test_a_step_in_the_wrong_direction_is_said() -> None:
    arms = share_arms("gsm8k", 0)
    made = report({("a", "gsm8k"): arms}, rows_of(arms, {"0%": (2.00, 0.1), "5%": (2.03, 0.2)}))
    assert "does NOT fall" in made.data[0]["conclusions"][0]


def test_arms_that_have_not_run_are_named() -> None:
    arms = share_arms("gsm8k", 0)
    made = report({("a", "gsm8k"): arms}, rows_of(arms, {"0%": (2.0, 0.1)}))
    assert "| share | 50% | 0/1 | not run |" in made.markdown
    assert "| share | 0% | 1/1 | 2.0000 |" in made.markdown


def test_a_loop_is_held_against_the_frontier_at_its_own_target_loss() -> None:
    """Fixed (2.0, .4), (2.2, .2), (2.4, .1): at 2.1 the frontier forgets .3; a loop forgets .14, .47 of it."""
    arms = loop_arms("gsm8k", 0)
    fixed = {"10%, 0.001": (2.0, 0.4), "25%, 0.001": (2.2, 0.2), "50%, 0.001": (2.4, 0.1)}
    made = report({("b", "gsm8k"): arms}, rows_of(arms, {**fixed, "ladder, 0.002": (2.1, 0.14)}))
    said = made.data[0]["conclusions"]
    assert said[0].startswith("ladder, 0.002: at matched target loss it forgets x 0.47 (goal 0.8: reached)")
    assert "x 0.35 (goal 0.5: reached) of the untuned mix" in said[0]  # .14 / .4
    assert "the budget of 10% does NOT hold on the report set (+15.0%)" in said[1]  # e^.14 - 1 = .1503


def test_a_loop_outside_the_frontier_is_not_reached() -> None:
    arms = loop_arms("gsm8k", 0)
    fixed = {"10%, 0.001": (2.0, 0.4), "25%, 0.001": (2.2, 0.2)}
    made = report({("b", "gsm8k"): arms}, rows_of(arms, {**fixed, "ladder, 0.002": (1.9, 0.15)}))
    assert "(not reached)" in made.data[0]["conclusions"][0]
    assert "never learns the target as well" in made.data[0]["conclusions"][0]


def test_a_loop_where_the_frontier_forgets_nothing_has_no_ratio() -> None:
    """Between (2.2, .02) and (2.4, -.06) the frontier at 2.3 is at -.02."""
    arms = loop_arms("gsm8k", 0)
    fixed = {"25%, 0.001": (2.2, 0.02), "50%, 0.001": (2.4, -0.06)}
    made = report({("b", "gsm8k"): arms}, rows_of(arms, {**fixed, "ladder, 0.002": (2.3, 0.05)}))
    assert "Left out: the frontier forgets nothing there (-0.0200 nats)" in made.data[0]["conclusions"][0]


def test_a_suspended_loop_hands_no_model_on() -> None:
    arms = loop_arms("gsm8k", 0)
    rows = rows_of(arms, {"10%, 0.001": (2.0, 0.4), "25%, 0.001": (2.2, 0.2)})
    ladder = next(named.arm for named in arms if named.label == "ladder, 0.002")
    rows[ladder.digest] = finished_row(ladder, target=2.1, forgotten=0.3, outcome="SUSPENDED") | {"points": []}
    made = report({("b", "gsm8k"): arms}, rows)
    assert any("SUSPENDED, no model is handed on" in said for said in made.data[0]["conclusions"])
    assert "no model at its end" in made.markdown


def test_three_seeds_have_an_interval() -> None:
    """Forgotten .1, .2, .3: mean .2, 4.303 x .1 / sqrt(3) = .2484 on both sides."""
    arms = arms_of("a", "gsm8k", 3)
    rows = {}
    for named in arms:
        if named.label == "10%":
            seed = named.arm.seed
            rows[named.arm.digest] = finished_row(named.arm, target=2.0, forgotten=0.1 * (1 + seed))
    made = report({("a", "gsm8k"): arms}, rows)
    assert "| share | 10% | 3/3 | 2.0000 [2.0000, 2.0000] | 3.0000 [3.0000, 3.0000] | 0.2000 [-0.0484, 0.4484]" in (
        made.markdown
    )


@pytest.mark.parametrize(
    ("group", "ratios", "said"),
    [
        ("near", {0.1: 0.06, 1.0: 0.01}, "no false alarm"),
        ("near", {0.1: 0.10, 1.0: 0.01}, "FALSE ALARM"),  # inclusive
        ("forced", {0.1: 2.0, 1.0: 1.5}, "no missed alarm"),
        ("forced", {0.1: 0.01, 1.0: 0.02}, "MISSED ALARM"),
        ("forced", {0.1: float("nan")}, "no missed alarm"),
    ],
)
def test_alarms_are_counted_over_boundaries(group: str, ratios: dict[float, float], said: str) -> None:
    arms = alarm_arms("gsm8k", 0)
    named = next(one for one in arms if one.group == group)
    rows = {named.arm.digest: finished_row(named.arm, target=2.0, forgotten=0.01, ratios=ratios)}
    made = report({("d", "gsm8k"): arms}, rows)
    assert f": {said};" in made.data[0]["conclusions"][0]


def test_a_forced_run_is_forced() -> None:
    forced = [named.arm for named in alarm_arms("gsm8k", 0) if named.group == "forced"]
    assert {(arm.learning_rate, arm.general_share) for arm in forced} == {(FORCED_RATE, 0.0)}


def test_the_command_reports_what_has_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arm = Arm(domain="gsm8k", seed=0, general_share=0.05)
    write_row(tmp_path, finished_row(arm, target=2.0, forgotten=0.1))
    assert main(["--only", "a", "--quick", "--table-only", "--plots", "--out", str(tmp_path)]) == 0
    assert "| share | 5% | 1/1 | 2.0000 |" in capsys.readouterr().out
    assert (tmp_path / "report.md").is_file()
    assert (tmp_path / "a-gsm8k.png").stat().st_size > 10_000
    data = json.loads((tmp_path / "report.json").read_text())
    assert [one["experiment"] for one in data] == ["a"]


@pytest.mark.parametrize(("flag", "value"), [("--only", "a,x"), ("--domains", "gsm8k,mnist"), ("--only", "")])
def test_an_unknown_name_is_bad_input(flag: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([flag, value])
    assert ended.value.code == 2
    assert f"error: {flag}: got" in capsys.readouterr().err


def test_the_defaults_are_held_against_the_frontier_and_against_each_other_in_pairs() -> None:
    """At 2.1 the frontier forgets .3: .15 is half. Distillation changes the target by -.05 and the nats by -.06."""
    arms = default_arms("gsm8k", 0)
    figures = {
        "10%, 0.001": (2.0, 0.4),
        "25%, 0.001": (2.2, 0.2),
        "ANTICIPATE, distillation, stop on PROJECTED": (2.1, 0.15),
        "ANTICIPATE, none, stop on PROJECTED": (2.15, 0.21),
    }
    named = [one for one in arms if one.group != "loop, equal compute"]
    rows = rows_of(named, figures)
    suspended = next(one.arm for one in named if one.label == "ANTICIPATE, none, stop on RAW")
    rows[suspended.digest] = finished_row(suspended, target=2.3, forgotten=0.3, outcome="SUSPENDED") | {"points": []}
    said = make_sentences(arms, rows)
    assert "equal tokens: ANTICIPATE, distillation, stop on PROJECTED: at matched target loss it forgets x 0.50" in said
    assert "distillation in place of none, 1 of 1 pairs: target -0.0500 nats, forgotten -0.0600 nats" in said
    assert "stop on PROJECTED in place of RAW, 0 of 1 pairs; without a model at its end: 0 with it, 1 without" in said
    assert "equal compute" not in said


def make_sentences(arms: list[NamedArm], rows: dict[str, Any]) -> str:
    """What is said of the defaults, as one text."""
    return "\n".join(report({("i", "gsm8k"): arms}, rows).data[0]["conclusions"])


def scarce_rows(figures: dict[str, tuple[float, float]], *, group: str, seed: int = 0) -> dict[str, Any]:
    """Rows of (j) of one group: (target loss, forgotten nats) by label, over 60 documents of 10 tokens, of which every
    second one is .02 nats a token harder than the mean and the others as much easier."""
    rows = {}
    for named in arms_of("j", "gsm8k", seed + 1):
        if named.group == group and named.arm.seed == seed and named.label in figures:
            target, forgotten = figures[named.label]
            row = finished_row(named.arm, target=target, forgotten=forgotten)
            nats = [10 * (target + (0.02 if index % 2 else -0.02)) for index in range(60)]
            row["points"][0]["target_documents"] = {"nats": nats, "tokens": [10] * 60}
            rows[named.arm.digest] = row
    return rows


def test_replay_that_lowers_the_loss_of_a_scarce_target_helps_it() -> None:
    """All documents differ by the same .1, so the interval over them is a point."""
    rows = scarce_rows({"0%": (2.4, 0.9), "25%": (2.3, 0.2), "50%": (2.5, 0.1)}, group="16 epochs, 0.002")
    made = report({("j", "gsm8k"): arms_of("j", "gsm8k", 1)}, rows)
    said = made.data[0]["conclusions"]
    assert said[0] == (
        "16 epochs, 0.002: 25% of replay helps the target: -0.1000 nats of the target (documents [-0.1000, -0.1000]), "
        "-0.7000 nats forgotten."
    )
    assert "50% of replay costs the target: +0.1000" in said[1]


def test_each_share_is_held_against_none_at_the_best_epochs_and_rate_of_its_own() -> None:
    few = scarce_rows({"0%": (2.2, 0.5), "10%": (2.3, 0.2)}, group="4 epochs, 0.002")
    many = scarce_rows({"0%": (2.4, 0.9), "10%": (2.1, 0.3)}, group="16 epochs, 0.002")
    said = report({("j", "gsm8k"): arms_of("j", "gsm8k", 1)}, few | many).data[0]["conclusions"]
    assert said[-1].startswith(
        "each at its best epochs and rate (16 epochs, 0.002 against 4 epochs, 0.002): 10% of replay helps the target: "
        "-0.1000"
    )


def test_without_documents_nothing_is_decided() -> None:
    rows = scarce_rows({"0%": (2.4, 0.9), "25%": (2.3, 0.2)}, group="16 epochs, 0.002")
    for row in rows.values():
        del row["points"][0]["target_documents"]
    said = report({("j", "gsm8k"): arms_of("j", "gsm8k", 1)}, rows).data[0]["conclusions"]
    assert "25% of replay undecided (too few documents): -0.1000 nats of the target, " in said[0]


def test_a_constant_matters_where_it_moves_more_than_the_seeds_differ() -> None:
    """The three seeds of the unchanged arm lie within .02 nats of the target and .01 forgotten."""
    arms = [named for named in arms_of("k", "gsm8k", 3) if named.group == "ANTICIPATE"]
    rows = {}
    for named in (one for one in arms if one.label == "as it is"):
        seed = named.arm.seed
        rows[named.arm.digest] = finished_row(named.arm, target=2.3 + 0.01 * seed, forgotten=0.05 + 0.005 * seed)
    figures = {"anticipate.aim: 0.45": (2.4, 0.03), "anticipate.lag: 0.2": (2.305, 0.051)}
    changed = rows_of(arms, figures)
    unchanged = rows_of(arms, {"anticipate.share_step: 0.02": (2.3, 0.05)})
    base = next(one.arm for one in arms if one.label == "as it is")
    unchanged = {digest: row | {"taken_from": base.digest} for digest, row in unchanged.items()}
    lost = next(one.arm for one in arms if one.label == "ladder.rate_factor: 0.25")
    rows |= changed | unchanged | {lost.digest: finished_row(lost, target=2, forgotten=1, outcome="SUSPENDED")}
    said = "\n".join(report({("k", "gsm8k"): arms}, rows).data[0]["conclusions"])
    assert "its seeds differ by 0.0200 nats of the target and 0.0100 forgotten" in said
    assert "anticipate.aim: 0.45: matters: target +0.1000 nats, forgotten -0.0200 nats" in said
    assert "anticipate.lag: 0.2: within what the seeds differ by: target +0.0050" in said
    assert "anticipate.share_step: 0.02: changes nothing: the same decisions" in said
    assert "ladder.rate_factor: 0.25: matters: 1 of 1 runs hand no model on (SUSPENDED)" in said


def test_distillation_is_held_against_none_at_the_frontier_over_all_domains() -> None:
    """Frontier (2.0, .4), (2.2, .2): .3 at 2.1. With .15 there and .3 without -.5 on one domain, .18 and .3 -.4 on the
    other: -.45, and 12.706 x .0707 / sqrt(2) = .635 on both sides. At equal compute .36 makes +.2, on one domain."""
    plan, rows = {}, {}
    for domain, distilled in (("gsm8k", 0.15), ("code", 0.18)):
        arms = default_arms(domain, 0)
        plan["i", domain] = arms
        figures = {
            "10%, 0.001": (2.0, 0.4),
            "25%, 0.001": (2.2, 0.2),
            "ANTICIPATE, distillation, stop on PROJECTED": (2.1, distilled),
            "ANTICIPATE, none, stop on PROJECTED": (2.1, 0.3),
            "LADDER, distillation, stop on PROJECTED": (2.1, 0.01),
        }
        rows |= rows_of([one for one in arms if one.group != "loop, equal compute"], figures)
    counted = [one for one in plan["i", "gsm8k"] if one.group == "loop, equal compute"]
    rows |= rows_of(counted, {"ANTICIPATE, distillation, stop on PROJECTED": (2.1, 0.36)})
    assert report(plan, rows).data[-1]["conclusions"] == [
        "distillation in place of none, equal tokens, 2 pairs: -0.45 [-1.09, +0.19] of the frontier, not decided.",
        "distillation in place of none, equal compute, 1 pairs: +0.20 of the frontier, one pair.",
    ]
