"""Short runs on a few real documents: what a row tells, and that asking again does only what is missing."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from model.checkpointing.hf import load_pretrained
from model.errors import BadCheckpoint, BadConfig
from model.experiments.arms import Arm, GateRules
from model.experiments.gate import Measured, Start, load_factory
from model.experiments.pool import missing, read_rows, run_missing
from model.experiments.stage_run import FISHER_ROWS, POINTS, Bench, run_arm
from model.training.job import Directive, Verdict
from tests.unit.model.experiments.tiny import SIZES, finished_row, tiny_shared, write_row

ARM = Arm(domain="gsm8k", seed=0, general_share=0.25, steps=3, rows=2, context=32)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def bench(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("experiments")
    return Bench(shared=tiny_shared(shared_data, folder / "shared"), root=folder / "out", sizes=SIZES)


@pytest.fixture(scope="module")
def row(bench: Bench) -> dict[str, Any]:
    return run_arm(ARM, bench)


def test_a_row_tells_what_was_spent_and_where_it_ended(row: dict[str, Any], bench: Bench) -> None:
    assert (row["outcome"], row["tokens"], row["steps"], row["plays"]) == ("ACCEPTED", 3 * 2 * 32, 3, 1)
    assert [entry["step"] for entry in row["history"]] == [1, 2, 3]
    assert [entry["point"] for entry in row["points"]] == [1.0, *reversed(POINTS)]
    sets = row["points"][0]["report"]
    assert sets["gsm8k"]["gain_nats"] > 0
    assert sets["general"]["ratio"] == pytest.approx(math.expm1(sets["general"]["forgetting_nats"]))
    assert load_pretrained(bench.models / ARM.digest).config.vocab_size == 512


def test_a_run_repeats_itself_bit_by_bit(row: dict[str, Any], bench: Bench) -> None:
    again = run_arm(ARM, bench)
    assert {**again, "seconds": 0} == {**row, "seconds": 0}


def test_the_line_to_the_parent_gives_back_what_was_learned(row: dict[str, Any]) -> None:
    losses = [entry["report"]["gsm8k"]["loss_nats"] for entry in row["points"]]
    assert losses == sorted(losses)


def test_the_tokens_of_a_fisher_estimate_come_off_the_steps(bench: Bench) -> None:
    """64 rows of 32 tokens are 32 steps of 2 rows: 35 steps leave 3."""
    arm = Arm(domain="gsm8k", seed=0, steps=35, rows=2, context=32, penalty="ewc", strength=0.1)
    ewc = run_arm(arm, bench)
    assert ewc["steps"] == 3
    assert ewc["tokens"] == FISHER_ROWS * 32 + 3 * 2 * 32 == arm.tokens


def test_at_equal_compute_the_parents_passes_come_off_the_steps(bench: Bench) -> None:
    """A quarter of replay, a third of a step for a pass: 12 / (1 + .25 / 3) = 11.08, so 11 steps of 64 tokens,
    and 704 x .25 / 3 = 58.67 for the parent: 763 of 768."""
    arm = Arm(
        domain="gsm8k", seed=0, general_share=0.25, steps=12, rows=2, context=32, penalty="distill", strength=1.0,
        count_teacher=True, measure_line=False,
    )  # fmt: skip
    distilled = run_arm(arm, bench)
    assert (distilled["steps"], distilled["tokens"], distilled["plays"]) == (11, 763, 1)
    assert arm.tokens == 768


def test_a_child_starts_from_its_parents_weights_and_keeps_its_domain(row: dict[str, Any], bench: Bench) -> None:
    chat = Arm(domain="chat", seed=0, general_share=0.1, domain_share=0.1, parent=ARM, steps=3, rows=2, context=32)
    child = run_arm(chat, bench)
    assert set(child["points"][0]["report"]) == {"chat", "general", "gsm8k"}
    assert child["history"][-1]["shares"] == {"general": 0.1, "gsm8k": 0.1}
    with pytest.raises(BadCheckpoint):
        run_arm(Arm(domain="chat", seed=0, parent=Arm(domain="gsm8k", seed=9), steps=3), bench)


def test_a_late_share_holds_from_its_part_of_the_stage(bench: Bench) -> None:
    late = run_arm(Arm(**{**ARM.as_dict(), "gate": GateRules(), "late_share": 0.5, "late_from": 0.6}), bench)
    assert [entry["shares"]["general"] for entry in late["history"]] == [0.25, 0.25, 0.5]


def test_a_rollback_is_spent_and_the_next_play_is_shorter(bench: Bench) -> None:
    """Back to the start after 3 of 30 steps: 33 are spent. Played again with 30 x 30 / 33 = 27 steps it is 3 + 27."""
    arm = Arm(**{**ARM.as_dict(), "steps": 30, "gate": GateRules(controller="LADDER")})
    gated = run_arm(arm, Bench(shared=bench.shared, root=bench.root, sizes=SIZES, factory=_BackOnce))
    assert (gated["outcome"], gated["plays"]) == ("ACCEPTED", 2)
    assert gated["steps"] == 27
    assert gated["tokens"] == arm.tokens
    assert [entry["verdict"] for entry in gated["history"]].count("ROLL_BACK") == 1
    assert gated["history"][-1]["shares"]["general"] == 0.5


class _BackOnce:
    """Goes back to the start at the first boundary, with more replay, and accepts the second attempt."""

    def __init__(self, arm: Arm) -> None:
        self.arm, self.attempts, self.outcome = arm, 0, ""
        self.decisions: list[dict[str, Any]] = []

    def begin(self) -> Start | None:
        self.attempts += 1
        share = 0.1 if self.attempts == 1 else 0.5
        return None if self.outcome else Start(boundary=0, shares={"general": share}, lr_scale=1.0)

    def judge(self, boundary: int, step: int, train_loss_nats: float, sets: Sequence[Measured]) -> Directive:
        assert {one.name for one in sets} == {"gsm8k", "general"}
        if self.attempts == 1:
            return Directive(verdict=Verdict.ROLL_BACK)
        self.outcome = "ACCEPTED" if step == self.arm.steps else ""
        return Directive(verdict=Verdict.ACCEPT if self.outcome else Verdict.CONTINUE)

    def broke(self, step: int, message: str) -> None:
        self.outcome = "FAILED"


def test_a_gated_arm_without_a_gate_is_refused(bench: Bench) -> None:
    with pytest.raises(BadConfig, match="--gate"):
        run_arm(Arm(domain="gsm8k", seed=0, gate=GateRules(controller="LADDER")), bench)
    with pytest.raises(BadConfig, match="module:function"):
        load_factory("model.experiments:nothing")


def test_only_what_has_no_row_is_missing_parents_first(tmp_path: Path) -> None:
    first, other = Arm(domain="gsm8k", seed=0), Arm(domain="gsm8k", seed=1)
    chat = Arm(domain="chat", seed=0, parent=first)
    assert missing([chat, other, first], tmp_path) == [first, chat, other]
    write_row(tmp_path, finished_row(first, target=2.0, forgotten=0.1))
    assert missing([chat, other, first], tmp_path) == [chat, other]


def test_asking_again_runs_nothing(tmp_path: Path) -> None:
    write_row(tmp_path, finished_row(ARM, target=2.0, forgotten=0.1))
    assert run_missing([ARM], shared=tmp_path / "absent", root=tmp_path, gate="") == 0
    assert read_rows(tmp_path)[ARM.digest]["tokens"] == ARM.tokens
