"""A model folder as GGUF, read back by the `gguf` package and by transformers: equal logits, equal ids on awkward
text."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGUFReader
from tokenizers import Regex, models, pre_tokenizers
from tokenizers import Tokenizer as Backend
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from model.checkpointing.hf import load_pretrained, save_pretrained
from model.cli.gguf_export import main
from model.errors import UnsupportedArchitecture
from model.families.names import FAMILIES
from model.families.tiny import tiny_config
from model.gguf.architectures import ARCHITECTURES, rotated_by_pairs
from model.gguf.file import write_gguf
from model.nn.config import ModelConfig
from model.nn.llama import Llama
from model.tokenization.tokenizer import Tokenizer

VOCABULARY = 400
UNTOLD = ("GPT2LMHeadModel", "Qwen3MoeForCausalLM")
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
AWKWARD = [
    "def f(x):\n\treturn x ** 2  # naïve — 数学 12345.67e-8 🙂\n\n   end",
    "  leading and trailing   ",
    "a  1 b   22\t\t333 4,444.5",
    "I'll we've don't CAN'T \u00a0nbsp\u200b zero",
    "\r\n\r\n x\r",
    "<|bos|> and <|end|> are text",
    "e\u0301 é ﬁ ½ Ⅷ ٣٤",
    "",
    " ",
    "👩‍👩‍👧‍👦 family \x7f\x01",
]
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 16}  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """One that we train."""
    texts = ["the cat sat on the mat, and I'll return x ** 2 # naïve 数学 \n\n\t def f(x): 12345   end don't"] * 30
    return Tokenizer.train_bpe(texts, VOCABULARY)


@pytest.fixture
def llama(tokenizer: Tokenizer, tmp_path: Path) -> Path:
    """Our own model with more query than key heads, a head that is no part of the width, and a vocabulary with room."""
    config = ModelConfig(
        vocab_size=VOCABULARY, context=64, width=32, layers=2, heads=4, kv_heads=2, ffn_width=48, tied_embeddings=False
    )
    save_pretrained(Llama(config, seed=1), tmp_path / "model", tokenizer)
    return tmp_path / "model"


def changed(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@torch.no_grad()
def difference(folder: Path, file: Path) -> float:
    """Logits of transformers on the file against Retain's on the folder, as a part of the largest."""
    model = load_pretrained(folder).eval()
    tokens_BT = torch.randint(model.config.vocab_size, (2, 24), generator=torch.Generator().manual_seed(3))
    # Of a GGUF file transformers does not read how many positions GPT-2 has, and how wide Qwen3's experts are.
    told = {"config": AutoConfig.from_pretrained(folder)} if getattr(model.config, "architecture", "") in UNTOLD else {}
    opened = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32, **told).eval()
    theirs_BTV, ours_BTV = opened(tokens_BT).logits, model(tokens_BT)
    return float((theirs_BTV - ours_BTV).abs().max() / ours_BTV.abs().max())


def test_our_own_model_has_the_same_logits_and_a_name_for_people(llama: Path, tmp_path: Path) -> None:
    assert main([str(llama), str(tmp_path / "out.gguf"), "--name", "tiny"]) == 0
    assert difference(llama, tmp_path / "out.gguf") < 1e-5
    fields = GGUFReader(tmp_path / "out.gguf").fields
    assert fields["general.name"].contents() == "tiny"
    assert fields["general.architecture"].contents() == "llama"
    assert fields["tokenizer.ggml.pre"].contents() == "smollm"
    assert fields["tokenizer.chat_template"].contents() == Tokenizer.load(llama).chat_template
    assert not list(tmp_path.glob("*.part"))


def test_tied_embeddings_are_written_once(tokenizer: Tokenizer, tmp_path: Path) -> None:
    config = ModelConfig(vocab_size=VOCABULARY, context=32, width=32, layers=1, heads=2, kv_heads=2, ffn_width=48)
    save_pretrained(Llama(config, seed=1), tmp_path / "model", tokenizer)
    write_gguf(tmp_path / "model", tmp_path / "out.gguf")
    assert "output.weight" not in {tensor.name for tensor in GGUFReader(tmp_path / "out.gguf").tensors}
    assert difference(tmp_path / "model", tmp_path / "out.gguf") < 1e-5


