"""The experiments' second column: models measured on text that no arm replays, and which remedies protect what."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model.checkpointing.hf import load_pretrained, save_pretrained
from model.evaluation.perplexity import SetResult, UnitResult
from model.experiments.arms import Arm
from model.experiments.catalogue import share_arms
from model.experiments.findings.results import Finished
from model.experiments.findings.tables import report
from model.experiments.gauges import compare, measure_missing, read_gauges, remedies, with_gauges
from model.gauge import KINDS
from tests.unit.model.experiments.tiny import finished_row, tiny_shared

BARE = Arm(domain="gsm8k", seed=0)


def gauges_of(narrative: float, encyclopaedic: float, *, unknown: float = 9.9) -> dict[str, Any]:
    """Forgotten nats of two kinds that the base knew, and of two that it did not."""

    def one(nats: float, bits: float) -> dict[str, float]:
        return {"forgetting_nats": nats, "baseline_bits_per_byte": bits, "bzip2_bits_per_byte": 3.0}

    known = {"narrative": one(narrative, 2.0), "encyclopaedic": one(encyclopaedic, 2.9)}
    return known | {"code": one(unknown, 8.0), "conversation": one(unknown, 3.0)}


def run_of(arm: Arm, label: str, *, target: float, forgotten: float) -> Finished:
    return Finished(group="arm", label=label, arm=arm, row=finished_row(arm, target=target, forgotten=forgotten))


def test_a_remedy_that_helps_only_what_it_replays_is_told_from_one_that_helps_both() -> None:
    """Without: .5 replayed, .4 and .2 never. Replay: .1 -> 80 % kept, .36 and .2 -> 10 % and 0 %. Half the rate: .25,
    .2 and .1 -> 50 % of all three."""
    replayed, slow = replace(BARE, general_share=0.1), replace(BARE, learning_rate=5e-4)
    runs = [
        run_of(BARE, "bare", target=2.0, forgotten=0.5),
        run_of(replayed, "replay", target=2.05, forgotten=0.1),
        run_of(slow, "slow", target=2.2, forgotten=0.25),
    ]
    figures = {
        BARE.digest: gauges_of(0.4, 0.2),
        replayed.digest: gauges_of(0.36, 0.2),
        slow.digest: gauges_of(0.2, 0.1),
    }
    replay, rate = remedies(runs, figures)
    assert replay.startswith("arm, replay: keeps 80% of what is forgotten of the general source without it")
    assert (
        "encyclopaedic 0%, narrative 10%, for +0.0500 nats of the target: it protects mostly what it replays" in replay
    )
    assert "keeps 50%" in rate
    assert "encyclopaedic 50%, narrative 50%, for +0.2000 nats of the target: it protects both" in rate
    assert "code" not in replay + rate  # the base needed more bits than bzip2
    assert "conversation" not in replay + rate  # and as many: no fewer


def test_text_that_got_better_is_not_told_as_more_than_all_of_it() -> None:
    replayed = replace(BARE, general_share=0.5)
    runs = [
        run_of(BARE, "bare", target=2.0, forgotten=0.5),
        run_of(replayed, "replay", target=2.1, forgotten=-0.1),
    ]
    (said,) = remedies(runs, {BARE.digest: gauges_of(0.4, 0.2), replayed.digest: gauges_of(-0.1, 0.1)})
    assert "keeps all (better than before) of what is forgotten of the general source" in said
    assert "encyclopaedic 50%, narrative all (better than before)" in said


def test_another_seed_or_domain_is_no_baseline() -> None:
    replayed = replace(BARE, general_share=0.1, seed=1)
    runs = [
        run_of(BARE, "bare", target=2.0, forgotten=0.5),
        run_of(replayed, "replay", target=2.0, forgotten=0.1),
    ]
    assert remedies(runs, {run.arm.digest: gauges_of(0.4, 0.2) for run in runs}) == []


def test_both_columns_stand_side_by_side_and_unmeasured_arms_are_left_out() -> None:
    arms = share_arms("gsm8k", 0)
    none, some = (next(a.arm for a in arms if a.label == label) for label in ("0%", "5%"))
    rows = {arm.digest: finished_row(arm, target=2.0, forgotten=f) for arm, f in ((none, 0.5), (some, 0.2))}
    plan = {("a", "gsm8k"): arms}
    made = with_gauges(report(plan, rows), plan, rows, {none.digest: gauges_of(0.4, 0.25)})
    assert "## (a) Replayed and never replayed: gsm8k" in made.markdown
    assert "| share | 0% | 1 | 0.5000 | 0.2500 | 0.4000 | (9.9000) | (9.9000) |" in made.markdown
    entry = next(entry for entry in made.data if "never_replayed" in entry)
    assert [line["label"] for line in entry["never_replayed"]] == ["0%"]
    assert with_gauges(report(plan, rows), plan, rows, {}) == report(plan, rows)


def test_a_difference_is_taken_unit_by_unit() -> None:
    """60 units of 10 tokens, each a nat a token dearer: forgotten is 1 nat, the interval has no width at e - 1."""

    def result(loss: float) -> SetResult:
        units = [UnitResult(nats=loss * 10, tokens=10, bytes=30)] * 60
        return SetResult(
            name="gauge-narrative", digest="d", documents=60, tokens=600, bytes=1800, nats=loss * 600, loss_nats=loss,
            perplexity=math.exp(loss), bits_per_byte=loss / math.log(2) / 3, units=units,
        )  # fmt: skip

    made = compare(result(2.0), result(3.0))
    assert made["forgetting_nats"] == pytest.approx(1.0)
    assert made["ratio_low"] == pytest.approx(math.e - 1)
    assert made["ratio_high"] == pytest.approx(math.e - 1)
    assert made["units"] == 60


def test_a_finished_model_is_measured_once_and_an_unchanged_one_forgot_nothing(
    shared_data: Path, tmp_path: Path
) -> None:
    shared, root, arm = tiny_shared(shared_data, tmp_path / "shared"), tmp_path / "out", replace(BARE, context=128)
    save_pretrained(load_pretrained(shared / "models/stories260K-hf"), root / "models" / arm.digest)
    unfinished = replace(BARE, seed=7)
    assert measure_missing([arm, unfinished], shared=shared, root=root, processes=1) == 1
    found = read_gauges(root)
    assert list(found) == [arm.digest]
    assert [found[arm.digest][kind]["forgetting_nats"] for kind in KINDS] == [0.0] * len(KINDS)
    assert all(found[arm.digest][kind]["units"] >= 100 for kind in KINDS)
    assert (
        found[arm.digest]["code"]["baseline_bits_per_byte"] > found[arm.digest]["narrative"]["baseline_bits_per_byte"]
    )
    path = root / "gauges" / f"{arm.digest}.json"
    before = path.read_bytes()
    assert measure_missing([arm, arm], shared=shared, root=root, processes=1) == 0
    assert path.read_bytes() == before
    assert json.loads(before)["narrative"]["ratio_low"] == 0.0
