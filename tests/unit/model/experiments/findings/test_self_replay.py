"""(l): self replay against real replay of the same share, in pairs of seeds; the goal by hand."""

from dataclasses import replace

import pytest

from model.experiments.catalogue import arms_of
from model.experiments.findings.results import finished
from model.experiments.findings.self_replay import self_replay
from tests.unit.model.experiments.tiny import finished_row

FORGOTTEN = {"none": 1.0, "real": 0.2, "self": 0.24, "real, distillation": 0.1, "self, distillation": 0.12}


def said(changes: dict[str, float]) -> list[str]:
    arms = arms_of("l", "gsm8k", 1)
    forgotten = FORGOTTEN | changes
    rows = {one.arm.digest: finished_row(one.arm, target=2.0, forgotten=forgotten[one.group]) for one in arms}
    return [sentence for sentence in self_replay("gsm8k", finished(arms, rows)) if sentence.startswith("10%")]


def test_the_ratio_and_the_goal() -> None:
    first, held, both, removed = said({})
    assert first.startswith("10%: self forgets x 1.2000 of what real does (goal 1.25: reached): 0.2400 against 0.2000")
    assert "self, distillation forgets x 0.6000 of what real does (goal 1.25: reached)" in held
    assert "self, distillation forgets x 1.2000 of what real, distillation does: 0.1200 against 0.1000" in both
    assert removed == "10%: of what is forgotten without replay, self replay 76% and real replay 80% removes."


@pytest.mark.parametrize(("own", "verdict"), [(0.25, "reached"), (0.2501, "NOT reached")])
def test_the_goal_is_inclusive(own: float, verdict: str) -> None:
    assert f"(goal 1.25: {verdict})" in said({"self": own})[0]


def test_nothing_is_said_of_what_has_not_run_or_came_to_no_end() -> None:
    arms = arms_of("l", "gsm8k", 1)
    real = {one.arm.digest: finished_row(one.arm, target=2.0, forgotten=0.2) for one in arms if one.group == "real"}
    assert self_replay("gsm8k", finished(arms, real)) == []
    runs = [replace(run, row={**run.row, "points": []}) for run in finished(arms, real)]
    assert self_replay("gsm8k", runs) == []
