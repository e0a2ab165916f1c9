"""Writes a model folder as a GGUF file, by the `gguf` package. Weights are written in float32: what they were trained
in; llama.cpp's own tools make smaller ones of it."""

import importlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from model.checkpointing.hf import exported_state, load_pretrained
from model.checkpointing.hf_config import read_config
from model.errors import BadConfig, UnsupportedArchitecture
from model.gguf.architectures import architecture_of, turned
from model.gguf.rope import Rope, rope_of
from model.gguf.vocabulary import Vocabulary, vocabulary_of
from model.json_file import read_json_object
from model.tokenization.tokenizer import Tokenizer

# Of each number, the names that families have for it.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "context": ("max_position_embeddings", "n_positions"),
    "width": ("hidden_size", "n_embd"),
    "layers": ("num_hidden_layers", "n_layer"),
    "heads": ("num_attention_heads", "n_head"),
    "inner": ("intermediate_size", "n_inner"),
    "epsilon": ("rms_norm_eps", "norm_epsilon", "layer_norm_epsilon"),
}
_EPSILON = {"gpt2": 1e-5, "starcoder2": 1e-5, "phi3": 1e-5}  # where a config does not say one; else 1e-6
_HEAD_WIDTH = {"qwen3": 128, "gemma3_text": 256}


def write_gguf(folder: Path, path: Path, *, name: str = "", beat: Callable[[], None] = lambda: None) -> None:
    """The model and the tokenizer of a folder as one file, which appears whole or not at all.

    Raises UnsupportedArchitecture for what GGUF, or we, cannot say; what `load_pretrained` and `Tokenizer.load` raise;
    BadConfig for a path that is there already.
    """
    if path.exists():
        raise BadConfig(str(path), "a file that is there already", "a new one")
    where = str(folder / "config.json")
    raw = read_json_object(folder / "config.json")
    config, architecture = read_config(folder), architecture_of(raw, where)
    tokenizer = Tokenizer.load(folder)
    head_width = _head_width(raw)
    rope = rope_of(raw, head_width, where) if architecture.rope else None
    parsed = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = vocabulary_of(parsed, config.vocab_size, bos_id=tokenizer.bos_id, where=str(folder / "tokenizer.json"))
    model = load_pretrained(folder, beat=beat)
    gguf: Any = importlib.import_module("gguf")
    kind = getattr(gguf.MODEL_ARCH, architecture.name)
    part = path.with_name(f"{path.name}.part")
    writer = gguf.GGUFWriter(part, gguf.MODEL_ARCH_NAMES[kind])
    try:
        writer.add_name(name or folder.resolve().name)
        writer.add_file_type(gguf.LlamaFileType.ALL_F32)
        _add_sizes(writer, raw, head_width)
        if rope is not None:
            _add_rope(writer, gguf, rope, head_width)
        _add_vocabulary(writer, vocabulary, tokenizer, config.eos_ids)
        names = gguf.get_tensor_name_map(kind, config.layers)
        state = {key: tensor.float().numpy() for key, tensor in exported_state(model).items()}
        for key, weights in turned(state, architecture, raw):
            stored = names.get_name(key, try_suffixes=(".weight", ".bias"))
            if stored is None:
                raise UnsupportedArchitecture(f"{folder}: {key}", "a tensor that GGUF has no name for", "known ones")
            writer.add_tensor(stored, np.ascontiguousarray(weights, dtype=np.float32))
            beat()
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _number(raw: Mapping[str, Any], what: str, otherwise: Any = None) -> Any:
    return next((raw[name] for name in _NAMES[what] if raw.get(name) is not None), otherwise)


def _head_width(raw: Mapping[str, Any]) -> int:
    given = raw.get("head_dim") or _HEAD_WIDTH.get(raw["model_type"])
    return int(given or _number(raw, "width") // _number(raw, "heads"))


def _add_sizes(writer: Any, raw: Mapping[str, Any], head_width: int) -> None:
    family, width, heads = raw["model_type"], _number(raw, "width"), _number(raw, "heads")
    writer.add_context_length(_number(raw, "context"))
    writer.add_embedding_length(width)
    writer.add_block_count(_number(raw, "layers"))
    writer.add_feed_forward_length(_number(raw, "inner", 4 * width))
    writer.add_head_count(heads)
    writer.add_head_count_kv(raw.get("num_key_value_heads") or heads)
    writer.add_vocab_size(raw["vocab_size"])
    epsilon = _number(raw, "epsilon", _EPSILON.get(family, 1e-6))
    (writer.add_layer_norm_eps if family in ("gpt2", "starcoder2") else writer.add_layer_norm_rms_eps)(epsilon)
    if family != "gpt2":
        writer.add_key_length(head_width)
        writer.add_value_length(head_width)
    if family == "gemma3_text":
        writer.add_sliding_window(raw.get("sliding_window") or 4096)
    if family == "qwen3_moe":
        writer.add_expert_count(raw.get("num_experts") or raw["num_local_experts"])
        writer.add_expert_used_count(raw["num_experts_per_tok"])
        writer.add_expert_feed_forward_length(raw["moe_intermediate_size"])


def _add_rope(writer: Any, gguf: Any, rope: Rope, head_width: int) -> None:
    writer.add_rope_dimension_count(head_width)
    writer.add_rope_freq_base(rope.base)
    if rope.linear is not None:
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope.linear)
    if rope.factors is not None:
        writer.add_tensor(gguf.TENSOR_NAMES[gguf.MODEL_TENSOR.ROPE_FREQS] + ".weight", rope.factors)


def _add_vocabulary(writer: Any, vocabulary: Vocabulary, tokenizer: Tokenizer, eos_ids: tuple[int, ...]) -> None:
    writer.add_tokenizer_model(vocabulary.kind)
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(list(vocabulary.tokens))
    writer.add_token_types(list(vocabulary.types))
    if vocabulary.kind == "gpt2":
        writer.add_token_merges(list(vocabulary.merges))
    else:
        writer.add_token_scores(list(vocabulary.scores))
        writer.add_add_space_prefix(vocabulary.add_space)
    writer.add_add_bos_token(vocabulary.add_bos)
    writer.add_add_eos_token(False)
    end = eos_ids[0] if eos_ids else tokenizer.eos_id
    for add, number in (
        (writer.add_bos_token_id, tokenizer.bos_id),
        (writer.add_eos_token_id, end),
        (writer.add_pad_token_id, tokenizer.pad_id),
    ):
        if number is not None:
            add(number)
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)
