"""The texts of the adaptation: sizes, and nothing that is measured is trained on."""

import json
from pathlib import Path

import pytest

from ui.adapt.texts import DOCUMENTS, LONGEST, MEASURED, PIECE, pieces, write_texts
from ui.client.errors import BadInput


def rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def test_every_set_has_its_documents_and_shares_none_with_the_training(shared_data: Path, tmp_path: Path) -> None:
    write_texts(shared_data, tmp_path)
    trained = {str(row["text"]) for name in ("math", "encyclopaedia") for row in rows(tmp_path / f"train/{name}.jsonl")}
    assert len(trained) > 8_000
    for name in MEASURED:
        found = rows(tmp_path / f"measured/{name}.jsonl")
        assert len(found) == DOCUMENTS >= 160
        said = [str(row.get("text") or row["messages"]) for row in found]
        assert len(set(said)) >= 160
        assert not set(said) & trained
    for name in ("encyclopaedia", "stories"):
        assert all(len(str(row["text"])) <= LONGEST for row in rows(tmp_path / f"measured/{name}.jsonl"))
    replayed = " ".join(str(row["text"]) for row in rows(tmp_path / "train/encyclopaedia.jsonl"))
    assert not any(str(row["text"]) in replayed for row in rows(tmp_path / "measured/encyclopaedia.jsonl"))


def test_pieces_are_whole_sentences() -> None:
    assert list(pieces("One is. Two are!  Three were? Four", 17)) == ["One is. Two are!", "Three were? Four"]
    assert list(pieces("a long sentence of many words. Short.", 12)) == ["a long", "Short."]
    assert all(len(one) <= PIECE for one in pieces("word " * 500, PIECE))


def test_data_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"gsm8k.train.jsonl.*no such file"):
        write_texts(tmp_path, tmp_path / "out")
