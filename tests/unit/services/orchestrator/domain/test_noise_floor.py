"""Within the noise floor of the gauge there is no verdict, and nothing is done."""

import math
from dataclasses import replace

import pytest

from retain.mapper import enum_number
from retain.orchestrator.v1 import resources_pb2
from retain.values import ForgettingScore, SetUse, Severity, Verdict
from retain.values.recommendations import recommendations
from services.orchestrator.domain.policy.gate import GateInput, apply_gate, worst_of
from services.orchestrator.domain.policy.interpolation import interpolation_point
from services.orchestrator.domain.policy.limits import Limits
from services.orchestrator.domain.values import Measurement

LIMITS = Limits(minor=0.03, action=0.07, stop=0.17, budget=0.06, settle=0.25, confirm=0, mitigate=True)


def score(ratio: float, floor: float | None, *, name: str = "general", use: SetUse = SetUse.CONTROL) -> ForgettingScore:
    return ForgettingScore(
        retention_set=name, ratio=ratio, nats=0.0, baseline_perplexity=10.0, perplexity=10.0 * (1 + ratio), use=use,
        floor_ratio=floor,
    )  # fmt: skip


def at(*scores: ForgettingScore, **more: object) -> GateInput:
    return replace(GateInput(progress=0.5, last=False, scores=scores), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ratio", "floor", "resolved"),
    [
        (0.0, 0.0, False),
        (0.0, None, True),
        (0.002, 0.002, False),
        (-0.002, 0.002, False),
        (0.00201, 0.002, True),
        (math.nan, math.inf, True),
        (math.inf, math.inf, True),
    ],
)
def test_a_score_is_resolved_from_its_floor_on(ratio: float, floor: float | None, resolved: bool) -> None:
    found = score(ratio, floor)
    assert found.resolved is resolved
    assert resolved or found.resolved_ratio == 0.0


@pytest.mark.parametrize("ratio", [0.0, 0.05, 0.10, 0.25, -0.25])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("mitigate", [False, True])
def test_within_the_floor_there_is_neither_severity_nor_action(ratio: float, last: bool, mitigate: bool) -> None:
    """A gauge as coarse as 25 %: whatever lies within, at whatever threshold, is no verdict."""
    report = (score(ratio, 0.25, use=SetUse.REPORT),) if last else ()
    boundary = at(score(ratio, 0.25), last=last, report_scores=report)
    found = apply_gate(boundary, replace(LIMITS, mitigate=mitigate))
    assert found.severity is Severity.UNRESOLVED
    assert found.verdict is (Verdict.ACCEPT if last else Verdict.CONTINUE)
    assert found.worst == boundary.scores[0]
    assert found.act_on == ""
    assert "is within the noise floor of the gauge (±0.25): not resolved" in found.message


def test_over_the_floor_the_gate_rules_as_ever() -> None:
    for ratio in (0.01, 0.05, 0.10, 0.20, -0.6):
        assert apply_gate(at(score(ratio, 1e-6)), LIMITS) == replace(
            apply_gate(at(score(ratio, None)), LIMITS), worst=score(ratio, 1e-6), doubted=_doubted(ratio)
        )


def _doubted(ratio: float) -> ForgettingScore | None:
    return score(ratio, 1e-6) if ratio < -0.5 else None


def test_a_resolved_score_is_worse_than_a_higher_one_within_its_floor() -> None:
    """0.12 of a gauge that resolves 0.15 counts as 0; 0.08 of a fine one is over action."""
    found = apply_gate(at(score(0.12, 0.15, name="code"), score(0.08, 1e-6)), LIMITS)
    assert (found.verdict, found.severity, found.act_on) == (Verdict.ADJUST, Severity.ACTION, "general")
    # and one that got better is better than one that did not move
    found = apply_gate(at(score(0.001, 0.01, name="code"), score(-0.10, 1e-6)), LIMITS)
    assert (found.severity, found.worst) == (Severity.UNRESOLVED, score(0.001, 0.01, name="code"))


def test_nothing_is_projected_from_noise() -> None:
    found = apply_gate(at(score(0.001, 0.01), projected={"general": 0.5}), LIMITS)
    assert (found.verdict, found.severity) == (Verdict.CONTINUE, Severity.UNRESOLVED)
    assert apply_gate(at(score(0.02, 0.01), projected={"general": 0.5}), LIMITS).verdict is Verdict.ADJUST


def test_what_is_not_finite_stops_whatever_the_floor() -> None:
    for ratio in (math.nan, math.inf):
        found = apply_gate(at(score(ratio, 1.0)), LIMITS)
        assert (found.verdict, found.severity) == (Verdict.ROLL_BACK, Severity.STOP)
    found = apply_gate(at(score(0.0, 1.0), not_finite="the training loss"), LIMITS)
    assert (found.verdict, found.severity) == (Verdict.ROLL_BACK, Severity.STOP)
    assert "the training loss is not a finite number" in found.message
    assert found.worst == score(0.0, 1.0)


def test_a_report_set_that_is_resolved_holds_the_budget_though_the_control_set_is_not() -> None:
    report = score(0.065, 1e-6, use=SetUse.REPORT)
    found = apply_gate(at(score(0.0, 0.01), last=True, report_scores=(report,)), LIMITS)
    assert (found.verdict, found.worst) == (Verdict.ROLL_BACK, report)
    unresolved = score(0.065, 0.07, use=SetUse.REPORT)
    found = apply_gate(at(score(0.0, 0.01), last=True, report_scores=(unresolved,)), LIMITS)
    assert found.verdict is Verdict.ACCEPT


def test_a_point_of_a_line_forgot_nothing_within_the_floor() -> None:
    measured = Measurement(results=(), scores=(score(0.02, 0.03), score(0.01, 1e-6, name="code")))
    found = interpolation_point(0.5, measured)
    assert (found.forgetting, found.worst_set) == (0.01, "code")
    alone = interpolation_point(0.5, Measurement(results=(), scores=(score(0.02, 0.03),)))
    assert (alone.forgetting, alone.worst_set) == (0.0, "general")


def test_people_are_told_to_do_nothing() -> None:
    said = " ".join(recommendations(Severity.UNRESOLVED, LIMITS))
    assert "Not resolved" in said
    assert "INCREASE" not in said
    assert enum_number(resources_pb2.Severity.DESCRIPTOR, Severity.UNRESOLVED) == 5


def test_the_worst_of_scores_is_as_it_was_where_no_floor_is_known() -> None:
    assert worst_of((score(0.02, None), score(0.01, None, name="code"))) == score(0.02, None)
