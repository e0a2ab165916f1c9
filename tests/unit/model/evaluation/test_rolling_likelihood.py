"""Documents measured one by one, as lm-evaluation-harness does it; files measured byte for byte."""

import json
import math
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from model.checkpointing.hf import load_pretrained
from model.cli.evaluate import main
from model.data.measured_texts import measured_documents
from model.document import Document
from model.errors import BadConfig, BadSource
from model.evaluation.rolling_likelihood import evaluate_rolling, rolling_windows
from model.tokenization.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    return shared_data / "models" / "stories260K-hf"


@pytest.mark.parametrize(
    ("ids", "context", "windows"),
    [
        # By hand: prefix 0, then the windows of the harness, the last of which begins earlier to be a full one.
        ([1, 2, 3], 8, [([0, 1, 2, 3], 3)]),
        ([1, 2, 3, 4], 4, [([0, 1, 2, 3, 4], 4)]),
        ([1, 2, 3, 4, 5], 4, [([0, 1, 2, 3, 4], 4), ([1, 2, 3, 4, 5], 1)]),
        ([1, 2, 3, 4, 5, 6, 7], 3, [([0, 1, 2, 3], 3), ([3, 4, 5, 6], 3), ([4, 5, 6, 7], 1)]),
        ([1, 2], 1, [([0, 1], 1), ([1, 2], 1)]),
        ([], 4, []),
    ],
)
def test_windows_by_hand(ids: list[int], context: int, windows: list[tuple[list[int], int]]) -> None:
    assert rolling_windows(ids, 0, context) == windows


@pytest.mark.parametrize("bare", [False, True])
def test_the_sum_is_that_of_transformers_token_by_token(folder: Path, bare: bool) -> None:
    texts = ["Once upon a time, there was a little girl.", "One day " * 60, "x"]
    theirs, words = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    context, expected = 64, []
    for text in texts:
        ids = words(text, add_special_tokens=not bare)["input_ids"]
        nats = 0.0
        for start in range(0, len(ids), context):
            end = min(start + context, len(ids))
            window = [words.bos_token_id, *ids][max(0, end - context) : end + 1]
            with torch.no_grad():
                log_p = theirs(torch.tensor([window[:-1]])).logits[0].log_softmax(-1)
            count = end - start
            nats -= float(log_p[-count:].gather(1, torch.tensor(window[-count:])[:, None]).sum())
        expected.append(nats)
    documents = [Document(text=text, origin=text[:9]) for text in texts]
    model, tokenizer = load_pretrained(folder), Tokenizer.load(folder)
    for rows in (1, 3):
        found = evaluate_rolling(model, tokenizer, "few", documents, context=context, bare=bare, batch_rows=rows)
        assert [unit.nats for unit in found.units] == pytest.approx(expected, rel=1e-4)
        size = sum(len(text) for text in texts)
        assert found.bytes == size
        assert found.bits_per_byte == pytest.approx(sum(expected) / math.log(2) / size, rel=1e-4)


def test_what_cannot_be_measured_alone_is_named(folder: Path) -> None:
    model, tokenizer = load_pretrained(folder), Tokenizer.load(folder)
    talk = Document(messages=({"role": "user", "content": "x"},), origin="o")
    with pytest.raises(BadSource, match="conversations"):
        evaluate_rolling(model, tokenizer, "x", [talk], context=64)
    with pytest.raises(BadConfig, match="context: got 1024"):
        evaluate_rolling(model, tokenizer, "x", [Document(text="x", origin="o")], context=1024)
    with pytest.raises(BadSource, match="no token"):
        evaluate_rolling(model, tokenizer, "x", [Document(text="", origin="o")], context=64, bare=True)


def test_bare_alone_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folder), "--data", "x.txt", "--bare"]) == 2
    assert "--bare: got without --rolling" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    ["a b c. " * 214 + "no", "one\n\n\ntwo\r\nthree\n\n", "\n\n lead", "tail \n\n\n", "é 漢\u2028 x"],
    ids=["no newline", "line ends", "leading", "trailing", "unicode"],
)
def test_a_text_is_measured_as_it_is(
    folder: Path, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "story.txt"
    path.write_bytes(text.encode())
    names = {(): "joined", ("--rolling",): "rolling", ("--rolling", "--bare"): "rolling bare"}
    for extra, name in names.items():
        assert main([str(folder), "--data", str(path), "--json", "--output", str(tmp_path / "out"), *extra]) == 0
        printed = json.loads(capsys.readouterr().out)
        (result,) = printed["sets"]
        assert result["bytes"] == len(text.encode())
        assert result["documents"] == 1
        assert printed["method"]["name"] == name
    (row,) = measured_documents(str(path))
    assert row.text == text
    tokens = len(Tokenizer.load(folder).encode(text, add_special_tokens=False))
    assert result["tokens"] == tokens  # the first one too, and nothing that was invented
    written = [json.loads(file.read_text()) for file in sorted((tmp_path / "out").glob("results_*.json"))]
    assert [report["method"]["name"] for report in written] == list(names.values())
    assert "lm-evaluation-harness" in written[0]["method"]["says"]


def test_1500_bytes_stay_1500(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "story.txt"
    path.write_text("Once upon a time " * 88 + "end.")
    assert path.stat().st_size == 1500
    assert main([str(folder), "--data", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sets"][0]["bytes"] == 1500


def test_a_folder_of_texts_and_rows(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n\ntwo")
    (tmp_path / "b.jsonl").write_text('{"text": "three"}\n{"text": "four"}\n')
    assert [document.text for document in measured_documents(str(tmp_path))] == ["one\n\ntwo", "three", "four"]
    assert len(measured_documents(str(tmp_path), limit=2)) == 2
    (tmp_path / "c.txt").write_bytes(b"one\ntwo \xff")
    with pytest.raises(BadSource, match=r"c\.txt:2: got byte 0xff at offset 8"):
        measured_documents(str(tmp_path))
