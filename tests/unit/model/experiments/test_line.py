"""One line, measured finely: its ends are parent and result, and what is stored agrees with the published rows."""

import gzip
import json
from pathlib import Path

import pytest

from model.cli.figures import interpolation
from model.experiments.arms import Arm
from model.experiments.line import ARM, FILE, POINTS, main, measure_line
from model.experiments.published import FILE as PUBLISHED
from model.experiments.stage_run import Bench
from tests.unit.model.experiments.tiny import SIZES, tiny_shared


def test_at_its_ends_lie_the_parent_and_the_result(shared_data: Path, tmp_path: Path) -> None:
    bench = Bench(shared=tiny_shared(shared_data, tmp_path / "shared"), root=tmp_path / "out", sizes=SIZES)
    arm = Arm(domain="gsm8k", seed=0, general_share=0.25, steps=3, rows=2, context=32)
    line = measure_line(arm, bench, (0.0, 0.5))
    parent, between, result = line["points"]
    assert [one["point"] for one in line["points"]] == [0.0, 0.5, 1.0]
    assert parent["forgetting"] == 0.0, "the same weights have the same losses, bit for bit"
    assert result["domain_perplexity"] < between["domain_perplexity"] < parent["domain_perplexity"]


def test_what_is_stored_ends_where_the_published_run_of_the_arm_ended() -> None:
    line = json.loads(FILE.read_text())
    rows = (json.loads(row) for row in gzip.decompress(PUBLISHED.read_bytes()).decode().splitlines())
    theirs = next(row for row in rows if row["digest"] == ARM.digest == line["digest"])
    ended = theirs["points"][0]["report"]["general"]
    assert [one["point"] for one in line["points"]] == [*POINTS, 1.0]
    assert line["points"][0]["forgetting"] == 0.0
    assert line["points"][-1]["forgetting"] == pytest.approx(ended["ratio"], rel=1e-3)
    assert line["points"][-1]["forgetting_low"] == pytest.approx(ended["ratio_low"], rel=1e-2)
    forgotten = [one["forgetting"] for one in line["points"]]
    assert max(forgotten[:5]) < max(forgotten[5:]), "towards the parent most is given back"


def test_the_guides_figure_is_the_nearest_point_that_is_stored(capsys: pytest.CaptureFixture[str]) -> None:
    assert interpolation("0.78")["at"]["point"] == 0.8
    assert interpolation("0")["at"]["forgetting"] == 0.0
    assert main(["--stored"]) == 0
    printed = capsys.readouterr().out
    assert f"{interpolation('1')['at']['forgetting']:+.1%}" in printed
    assert printed.count("\n") == 2 + len(interpolation("0")["points"])
