"""What a decision says: every threshold with its value, and never praise for what is too good to be true."""

import math
import re
from dataclasses import replace

import pytest

from retain.values import ForgettingScore, SetUse, Severity, Verdict
from retain.values.recommendations import recommendations
from services.orchestrator.domain.policy.gate import GateInput, apply_gate
from services.orchestrator.domain.policy.limits import Limits

# No two thresholds are alike, so that a number stands for one name only.
LIMITS = Limits(minor=0.03, action=0.07, stop=0.17, budget=0.06, settle=0.25, confirm=0, mitigate=True)
VALUES = {"minor": "3%", "action": "7%", "stop": "17%", "budget": "6%", "3 times stop": "51%", "5 times stop": "85%"}
PROJECTED = replace(LIMITS, stop_projected=True)
HOME = {"general": 0.02}  # where a projection sees the stage end


def score(ratio: float, *, low: float | None = None, use: SetUse = SetUse.CONTROL) -> ForgettingScore:
    return ForgettingScore(
        retention_set="general", ratio=ratio, nats=0.0, ratio_low=low, baseline_perplexity=10.0,
        perplexity=10.0 * (1 + ratio), use=use,
    )  # fmt: skip


def at(ratio: float, **more: object) -> GateInput:
    low = more.pop("low", None)
    report = more.pop("report", None)
    found = GateInput(progress=0.5, last=False, scores=(score(ratio, low=low),))  # type: ignore[arg-type]
    if report is not None:
        found = replace(found, report_scores=(score(report, use=SetUse.REPORT),))  # type: ignore[arg-type]
    return replace(found, **more)  # type: ignore[arg-type]


BRANCHES = [
    (at(0.01), LIMITS, "minor", 0.03),
    (at(0.05), LIMITS, "action", 0.07),
    (at(0.09, projected={"general": 0.02}), LIMITS, "action", 0.07),
    (at(0.09), LIMITS, "action", 0.07),
    (at(0.09, may_climb=False), LIMITS, "action", 0.07),
    (at(0.09, low=0.05), replace(LIMITS, confirm=1), "action", 0.07),
    (at(0.20), LIMITS, "stop", 0.17),
    (at(math.nan), LIMITS, "stop", 0.17),
    (at(0.40, progress=0.1), LIMITS, "3 times stop", 0.51),
    (at(0.60, progress=0.1), LIMITS, "3 times stop", 0.51),
    (at(0.60), PROJECTED, "3 times stop", 0.51),
    (at(0.85, projected=HOME, onward=HOME), PROJECTED, "5 times stop", 0.85),
    (at(0.05, last=True, report=0.01), LIMITS, "action", 0.07),
    (at(0.09, last=True, report=0.01), LIMITS, "action", 0.07),
    (at(0.05, last=True, report=0.065), LIMITS, "budget", 0.06),
    (at(0.01), replace(LIMITS, mitigate=False), "minor", 0.03),
    (at(0.05), replace(LIMITS, mitigate=False), "action", 0.07),
    (at(0.09), replace(LIMITS, mitigate=False), "action", 0.07),
    (at(0.90), replace(LIMITS, mitigate=False), "stop", 0.17),
    (at(0.05, last=True, report=0.065), replace(LIMITS, mitigate=False), "budget", 0.06),
    (at(0.02, last=True, report=0.01), replace(LIMITS, mitigate=False), "minor", 0.03),
]


@pytest.mark.parametrize(("boundary", "limits", "name", "threshold"), BRANCHES)
def test_the_threshold_that_is_named_is_the_one_that_is_printed(
    boundary: GateInput, limits: Limits, name: str, threshold: float
) -> None:
    outcome = apply_gate(boundary, limits)
    assert f"{name} ({VALUES[name]})" in outcome.message
    assert outcome.threshold == threshold
    printed = set(re.findall(r"\(([\d.]+%)\)", outcome.message))
    assert printed == {VALUES[name]}, "no other threshold is printed"


@pytest.mark.parametrize(
    ("ratio", "verdict"), [(0.849, Verdict.CONTINUE), (0.85, Verdict.ROLL_BACK), (3.0, Verdict.ROLL_BACK)]
)
def test_no_projection_excuses_a_score_at_the_ceiling(ratio: float, verdict: Verdict) -> None:
    assert apply_gate(at(ratio, projected=HOME, onward=HOME), PROJECTED).verdict is verdict
    higher = replace(PROJECTED, projected_ceiling_factor=100.0)
    assert apply_gate(at(ratio, projected=HOME, onward=HOME), higher).verdict is Verdict.CONTINUE


def test_the_ceiling_is_for_what_has_settled() -> None:
    """Before, three times stop is what acts."""
    early = at(0.50, progress=0.1, projected=HOME, onward=HOME)
    assert apply_gate(early, replace(PROJECTED, projected_ceiling_factor=1.0)).verdict is Verdict.CONTINUE


def test_the_default_thresholds_read_as_they_are_written() -> None:
    usual = Limits(minor=0.05, action=0.10, stop=0.20, budget=0.10, settle=0.2, confirm=0, mitigate=True)
    assert apply_gate(at(0.01), usual).message == "general +1.00%: below minor (5%)"


@pytest.mark.parametrize(
    ("ratio", "doubtful"), [(-0.5, False), (-0.501, True), (-1.0, True), (-3.3, True), (0.3, False)]
)
def test_below_the_floor_a_score_is_in_doubt(ratio: float, doubtful: bool) -> None:
    outcome = apply_gate(at(ratio), LIMITS)
    assert (outcome.doubted is not None) == doubtful
    assert ("suspicious" in outcome.message or "impossible" in outcome.message) == doubtful


def test_text_that_is_replayed_is_told_to_be_learned() -> None:
    said = apply_gate(at(-0.999, replayed=frozenset({"general"})), LIMITS).message
    assert "general -99.90% is suspicious (below -50%)" in said
    assert "that text is being learned" in said
    said = apply_gate(at(-0.999), LIMITS).message
    assert "the baseline or the set is in doubt" in said


@pytest.mark.parametrize("mitigate", [True, False])
@pytest.mark.parametrize("last", [True, False])
def test_an_impossible_score_is_a_persons_to_decide(last: bool, mitigate: bool) -> None:
    outcome = apply_gate(at(-3.3, last=last, report=0.0), replace(LIMITS, mitigate=mitigate, suspicious_below=-1.0))
    assert outcome.verdict is Verdict.STOP
    assert outcome.hold_reason == "IMPOSSIBLE_SCORE"
    assert outcome.impossible
    assert "impossible (below -100%)" in outcome.message


def test_nan_beside_an_impossible_score_is_still_a_stop() -> None:
    """Fail closed: a broken model goes back at once, whatever else is wrong."""
    boundary = replace(at(math.nan), scores=(score(math.nan), score(-3.3)))
    assert apply_gate(boundary, LIMITS).verdict is Verdict.ROLL_BACK


@pytest.mark.parametrize("ratio", [-0.6, -1.0, -3.3])
@pytest.mark.parametrize("replayed", [False, True])
@pytest.mark.parametrize("severity", list(Severity))
def test_what_is_too_good_to_be_true_is_never_praised(ratio: float, replayed: bool, severity: Severity) -> None:
    said = " ".join(recommendations(severity, LIMITS, doubted=ratio, name="general", replayed=replayed))
    assert "✓" not in said
    assert "No significant forgetting" not in said
    assert ("Impossible" if ratio < -1 else "Suspicious") in said
