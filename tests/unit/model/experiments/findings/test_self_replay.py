"""(l): self replay against real replay of the same share, in pairs of seeds; the goal by hand."""

from dataclasses import replace

import pytest

from model.experiments.arms import NamedArm
from model.experiments.catalogue import arms_of
from model.experiments.findings.results import finished
from model.experiments.findings.self_replay import self_replay
from tests.unit.model.experiments.tiny import finished_row

FORGOTTEN = {
    "none": 1.0,
    "real": 0.2,
    "real, for the frontier": 0.04,
    "self": 0.24,
    "real, distillation": 0.1,
    "self, distillation": 0.12,
    "self, parent alone": 0.09,
    "choice of the strength": 0.5,
}
TARGET = {"none": 1.9, "real, for the frontier": 2.2}


def said(changes: dict[str, float], alone_at: float = 2.1) -> list[str]:
    def target(one: NamedArm) -> float:
        return alone_at if one.group == "self, parent alone" else TARGET.get(one.group, 2.0)

    arms = arms_of("l", "gsm8k", 1)
    forgotten = FORGOTTEN | changes
    rows = {one.arm.digest: finished_row(one.arm, target=target(one), forgotten=forgotten[one.group]) for one in arms}
    return [sentence for sentence in self_replay("gsm8k", finished(arms, rows)) if sentence.startswith("10%")]


def test_the_ratio_and_the_goal() -> None:
    first, held, both, alone, beside, *matched, removed = said({})
    assert first.startswith("10%: self forgets x 1.2000 of what real does (goal 1.25: reached): 0.2400 against 0.2000")
    assert "self, distillation forgets x 0.6000 of what real does (goal 1.25: reached)" in held
    assert "self, distillation forgets x 1.2000 of what real, distillation does: 0.1200 against 0.1000" in both
    assert "self, parent alone forgets x 0.4500 of what real does (goal 1.25: reached): 0.0900 against 0.2000" in alone
    assert alone.endswith("the target's loss differs by 0.1000.")
    assert "self, parent alone forgets x 0.9000 of what real, distillation does: 0.0900 against 0.1000" in beside
    assert len(matched) == 3
    assert removed == "10%: of what is forgotten without replay, self replay 76% and real replay 80% removes."


def test_at_the_same_target_loss_against_the_shares_of_real_text() -> None:
    """Real text goes through (1.9, 1.0), (2.0, 0.2) and (2.2, 0.04): at 2.1 it forgets 0.12."""
    *_, matched, _ = said({})
    assert matched == "10%: at the same target loss self, parent alone forgets x 0.7500 of the frontier of real replay."
    *_, matched, _ = said({}, alone_at=2.3)
    assert matched.startswith("10%: at the same target loss there is nothing to hold self, parent alone against.")
    assert matched.endswith("Left out: seed 0: not reached: every point of the frontier learns the target better.")
    *_, matched, _ = said({"real, for the frontier": 0.0}, alone_at=2.2)
    assert matched.endswith("Left out: seed 0: the frontier forgets nothing there.")


@pytest.mark.parametrize(("own", "verdict"), [(0.25, "reached"), (0.2501, "NOT reached")])
def test_the_goal_is_inclusive(own: float, verdict: str) -> None:
    assert f"(goal 1.25: {verdict})" in said({"self": own})[0]


def test_nothing_is_said_of_what_has_not_run_or_came_to_no_end() -> None:
    arms = arms_of("l", "gsm8k", 1)
    real = {one.arm.digest: finished_row(one.arm, target=2.0, forgotten=0.2) for one in arms if one.group == "real"}
    assert self_replay("gsm8k", finished(arms, real)) == []
    runs = [replace(run, row={**run.row, "points": []}) for run in finished(arms, real)]
    assert self_replay("gsm8k", runs) == []
