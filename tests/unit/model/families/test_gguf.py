"""GGUF in, a Hugging Face folder out: a tiny random Llama that the `gguf` package writes where it is installed; what is
no such file is refused everywhere."""

from pathlib import Path

import pytest

from model.cli.gguf import main
from model.errors import BadSource
from model.families.gguf import convert_gguf


def test_what_is_no_gguf_is_refused_before_anything_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.gguf").write_bytes(b"PK\x03\x04 a zip")
    with pytest.raises(BadSource, match=r"begins with b'PK.*which begins with b'GGUF'"):
        convert_gguf(tmp_path / "x.gguf", tmp_path / "out")
    with pytest.raises(BadSource, match="no such file"):
        convert_gguf(tmp_path / "y.gguf", tmp_path / "out")
    (tmp_path / "y.gguf").write_bytes(b"GGUF")
    with pytest.raises(BadSource, match="a folder that is there"):
        convert_gguf(tmp_path / "y.gguf", tmp_path)
    assert main([str(tmp_path / "x.gguf"), str(tmp_path / "out")]) == 2
    assert "expected a GGUF file" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.gguf", "y.gguf"]
