"""config.json of Hugging Face's Llama family <-> ModelConfig, by our own schema.

Nothing in a config.json is ever executed: `auto_map` (which names Python files to run) is refused, and so is every
family or variant whose arithmetic is not exactly that of model/llama.py. Better a refusal by name than logits that are
almost right.

Families: `llama` (Llama 1, 2, 3, SmolLM2, TinyLlama ...), `mistral` (sliding window), `qwen2` (biases on q, k and v).
Rope settings are read in both forms: `rope_theta` + `rope_scaling` (transformers 4) and `rope_parameters` (5). They are
written in the first, which both versions and other programs read.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model.config import ModelConfig, RopeScaling
from model.errors import BadCheckpoint, BadConfig, UnsupportedArchitecture

CLASSES = {"llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM", "qwen2": "Qwen2ForCausalLM"}
ROPE_TYPES = ("default", "linear", "llama3")


def read_config(folder: Path) -> ModelConfig:
    """The ModelConfig of a model folder.

    Raises BadCheckpoint for a missing, broken or unsafe config.json, UnsupportedArchitecture for a model that this core
    does not compute, BadConfig for sizes that do not fit each other.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise BadCheckpoint(str(path), "no such file", "a model folder in Hugging Face's layout")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadCheckpoint(str(path), str(error), "valid JSON") from error
    if not isinstance(raw, dict):
        raise BadCheckpoint(str(path), type(raw).__name__, "a JSON object")
    return from_hf(raw, str(path))


def from_hf(raw: Mapping[str, Any], path: str = "config.json") -> ModelConfig:
    """ModelConfig of a parsed config.json; `path` names it in errors."""
    if "auto_map" in raw:
        raise BadCheckpoint(f"{path}: auto_map", raw["auto_map"], "a config without auto_map (no foreign code is run)")
    family = raw.get("model_type")
    if family not in CLASSES:
        raise UnsupportedArchitecture(f"{path}: model_type", family, list(CLASSES))
    architectures = raw.get("architectures") or [CLASSES[family]]
    if architectures != [CLASSES[family]]:
        raise UnsupportedArchitecture(f"{path}: architectures", architectures, [CLASSES[family]])
    if raw.get("hidden_act", "silu") != "silu":
        raise UnsupportedArchitecture(f"{path}: hidden_act", raw["hidden_act"], "silu")
    if raw.get("quantization_config") is not None:
        came = raw["quantization_config"]
        raise UnsupportedArchitecture(f"{path}: quantization_config", came, "weights that are not quantised")
    reader = _Reader(raw, path)
    heads, layers = reader.number("num_attention_heads"), reader.number("num_hidden_layers")
    window, from_layer = _sliding_window(reader, family, layers)
    theta, scaling = _rope(reader)
    bias = reader.flag("attention_bias")
    eos = raw.get("eos_token_id")
    return ModelConfig(
        vocab_size=reader.number("vocab_size"),
        context=reader.number("max_position_embeddings"),
        width=reader.number("hidden_size"),
        layers=layers,
        heads=heads,
        kv_heads=reader.number("num_key_value_heads", default=heads if family == "llama" else None),
        ffn_width=reader.number("intermediate_size"),
        head_dim=reader.number("head_dim", default=0) or None,
        rope_theta=theta,
        rope_scaling=scaling,
        norm_eps=reader.real("rms_norm_eps", default=1e-6),
        tied_embeddings=reader.flag("tie_word_embeddings"),
        attention_bias=family == "qwen2" or (family == "llama" and bias),
        output_bias=family == "llama" and bias,
        mlp_bias=family == "llama" and reader.flag("mlp_bias"),
        sliding_window=window,
        sliding_from_layer=from_layer,
        init_std=reader.real("initializer_range", default=0.02),
        bos_id=reader.token_id("bos_token_id"),
        eos_ids=tuple(eos)
        if isinstance(eos, list)
        else tuple(i for i in [reader.token_id("eos_token_id")] if i is not None),
        pad_id=reader.token_id("pad_token_id"),
    )


def family_of(config: ModelConfig) -> str:
    """The Hugging Face family that computes this config. Raises BadConfig when none does."""
    if config.attention_bias and not config.output_bias:
        family, fits = "qwen2", not config.mlp_bias
    elif config.sliding_window is not None:
        family = "mistral"
        fits = config.sliding_from_layer == 0 and not (config.attention_bias or config.output_bias or config.mlp_bias)
    else:
        family, fits = "llama", config.attention_bias == config.output_bias
    if not fits:
        raise BadConfig("model", f"biases and windows of no known family ({config})", list(CLASSES))
    return family


