"""GGUF, the format of llama.cpp, into a Hugging Face folder that Retain opens, by transformers and the `gguf` package.

Quantised tensors become float32: their rounding stays, and is where training begins. What comes out says nothing of a
quantisation, since nothing in it is quantised.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from model.errors import BadSource
from model.tokenization.tokenizer_files import TOKENIZER_CONFIG_FILE

MAGIC = b"GGUF"
_HOW_OPENED = ("is_local", "local_files_only", "name_or_path")


def convert_gguf(file: Path, folder: Path) -> None:
    """Writes config, safetensors (float32) and tokenizer with its chat template of a GGUF file to `folder`, which
    appears whole or not at all.

    Raises BadSource for a file that is no GGUF, for a folder that is there, and where the package `gguf` is not.
    """
    _check(file, folder)
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where, name = str(file.parent), file.name
    try:
        opened: Any = AutoModelForCausalLM.from_pretrained(where, gguf_file=name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(where, gguf_file=name)
    except (ValueError, KeyError, NotImplementedError, OSError) as error:
        raise BadSource(str(file), f"{type(error).__name__}: {error}", "a GGUF file that transformers knows") from error
    facts = opened.config.to_dict()
    facts.pop("quantization_config", None)
    plain = type(opened)(type(opened.config).from_dict(facts))
    plain.load_state_dict(opened.state_dict())
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.partial-", dir=folder.parent))
    try:
        plain.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        _forget_where(partial / TOKENIZER_CONFIG_FILE)
        partial.chmod(0o755)
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _forget_where(file: Path) -> None:
    """Drops what says how the tokenizer was opened and nothing of what it is: the same file gives the same folder."""
    facts = json.loads(file.read_text(encoding="utf-8"))
    kept = {key: value for key, value in facts.items() if key not in _HOW_OPENED}
    file.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _check(file: Path, folder: Path) -> None:
    if not file.is_file():
        raise BadSource(str(file), "no such file", "a GGUF file")
    with file.open("rb") as stream:
        begins = stream.read(len(MAGIC))
    if begins != MAGIC:
        raise BadSource(str(file), f"a file that begins with {begins!r}", f"a GGUF file, which begins with {MAGIC!r}")
    if folder.exists():
        raise BadSource(str(folder), "a folder that is there", "a new folder")
    if importlib.util.find_spec("gguf") is None:
        raise BadSource("gguf", "no such package", "the package that reads GGUF files (pip install 'retain[gguf]')")
