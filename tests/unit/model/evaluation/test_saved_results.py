"""What changed since a saved measurement: the untouched model exactly 0, ratios worked by hand, other sets refused."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from model.cli.evaluate import main
from model.errors import BadSource
from model.evaluation.perplexity import SetResult, UnitResult
from model.evaluation.saved_results import changes, changes_table, save_results, saved_results


def result(nats: list[float], *, name: str = "stories", digest: str = "d" * 64) -> SetResult:
    """Documents of two tokens each, with these nats."""
    units = [UnitResult(one, 2, 8) for one in nats]
    tokens, total = 2 * len(nats), math.fsum(nats)
    return SetResult(
        name=name,
        digest=digest,
        documents=len(nats),
        tokens=tokens,
        bytes=8 * len(nats),
        nats=total,
        loss_nats=total / tokens,
        perplexity=math.exp(total / tokens),
        bits_per_byte=total / math.log(2) / (8 * len(nats)),
        units=units,
    )


def test_a_file_brings_back_what_was_measured(tmp_path: Path) -> None:
    found = [result([1.0, 2.5]), result([3.0], name="chat")]
    save_results(tmp_path / "new" / "before.json", found)
    assert saved_results(tmp_path / "new" / "before.json") == found


def test_every_document_worse_by_the_same_is_a_ratio_without_width() -> None:
    """.2 nats more for two tokens are .1 a token: e^.1 - 1 = 10.517 %, whichever documents are drawn."""
    before = result([2.0 + 0.01 * n for n in range(60)])
    now = result([2.2 + 0.01 * n for n in range(60)])
    (found,) = changes([now], [before], where="before.json")
    assert found.ratio == pytest.approx(0.105171, abs=1e-6)
    assert found.ratio_low == pytest.approx(found.ratio)
    assert found.ratio_high == pytest.approx(found.ratio)
    assert found.units == 60
    assert "+10.52%" in changes_table([found])


def test_few_documents_have_no_interval() -> None:
    (found,) = changes([result([2.0] * 49)], [result([1.0] * 49)], where="before.json")
    assert found.ratio == pytest.approx(math.expm1(0.5))
    assert (found.ratio_low, found.ratio_high) == (None, None)
    assert "under 50 documents" in changes_table([found])


def test_other_sets_are_refused(tmp_path: Path) -> None:
    now = result([1.0] * 50)
    with pytest.raises(BadSource, match=r"before.json.*another set stories"):
        changes([now], [replace(now, digest="e" * 64)], where="before.json")
    with pytest.raises(BadSource, match=r"no results for stories.*there: chat"):
        changes([now], [replace(now, name="chat")], where="before.json")
    for text in ("", "[]", "{}", '{"version": 1, "sets": [{"name": "x"}]}', '{"version": 7}'):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(BadSource, match=r"bad.json"):
            saved_results(tmp_path / "bad.json")


def test_an_untouched_model_has_forgotten_exactly_nothing(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = (shared_data / "general" / "tinystories.val.jsonl").read_text(encoding="utf-8").splitlines()[:55]
    (tmp_path / "stories.jsonl").write_text("\n".join(json.dumps({"text": json.loads(r)["text"][:200]}) for r in rows))
    model, saved = str(shared_data / "models" / "stories260K-hf"), str(tmp_path / "before.json")
    given = [model, "--data", str(tmp_path / "stories.jsonl"), "--context", "128"]
    assert main([*given, "--save", saved]) == 0
    capsys.readouterr()
    assert main([*given, "--against", saved, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["against"]
    assert (found["ratio"], found["ratio_low"], found["ratio_high"], found["units"]) == (0.0, 0.0, 0.0, 55)
    assert main([*given[:-1], "64", "--against", saved]) == 2
    assert "another set stories" in capsys.readouterr().err
