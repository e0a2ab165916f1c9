"""`python -m model.cli.prepare`: what it prints, and that bad input is named and leaves nothing behind."""

from pathlib import Path

import pytest

from model.cli.prepare import main, progress_bar
from model.tokenization.tokenizer import Tokenizer


def test_it_packs_a_source_and_finds_it_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = '--options={"limit_documents": 300}'
    arguments = ["sample://math", "--out", str(tmp_path), "--vocab-size", "300", "--context", "64", options]
    assert main(arguments) == 0
    first = capsys.readouterr().out
    assert "overlap of control with training: 0 of" in first
    assert len(list((tmp_path / "shards").iterdir())) == 1
    assert Tokenizer.load(tmp_path / "tokenizer").vocab_size <= 300
    assert main([*arguments, "--tokenizer", str(tmp_path / "tokenizer")]) == 0
    assert capsys.readouterr().out == first


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.txt", b"", "an empty file"),
        ("latin.txt", b"caf\xe9\n", "not UTF-8"),
        ("broken.jsonl", b'{"text": "one"}\n{"text": "two"\n', "broken.jsonl:2"),
        ("field.jsonl", b'{"body": "one"}\n', "['body']"),
        ("chat.jsonl", b'{"messages": [{"role": "user", "content": "hi"}]}\n', "without an assistant turn"),
    ],
)
def test_bad_files_are_named_and_leave_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes, said: str
) -> None:
    Tokenizer.train_bpe(["some text"], 262).save(tmp_path / "tokenizer")
    (tmp_path / name).write_bytes(content)
    out = tmp_path / "out"
    assert main([str(tmp_path / name), "--out", str(out), "--tokenizer", str(tmp_path / "tokenizer")]) == 2
    assert said in capsys.readouterr().err
    assert not [path for path in out.rglob("*") if path.is_file()]


def test_the_bar_follows_the_bytes_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with progress_bar("packing") as progress:
        assert progress is None
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress_bar("packing") as progress:
        assert progress is not None
        progress(10, 100)