@pytest.mark.parametrize(
    ("family", "variant"), [("mistral", {"sliding_window": 64}), ("qwen2", {"attention_bias": True})]
)
def test_our_other_families_have_the_same_logits(
    family: str, variant: dict[str, Any], tokenizer: Tokenizer, tmp_path: Path
) -> None:
    config = ModelConfig(
        vocab_size=VOCABULARY,
        context=64,
        width=32,
        layers=2,
        heads=4,
        kv_heads=2,
        ffn_width=48,
        init_std=0.2,
        **variant,
    )
    folder, file = tmp_path / "model", tmp_path / "out.gguf"
    model = Llama(config, seed=1)
    generator = torch.Generator().manual_seed(5)
    for name, weights in model.named_parameters():
        if name.endswith("bias"):  # zero at first, which would hide one that is lost
            weights.data.normal_(generator=generator)
    save_pretrained(model, folder, tokenizer)
    assert json.loads((folder / "config.json").read_text())["model_type"] == family
    write_gguf(folder, file)
    assert difference(folder, file) < 1e-5


def test_rows_of_a_head_alternate_between_its_halves() -> None:
    """Two heads of four rows: 0 2 1 3 within each, worked by hand."""
    rows = np.arange(8, dtype=np.float32).reshape(8, 1)
    assert rotated_by_pairs(rows, 2).ravel().tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def as_llama_cpp_reads(file: Path) -> Backend:
    """A tokenizer of the file's fields alone, by the rules that llama.cpp's source has for the name `smollm`: first
    each number apart, then GPT-2's words; pairs are merged by their rank."""
    fields = GGUFReader(file).fields
    assert fields["tokenizer.ggml.model"].contents() == "gpt2"
    assert fields["tokenizer.ggml.pre"].contents() == "smollm"
    tokens = fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(one.split(" ")) for one in fields["tokenizer.ggml.merges"].contents()]
    backend = Backend(models.BPE(vocab={token: number for number, token in enumerate(tokens)}, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\p{N}"), "isolated"),
            pre_tokenizers.Split(Regex(GPT2), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return backend


def test_ids_are_those_of_our_own_tokenizer(llama: Path, tmp_path: Path) -> None:
    write_gguf(llama, tmp_path / "out.gguf")
    fields, ours = GGUFReader(tmp_path / "out.gguf").fields, Tokenizer.load(llama)
    theirs = as_llama_cpp_reads(tmp_path / "out.gguf")
    assert fields["tokenizer.ggml.add_bos_token"].contents() is True
    assert fields["tokenizer.ggml.bos_token_id"].contents() == ours.bos_id
    for text in AWKWARD:
        assert [ours.bos_id, *theirs.encode(text).ids] == ours.encode(text), text
    tokens, types = (fields[f"tokenizer.ggml.{name}"].contents() for name in ("tokens", "token_type"))
    control = [token for token, kind in zip(tokens, types, strict=True) if kind == 3]
    assert "<|bos|>" in control
    assert "<|end|>" in control


def test_transformers_makes_the_same_ids_of_the_file(llama: Path, tmp_path: Path) -> None:
    """Where its own rule is the same: it has none for `smollm` and takes GPT-2's, which keeps spaces before a digit
    with it. Special tokens it finds in text, where ours are ordinary text."""
    write_gguf(llama, tmp_path / "out.gguf")
    theirs = AutoTokenizer.from_pretrained(tmp_path, gguf_file="out.gguf")
    ours = Tokenizer.load(llama)
    for text in [text for text in AWKWARD if "  1" not in text and "<|" not in text]:
        assert theirs(text, add_special_tokens=False).input_ids == ours.encode(text, add_special_tokens=False), text


def test_a_sentencepiece_tokenizer_has_the_same_ids(shared_data: Path, tmp_path: Path) -> None:
    """The real one of a real model, which also has the same logits."""
    folder = shared_data / "models" / "stories260K-hf"
    write_gguf(folder, tmp_path / "out.gguf")
    assert difference(folder, tmp_path / "out.gguf") < 1e-5
    theirs, ours = AutoTokenizer.from_pretrained(tmp_path, gguf_file="out.gguf"), Tokenizer.load(folder)
    for text in ["Once upon a time, there was a little girl.", "naïve 数学 12345.67e-8 🙂", "a  b   c\n\n\td", "x"]:
        assert theirs(text).input_ids == ours.encode(text), text


@pytest.mark.parametrize("name", sorted(set(FAMILIES) - set(ARCHITECTURES)))
def test_other_families_are_refused_by_name(name: str, tokenizer: Tokenizer, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(tiny_config(name) | {"vocab_size": VOCABULARY}))
    with pytest.raises(UnsupportedArchitecture, match=f"got {name}; expected llama, mistral"):
        write_gguf(folder, tmp_path / "out.gguf")
    assert list(tmp_path.iterdir()) == [folder]
