"""GGUF in, a Hugging Face folder out: a tiny random Llama that the `gguf` package writes where it is installed; what is
no such file is refused everywhere."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from model.checkpointing.hf import load_pretrained
from model.cli.gguf import main
from model.errors import BadSource
from model.families.gguf import convert_gguf
from model.tokenization.tokenizer import Tokenizer
from ui.adapt.wheel import READER


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


_WRITE = """
import sys
import gguf, numpy
rng = numpy.random.default_rng(0)
out = gguf.GGUFWriter(sys.argv[1], "llama")
out.add_context_length(64); out.add_embedding_length(32); out.add_block_count(1); out.add_feed_forward_length(48)
out.add_head_count(4); out.add_head_count_kv(2); out.add_layer_norm_rms_eps(1e-5); out.add_rope_freq_base(10000.0)
out.add_vocab_size(260)
out.add_tokenizer_model("gpt2"); out.add_tokenizer_pre("smollm")
letters = [*range(33, 127), *range(161, 173), *range(174, 256)]
others = [chr(256 + n) for n in range(256 - len(letters))]
out.add_token_list(["<|endoftext|>", "<|im_start|>", "<|im_end|>", *map(chr, letters), *others, "He"])
out.add_token_types([3] * 3 + [1] * 257); out.add_token_merges(["H e"])
out.add_bos_token_id(1); out.add_eos_token_id(2); out.add_unk_token_id(0); out.add_pad_token_id(2)
shapes = {"token_embd": (260, 32), "output_norm": (32,), "blk.0.attn_norm": (32,), "blk.0.ffn_norm": (32,),
          "blk.0.attn_q": (32, 32), "blk.0.attn_k": (16, 32), "blk.0.attn_v": (16, 32), "blk.0.attn_output": (32, 32),
          "blk.0.ffn_gate": (48, 32), "blk.0.ffn_up": (48, 32), "blk.0.ffn_down": (32, 48)}
for name, shape in shapes.items():
    values = rng.normal(0, 0.2, shape).astype(numpy.float32)
    quantised = name.startswith("blk") and len(shape) == 2 and shape[1] == 32
    kind = gguf.GGMLQuantizationType.Q4_1 if quantised else None
    out.add_tensor(f"{name}.weight", gguf.quants.quantize(values, kind) if quantised else values, raw_dtype=kind)
    if name == "blk.0.ffn_up":
        numpy.save(sys.argv[1] + ".npy", values)
out.write_header_to_file(); out.write_kv_data_to_file(); out.write_tensors_to_file(); out.close()
"""


@pytest.mark.slow
def test_a_quantised_llama_becomes_a_folder_that_opens_with_nothing_said_of_quantisation(tmp_path: Path) -> None:
    """Needs the package index: `make test-families`. Four bits of values within +-.8 leave steps of under .12."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path / "tools"), READER]
    subprocess.run(pip, check=True)
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "tools")}
    file, folder = tmp_path / "tiny.gguf", tmp_path / "model"
    subprocess.run([sys.executable, "-c", _WRITE, str(file)], check=True, env=env)
    subprocess.run([sys.executable, "-P", "-m", "model.cli.gguf", str(file), str(folder)], check=True, env=env)
    config = json.loads((folder / "config.json").read_text())
    assert "quantization_config" not in config
    assert (config["model_type"], config["tie_word_embeddings"], config["num_key_value_heads"]) == ("llama", True, 2)
    model = load_pretrained(folder)
    before = torch.from_numpy(np.load(f"{file}.npy"))
    now = model.state_dict()["model.layers.0.mlp.up_proj.weight"]
    assert 0 < (now - before).abs().max() < 0.06
    assert Tokenizer.load(folder).encode("Hello") == [259, *(3 + ord(one) - ord("!") for one in "llo")]
