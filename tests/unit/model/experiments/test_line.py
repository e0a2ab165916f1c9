"""One line, measured finely: its ends are parent and result, and what is stored agrees with the table of the guide."""

import json
import math
import re
from pathlib import Path

import pytest

from deploy.site import pages
from model.cli.figures import interpolation
from model.experiments.arms import Arm
from model.experiments.line import ARM, FILE, POINTS, main, measure_line
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


def test_what_is_stored_ends_where_the_three_seeds_of_the_guides_table_ended() -> None:
    """One seed of the arm whose mean over three the guide tells: 2.0700 nats on the target, 0.1933 nats forgotten."""
    guide = (pages.ROOT / "ui/learn/experiments.md").read_text()
    target, forgotten = re.findall(r"^\| \| 10% \| ([0-9.]+) \| ([0-9.]+) \|", guide, re.MULTILINE)[0]
    line = json.loads(FILE.read_text())
    assert line["digest"] == ARM.digest, "it is the arm of now"
    assert [one["point"] for one in line["points"]] == [*POINTS, 1.0]
    first, last = line["points"][0], line["points"][-1]
    assert first["forgetting"] == 0.0
    assert math.log1p(last["forgetting"]) == pytest.approx(float(forgotten), abs=0.01)
    assert math.log(last["domain_perplexity"]) == pytest.approx(float(target), abs=0.01)
    assert max(one["forgetting"] for one in line["points"][:5]) < 0.01, "towards the parent nearly all is given back"


def test_the_guides_figure_is_the_nearest_point_that_is_stored(capsys: pytest.CaptureFixture[str]) -> None:
    assert interpolation("0.78")["at"]["point"] == 0.8
    assert interpolation("0")["at"]["forgetting"] == 0.0
    assert main(["--stored"]) == 0
    printed = capsys.readouterr().out
    assert f"{interpolation('1')['at']['forgetting']:+.1%}" in printed
    assert printed.count("\n") == 2 + len(interpolation("0")["points"])
