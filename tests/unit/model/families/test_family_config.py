"""config.json of a family: code is refused at any depth, what is unknown is left out, nothing explodes."""

import json
from typing import Any

import pytest

from model.errors import BadCheckpoint, BadConfig, UnsupportedArchitecture
from model.families.config import from_hf, settings, to_hf
from model.families.names import FAMILIES
from model.families.tiny import tiny_config


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("auto_map", {"AutoModelForCausalLM": "modeling_x.X"}),
        ("trust_remote_code", True),
        ("_attn_implementation", "owner/kernel"),
        ("attn_implementation", "owner/kernel"),
        ("_experts_implementation", "owner/kernel"),
        ("use_kernels", True),
        ("kernel_config", {"RMSNorm": "owner/kernel:Layer"}),
        ("quantization_config", {"quant_method": "awq"}),
        ("custom_pipelines", {"p": {"impl": "x.P"}}),
        ("_auto_class", "AutoModel"),
    ],
)
@pytest.mark.parametrize("model_type", ["qwen3", "gemma3_text", "gpt2"])
def test_what_names_code_is_refused_by_name(model_type: str, key: str, value: Any) -> None:
    with pytest.raises(BadCheckpoint, match=key):
        from_hf(tiny_config(model_type) | {key: value})
    with pytest.raises(BadCheckpoint, match=key):
        from_hf(tiny_config(model_type) | {"rope_parameters": {"deep": {key: value}}})


def test_a_key_that_names_nothing_is_no_fault() -> None:
    read = from_hf(tiny_config("qwen3") | {"quantization_config": None, "trust_remote_code": False})
    assert read.model_type == "qwen3"


@pytest.mark.parametrize(
    ("changes", "error", "named"),
    [
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, UnsupportedArchitecture, "model_type: got bert"),
        ({"architectures": ["Qwen3ForSequenceClassification"]}, UnsupportedArchitecture, "architectures"),
        ({"vocab_size": 10**400}, BadCheckpoint, "vocab_size"),
        ({"vocab_size": True}, BadCheckpoint, "vocab_size"),
        ({"num_hidden_layers": 10_001}, BadCheckpoint, "num_hidden_layers"),
        ({"hidden_size": 1e301}, BadCheckpoint, "hidden_size"),
        ({"rope_theta": float("nan")}, BadCheckpoint, "rope_theta"),
        ({"layer_types": ["full_attention"] * 10_001}, BadCheckpoint, "layer_types"),
        ({"hidden_act": "x" * 201}, BadCheckpoint, "hidden_act"),
        ({"a": {"b": {"c": {"d": {"e": {"f": 1}}}}}}, BadCheckpoint, "objects in objects"),
        ({"eos_token_id": 64}, BadConfig, "eos_token_id: got 64; expected a token id from 0 to 63"),
        ({"eos_token_id": "2"}, BadCheckpoint, "eos_token_id"),
        ({"tie_word_embeddings": "yes"}, BadCheckpoint, "tie_word_embeddings"),
    ],
)
def test_bad_values_are_refused_by_name(changes: dict[str, Any], error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=named):
        from_hf(tiny_config("qwen3") | changes)


def test_only_what_the_family_declares_reaches_transformers_and_nothing_random_does() -> None:
    notes: list[str] = []
    raw = tiny_config("gpt2") | {"resid_pdrop": 0.1, "surprise": 7, "pad_token_id": -1, "eos_token_id": [2, 3, 2]}
    read = from_hf(raw, notes=notes)
    given = settings(read, {"vocab_size", "n_embd", "resid_pdrop", "router_jitter_noise"}, notes)
    assert given["resid_pdrop"] == given["router_jitter_noise"] == 0.0
    assert given["n_embd"] == 32
    assert "surprise" not in given
    assert given["eos_token_id"] == [2, 3]
    assert given["pad_token_id"] is None
    assert any("surprise" in note for note in notes)
    assert any("pad_token_id: got -1" in note for note in notes)


def test_what_was_read_is_written_again() -> None:
    raw = tiny_config("qwen3") | {"surprise": 7, "torch_dtype": "bfloat16"}
    written = to_hf(from_hf(raw), dtype="float32")
    assert written == raw | {"torch_dtype": "float32", "tie_word_embeddings": False}
    assert json.loads(json.dumps(written)) == written


@pytest.mark.parametrize("model_type", sorted(FAMILIES))
def test_each_tiny_model_says_what_it_is(model_type: str) -> None:
    read = from_hf(tiny_config(model_type))
    assert (read.vocab_size, read.context, read.layers) == (64, 64, 2)
    assert read.architecture == FAMILIES[model_type].architecture
