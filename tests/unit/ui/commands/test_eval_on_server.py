"""`retain eval --on-server`, `session.evaluate` and what both say."""

from pathlib import Path

import retain as retain_api
from retain.evaluator.v1 import resources_pb2
from tests.fakes import scripted_runs
from tests.fakes.orchestrator_service import FakePlatform

FOUND = resources_pb2.FileResult(
    file_name="mine.txt", documents=60, tokens=600, perplexity=12.345, perplexity_low=11.5, perplexity_high=13.25,
    loss_nats=2.5132, bits_per_byte=1.25, context=256, units=60, measure_seconds=3.21,
)  # fmt: skip


def _file(folder: Path, name: str = "mine.txt") -> Path:
    path = folder / name
    path.write_text("Once upon a time.")
    return path


def test_a_file_is_sent_once_and_its_figures_are_shown(retain, platform: FakePlatform, tmp_path: Path) -> None:
    scripted_runs.finished(platform, "r")
    platform.file_results["mine.txt"] = FOUND
    row = retain("checkpoints", "r", "--json").json[0]["checkpoint"]
    path = _file(tmp_path)
    first = retain("eval", row, "--data", str(path), "--on-server", "--limit", "60")
    assert first.code == 0
    assert "12.35 [11.5, 13.25]" in first.out
    assert "uploading" in first.err
    assert "60 documents, 600 tokens in windows of 256, measured in 3.2 s" in first.err
    again = retain("eval", row, "--data", str(path), "--on-server", "--context", "256", "--json")
    assert "uploading" not in again.err
    (found,) = again.json["sets"]
    assert (found["name"], found["perplexity"], found["tokens"]) == ("mine", 12.345, 600)
    (key,) = [key for key in platform.store.objects if key.endswith("mine.txt")]
    asked = [call for call in platform.calls if call.startswith("EvaluateFile")]
    assert asked == [f"EvaluateFile s3://retain{key} 0 60", f"EvaluateFile s3://retain{key} 256 0"]


def test_what_cannot_be_asked_is_told_before_anything_is_sent(retain, platform: FakePlatform, tmp_path: Path) -> None:
    scripted_runs.finished(platform, "r")
    row = retain("checkpoints", "r", "--json").json[0]["checkpoint"]
    outcome = retain("eval", str(tmp_path), "--data", str(tmp_path / "absent.txt"), "--on-server", "--rolling")
    assert outcome.code == 2
    for words in ("--rolling: got it with --on-server", "MODEL: got the folder", "--data: got"):
        assert words in outcome.err
    assert not [key for key in platform.store.objects if "uploads" in key]
    refused = retain("eval", row, "--data", str(_file(tmp_path, "paper.pdf")), "--on-server")
    assert refused.code == 2
    assert "ending in '.pdf'" in refused.err


def test_python_asks_the_same(platform: FakePlatform, tmp_path: Path) -> None:
    scripted_runs.finished(platform, "r")
    platform.file_results["mine.txt"] = FOUND
    told: list[tuple[int, int]] = []
    with retain_api.connect() as session:
        row = session.checkpoints(limit=1)[0]
        found = session.evaluate(row, _file(tmp_path), progress=lambda done, tokens: told.append((done, tokens)))
    assert (found.perplexity, found.perplexity_low, told[0]) == (12.345, 11.5, (5, 10))
