"""A tiny random model of each family, by its config alone: for tests and for `python -m model.cli.families`."""

from typing import Any

from model.families.names import FAMILIES

VOCABULARY, CONTEXT = 64, 64
_USUAL: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "max_position_embeddings": CONTEXT,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": None,
    "initializer_range": 0.2,  # so large that logits differ visibly
}
_SLIDING = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 8}
_MOE = {"num_experts_per_tok": 2, "moe_intermediate_size": 16}
_OWN: dict[str, dict[str, Any]] = {
    "cohere2": {**_SLIDING, "tie_word_embeddings": True, "logit_scale": 0.0625},
    "ernie4_5": {"head_dim": 8, "tie_word_embeddings": True},
    "exaone4": dict(_SLIDING),
    "falcon": {
        "num_kv_heads": 2,
        "new_decoder_architecture": True,
        "alibi": False,
        "tie_word_embeddings": True,
        "num_key_value_heads": None,
        "intermediate_size": None,
    },
    "gemma3_text": {**_SLIDING, "head_dim": 8, "query_pre_attn_scalar": 8, "tie_word_embeddings": True},
    "glm4": {"head_dim": 8},
    "gpt2": {"n_positions": CONTEXT, "n_embd": 32, "n_layer": 2, "n_head": 4, "tie_word_embeddings": True},
    "gpt_oss": {**_SLIDING, "head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 2},
    "granite": {"logits_scaling": 8.0, "embedding_multiplier": 2.0, "residual_multiplier": 0.5},
    "lfm2": {"layer_types": ["conv", "full_attention"], "tie_word_embeddings": True, "block_multiple_of": 8},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None},
    "nemotron": {"head_dim": 8},
    "olmo3": dict(_SLIDING),
    "phi3": {"original_max_position_embeddings": CONTEXT},
    "qwen3": {"head_dim": 8},
    "qwen3_moe": {**_MOE, "head_dim": 8, "num_experts": 4, "norm_topk_prob": True},
    "qwen3_next": {
        **_MOE,
        "head_dim": 8,
        "num_experts": 4,
        "layer_types": ["linear_attention", "full_attention"],
        "linear_num_value_heads": 4,
        "linear_num_key_heads": 2,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "shared_expert_intermediate_size": 16,
    },
    "seed_oss": {"head_dim": 8},
    "starcoder2": {"sliding_window": None, "tie_word_embeddings": True},
}
# A model that was made for GPT-2 or Falcon does not know these keys.
_ABSENT = {
    "gpt2": (
        "max_position_embeddings",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
    ),
    "gpt_neox": ("num_key_value_heads",),
    "falcon": ("num_key_value_heads", "intermediate_size"),
}


def tiny_config(model_type: str) -> dict[str, Any]:
    """The config.json of a tiny model of a family."""
    raw = {**_USUAL, **_OWN.get(model_type, {}), "model_type": model_type}
    raw["architectures"] = [FAMILIES[model_type].architecture]
    return {key: value for key, value in raw.items() if key not in _ABSENT.get(model_type, ())}
