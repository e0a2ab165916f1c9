"""Other families as GGUF: transformers reads the file with the logits of the folder. One in `make test`, all in `make
test-families`."""

from pathlib import Path

import pytest

from model.families.config import from_hf
from model.families.names import FAMILIES
from model.families.reference import write_reference
from model.families.tiny import tiny_config
from model.gguf.architectures import ARCHITECTURES
from model.gguf.file import write_gguf
from model.tokenization.tokenizer import Tokenizer
from tests.unit.model.gguf.test_gguf import VOCABULARY, difference, tokenizer

__all__ = ["tokenizer"]


def family(name: str, tokenizer: Tokenizer, folder: Path) -> Path:
    """A tiny model of a family, of sizes that its GGUF form can say."""
    raw = tiny_config(name) | {"vocab_size": VOCABULARY}
    raw |= {"qwen3": {"head_dim": 128}, "qwen3_moe": {"head_dim": 8}, "gemma3_text": {"sliding_window": 8}}.get(
        name, {}
    )
    if name == "gemma3_text":
        raw |= {"num_hidden_layers": 6, "layer_types": ["sliding_attention"] * 5 + ["full_attention"]}
        raw |= {"query_pre_attn_scalar": 256, "head_dim": 8}
    write_reference(from_hf(raw), folder)
    tokenizer.save(folder)
    return folder


@pytest.mark.parametrize(
    "name",
    [
        one if one == "qwen3" else pytest.param(one, marks=pytest.mark.slow)
        for one in sorted(set(ARCHITECTURES) & set(FAMILIES))
    ],
)
def test_a_family_has_the_same_logits_as_gguf(name: str, tokenizer: Tokenizer, tmp_path: Path) -> None:
    folder = family(name, tokenizer, tmp_path / "model")
    write_gguf(folder, tmp_path / "out.gguf")
    assert difference(folder, tmp_path / "out.gguf") < 1e-5
