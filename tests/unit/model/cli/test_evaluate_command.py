"""`python -m model.cli.evaluate MODEL --data FILE --floor`: what the gauge resolves, as it is printed."""

import json
import re
from pathlib import Path

import pytest

from model.cli.evaluate import main

REPEAT = re.compile(r"^  (\d+) rows, (\d+) threads, (\d+) workers ([+-][0-9.e+-]+)$")
FLOOR = re.compile(r"^stories: noise floor ([0-9.e+-]+) nats a token, a score of ([0-9.e+-]+)$")


@pytest.fixture
def stories(shared_data: Path, tmp_path: Path) -> Path:
    lines = (shared_data / "general" / "tinystories.val.jsonl").read_text(encoding="utf-8").splitlines()[:12]
    file = tmp_path / "stories.txt"
    file.write_text("\n\n".join(json.loads(line)["text"] for line in lines), encoding="utf-8")
    return file


def test_the_floor_holds_every_repeat_and_the_same_way_again_is_exactly_nothing(
    shared_data: Path, stories: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = shared_data / "models" / "stories260K-hf"
    assert main([str(model), "--data", str(stories), "--context", "128", "--floor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (floor,) = [found for line in lines if (found := FLOOR.match(line))]
    repeats = [found for line in lines if (found := REPEAT.match(line))]
    assert "  the same way again +0.0e+00" in lines
    settings = {(int(one[1]), int(one[2]), int(one[3])) for one in repeats}
    assert len(settings) == len(repeats) >= 3  # other batch sizes, threads and workers, none of them twice
    assert {workers for _, _, workers in settings} == {1, 3}
    nats, score = float(floor[1]), float(floor[2])
    # Printed with two digits, so a twentieth may be lost to rounding.
    assert all(2 * abs(float(one[4])) <= nats * 1.1 for one in repeats)
    assert 0.0 < nats < 1e-4
    assert score == pytest.approx(nats, rel=0.1)


def test_with_json_the_floor_goes_to_standard_error(
    shared_data: Path, stories: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = shared_data / "models" / "stories260K-hf"
    assert main([str(model), "--data", str(stories), "--context", "128", "--floor", "--json"]) == 0
    printed = capsys.readouterr()
    assert [found["name"] for found in json.loads(printed.out)["sets"]] == ["stories"]
    assert FLOOR.match(printed.err.splitlines()[0])
