"""Published rows: the same come back, what is there already stays, and the file that is shipped makes the tables."""

import json
from pathlib import Path

import pytest

from model.experiments.__main__ import main
from model.experiments.pool import read_rows
from model.experiments.published import FILE, publish, take_over


def put(root: Path, digest: str, **values: object) -> None:
    (root / "rows").mkdir(parents=True, exist_ok=True)
    (root / "rows" / f"{digest}.json").write_text(json.dumps({"digest": digest, **values}))


def test_rows_come_back_and_the_same_rows_make_the_same_bytes(tmp_path: Path) -> None:
    first, second, file = tmp_path / "first", tmp_path / "second", tmp_path / "rows.gz"
    put(first, "b", tokens=2)
    put(first, "a", tokens=1)
    assert publish(first, file) == 2
    written = file.read_bytes()
    assert take_over(second, file) == 2
    assert read_rows(second) == read_rows(first)
    assert publish(second, file) == 2
    assert file.read_bytes() == written


def test_a_row_that_is_there_stays(tmp_path: Path) -> None:
    first, second, file = tmp_path / "first", tmp_path / "second", tmp_path / "rows.gz"
    put(first, "a", tokens=1)
    publish(first, file)
    put(second, "a", tokens=7)
    assert take_over(second, file) == 0
    assert read_rows(second)["a"]["tokens"] == 7


def test_the_shipped_rows_are_of_known_arms_and_print_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--only", "i", "--out", str(tmp_path), "--published", "--table-only"]
    assert main([*options, "--gate", "services.orchestrator.experiment_gate:experiment_gate"]) == 0
    table = capsys.readouterr().out
    assert FILE.stat().st_size < 1_000_000
    for domain in ("gsm8k", "scitldr", "code"):
        assert f"(i) Defaults: controller, distillation, and the score that stop is compared with: {domain}" in table
    kept = [line for line in table.splitlines() if line.startswith("| loop | ANTICIPATE, distillation, stop on PROJ")]
    assert len(kept) == 3
    assert all("| 3/3 |" in line for line in kept)