def to_hf(config: ModelConfig, *, dtype: str) -> dict[str, Any]:
    """The config.json of a ModelConfig, as transformers 4 and 5 read it. dtype: such as "float32"."""
    family = family_of(config)
    raw: dict[str, Any] = {
        "architectures": [CLASSES[family]],
        "model_type": family,
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.context,
        "hidden_size": config.width,
        "intermediate_size": config.ffn_width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_size,
        "hidden_act": "silu",
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_theta,
        "rope_scaling": _scaling_to_hf(config.rope_scaling),
        "tie_word_embeddings": config.tied_embeddings,
        "initializer_range": config.init_std,
        "attention_dropout": 0.0,
        "use_cache": True,
        "bos_token_id": config.bos_id,
        "eos_token_id": list(config.eos_ids) if len(config.eos_ids) > 1 else next(iter(config.eos_ids), None),
        "pad_token_id": config.pad_id,
        "torch_dtype": dtype,
    }
    if family == "llama":
        raw |= {"attention_bias": config.attention_bias, "mlp_bias": config.mlp_bias}
    if family == "mistral":
        raw["sliding_window"] = config.sliding_window
    if family == "qwen2":
        slides = config.sliding_window is not None
        raw |= {"use_sliding_window": slides, "sliding_window": config.sliding_window}
        raw["max_window_layers"] = config.sliding_from_layer if slides else config.layers
    return raw


class _Reader:
    """Typed access to a parsed config.json; every fault names the key, what came, what is allowed."""

    def __init__(self, raw: Mapping[str, Any], path: str) -> None:
        self.raw, self.path = raw, path

    def number(self, key: str, *, default: int | None = None) -> int:
        value = self.raw.get(key)
        value = default if value is None else value
        if not isinstance(value, int) or isinstance(value, bool):
            raise BadCheckpoint(f"{self.path}: {key}", value, "a whole number")
        return value

    def real(self, key: str, *, default: float) -> float:
        value = self.raw.get(key)
        value = default if value is None else value
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise BadCheckpoint(f"{self.path}: {key}", value, "a number")
        return float(value)

    def flag(self, key: str) -> bool:
        value = self.raw.get(key, False)
        if not isinstance(value, bool):
            raise BadCheckpoint(f"{self.path}: {key}", value, "true or false")
        return value

    def token_id(self, key: str) -> int | None:
        return None if self.raw.get(key) is None else self.number(key)


def _sliding_window(reader: _Reader, family: str, layers: int) -> tuple[int | None, int]:
    """(window in tokens or None, first layer that has it)."""
    if family == "mistral":  # a config without the key means 4096, one with null means none
        window = reader.number("sliding_window") if reader.raw.get("sliding_window", 4096) is not None else None
        return (4096 if "sliding_window" not in reader.raw else window), 0
    if family == "qwen2" and reader.flag("use_sliding_window"):
        first = reader.number("max_window_layers", default=28)
        expected = ["sliding_attention" if layer >= first else "full_attention" for layer in range(layers)]
        if reader.raw.get("layer_types", expected) != expected:
            raise UnsupportedArchitecture(f"{reader.path}: layer_types", reader.raw["layer_types"], expected)
        return (reader.number("sliding_window", default=4096), first) if first < layers else (None, 0)
    if "sliding_attention" in (reader.raw.get("layer_types") or []):
        came = reader.raw["layer_types"]
        raise UnsupportedArchitecture(f"{reader.path}: layer_types", came, "full_attention in every layer")
    return None, 0


def _rope(reader: _Reader) -> tuple[float, RopeScaling | None]:
    """(theta, scaling), from either form."""
    new = reader.raw.get("rope_parameters")
    old = reader.raw.get("rope_scaling")
    settings = new if new is not None else (old or {})
    if not isinstance(settings, dict):
        raise BadCheckpoint(f"{reader.path}: rope_parameters", settings, "a JSON object")
    inner = _Reader(settings, f"{reader.path}: rope_parameters" if new is not None else f"{reader.path}: rope_scaling")
    theta = inner.real("rope_theta", default=reader.real("rope_theta", default=10_000.0))
    if inner.real("partial_rotary_factor", default=reader.real("partial_rotary_factor", default=1.0)) != 1.0:
        raise UnsupportedArchitecture(f"{inner.path}: partial_rotary_factor", "below 1", "1.0")
    kind = settings.get("rope_type", settings.get("type", "default"))
    if kind not in ROPE_TYPES:
        raise UnsupportedArchitecture(f"{inner.path}: rope_type", kind, ROPE_TYPES)
    if kind == "default":
        return theta, None
    if kind == "linear":
        return theta, RopeScaling(kind="linear", factor=inner.real("factor", default=0.0))
    return theta, RopeScaling(
        kind="llama3",
        factor=inner.real("factor", default=0.0),
        low_freq_factor=inner.real("low_freq_factor", default=0.0),
        high_freq_factor=inner.real("high_freq_factor", default=0.0),
        original_context=inner.number("original_max_position_embeddings"),
    )


def _scaling_to_hf(scaling: RopeScaling | None) -> dict[str, Any] | None:
    if scaling is None:
        return None
    raw: dict[str, Any] = {"rope_type": scaling.kind, "factor": scaling.factor}
    if scaling.kind == "llama3":
        raw |= {
            "low_freq_factor": scaling.low_freq_factor,
            "high_freq_factor": scaling.high_freq_factor,
            "original_max_position_embeddings": scaling.original_context,
        }
    return raw
