"""config.json of Hugging Face's Llama family <-> ModelConfig, by our own schema.

Nothing in a config.json is ever executed: `auto_map` (which names Python files to run) is refused, and so is every
family or variant whose arithmetic is not exactly that of model/nn/llama.py. Better a refusal by name than logits that
are almost right.

What our own model computes: `llama` (Llama 1, 2, 3, SmolLM2, TinyLlama ...), `mistral` (sliding window), `qwen2`
(biases on q, k and v).
Other families (Qwen3, Gemma 3, OLMo 2, Phi ...) are read by `model/families`, which transformers computes.
Rope settings are read in both forms: `rope_theta` + `rope_scaling` (transformers 4) and `rope_parameters` (5). They are
written in the first, which both versions and other programs read.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from model.errors import BadCheckpoint, BadConfig, UnsupportedArchitecture
from model.families import config as family_config
from model.families.config import FamilyConfig
from model.families.names import FAMILIES
from model.json_file import read_json_object
from model.nn.config import ModelConfig, RopeScaling

CLASSES = {"llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM", "qwen2": "Qwen2ForCausalLM"}
ROPE_TYPES = ("default", "linear", "llama3")
CONFIG_FILE, GENERATION_FILE = "config.json", "generation_config.json"
MOST_SIZE, MOST_LAYERS, LARGEST = 1 << 31, 10_000, 1e300
# What a size is called here -> what config.json calls it.
_KEYS = {
    "context": "max_position_embeddings",
    "width": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "ffn_width": "intermediate_size",
    "norm_eps": "rms_norm_eps",
    "init_std": "initializer_range",
}


AnyConfig = ModelConfig | FamilyConfig
_C = TypeVar("_C", ModelConfig, FamilyConfig)


def read_config(folder: Path, notes: list[str] | None = None) -> AnyConfig:
    """The config of a model folder, our own model's or another family's; notes gets what is taken otherwise than it is
    written.

    What ends a text is what generation_config.json says, where there is one that does, as transformers has it.
    Raises BadCheckpoint for a missing, broken or unsafe config.json, UnsupportedArchitecture for a model that this core
    does not compute, BadConfig for sizes that do not fit each other; each names the file and the key.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise BadCheckpoint(str(path), "no such file", "a model folder in Hugging Face's layout")
    raw, generation = read_json_object(path), folder / GENERATION_FILE
    said = read_json_object(generation) if generation.is_file() else None
    if family_config.is_family(raw):
        family = family_config.from_hf(raw, str(path), notes)
        return family if said is None else with_generation(family, said, str(generation), notes)
    config = from_hf(raw, str(path), notes)
    return config if said is None else with_generation(config, said, str(generation), notes)


def with_generation(
    config: _C, raw: Mapping[str, Any], path: str = GENERATION_FILE, notes: list[str] | None = None
) -> _C:
    """The config with what a parsed generation_config.json says; `path` names it in errors."""
    reader = _Reader(raw, path)
    eos = reader.token_ids("eos_token_id", config.vocab_size)
    bos = reader.token_id("bos_token_id", config.vocab_size)
    pad = _pad(reader, config.vocab_size, notes)
    own = ("eos_token_id", "bos_token_id", "pad_token_id", "transformers_version")
    others = {key: value for key, value in raw.items() if key not in own and not key.startswith("_")}
    return replace(
        config,
        eos_ids=eos or config.eos_ids,
        bos_id=bos if config.bos_id is None else config.bos_id,
        pad_id=pad if config.pad_id is None else config.pad_id,
        generation=json.dumps(others, sort_keys=True) if others else "",
    )


def generation_to_hf(config: AnyConfig) -> dict[str, Any]:
    """The generation_config.json of a config."""
    ids = {"bos_token_id": config.bos_id, "eos_token_id": _ids_to_hf(config.eos_ids), "pad_token_id": config.pad_id}
    others = json.loads(config.generation) if config.generation else {}
    return {key: value for key, value in ids.items() if value is not None} | others


def from_hf(raw: Mapping[str, Any], path: str = "config.json", notes: list[str] | None = None) -> ModelConfig:
    """ModelConfig of a parsed config.json; `path` names it in errors, notes gets what is taken as absent.

    Raises BadConfig.
    """
    try:
        return _from_hf(raw, path, notes)
    except BadConfig as error:  # under the key that the file has
        if error.field.startswith(path):
            raise
        raise BadConfig(f"{path}: {_KEYS.get(error.field, error.field)}", error.got, error.expected) from error


def _from_hf(raw: Mapping[str, Any], path: str, notes: list[str] | None) -> ModelConfig:
    if "auto_map" in raw:
        raise BadCheckpoint(f"{path}: auto_map", raw["auto_map"], "a config without auto_map (no foreign code is run)")
    family = raw.get("model_type")
    if not isinstance(family, str) or family not in CLASSES:
        raise UnsupportedArchitecture(f"{path}: model_type", str(family)[:80], [*CLASSES, *FAMILIES])
    architectures = raw.get("architectures") or [CLASSES[family]]
    if architectures != [CLASSES[family]]:
        raise UnsupportedArchitecture(f"{path}: architectures", architectures, [CLASSES[family]])
    if raw.get("hidden_act", "silu") != "silu":
        raise UnsupportedArchitecture(f"{path}: hidden_act", raw["hidden_act"], "silu")
    if raw.get("quantization_config") is not None:
        got = raw["quantization_config"]
        raise UnsupportedArchitecture(f"{path}: quantization_config", got, "weights that are not quantised")
    reader = _Reader(raw, path)
    heads, layers = reader.number("num_attention_heads"), reader.number("num_hidden_layers", most=MOST_LAYERS)
    window, from_layer = _sliding_window(reader, family, layers)
    theta, scaling = _rope(reader)
    bias = reader.flag("attention_bias")
    vocab_size = reader.number("vocab_size", most=MOST_SIZE)
    return ModelConfig(
        vocab_size=vocab_size,
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
        bos_id=reader.token_id("bos_token_id", vocab_size),
        eos_ids=reader.token_ids("eos_token_id", vocab_size),
        pad_id=_pad(reader, vocab_size, notes),
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
        "eos_token_id": _ids_to_hf(config.eos_ids),
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
    """Typed access to a parsed config.json; every fault names the key, what it got, what it expected."""

    def __init__(self, raw: Mapping[str, Any], path: str) -> None:
        self.raw, self.path = raw, path

    def number(self, key: str, *, default: int | None = None, most: int = MOST_SIZE) -> int:
        value = self.raw.get(key)
        value = default if value is None else value
        if not isinstance(value, int) or isinstance(value, bool):
            raise BadCheckpoint(f"{self.path}: {key}", _cut(value), "a whole number")
        if value > most:
            raise BadCheckpoint(f"{self.path}: {key}", _cut(value), f"a whole number up to {most:,}")
        return value

    def real(self, key: str, *, default: float) -> float:
        value = self.raw.get(key)
        value = default if value is None else value
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise BadCheckpoint(f"{self.path}: {key}", _cut(value), "a number")
        if abs(value) > LARGEST:
            raise BadCheckpoint(f"{self.path}: {key}", _cut(value), "a number that a float holds")
        return float(value)

    def flag(self, key: str) -> bool:
        value = self.raw.get(key, False)
        if not isinstance(value, bool):
            raise BadCheckpoint(f"{self.path}: {key}", _cut(value), "true or false")
        return value

    def token_id(self, key: str, vocab_size: int) -> int | None:
        value = self.raw.get(key)
        return None if value is None else self._id(key, value, vocab_size, "a token id, or null for none")

    def token_ids(self, key: str, vocab_size: int) -> tuple[int, ...]:
        """One id or a list of them; each once, in the order given."""
        value = self.raw.get(key)
        if value is None:
            return ()
        given = value if isinstance(value, list) else [value]
        expected = "a token id, a list of them, or null for none"
        named = {n: f"{key}[{n}]" if isinstance(value, list) else key for n in range(len(given))}
        return tuple(dict.fromkeys(self._id(named[n], one, vocab_size, expected) for n, one in enumerate(given)))

    def _id(self, key: str, value: Any, vocab_size: int, expected: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise BadCheckpoint(f"{self.path}: {key}", _cut(repr(value)), expected)
        if not 0 <= value < vocab_size:
            raise BadConfig(f"{self.path}: {key}", _cut(value), f"{expected}; ids go from 0 to {vocab_size - 1}")
        return value


def _pad(reader: _Reader, vocab_size: int, notes: list[str] | None) -> int | None:
    """The id that fills rows up. Nothing here needs it, so one that cannot be (-1 is common) is taken as none."""
    value = reader.raw.get("pad_token_id")
    if isinstance(value, int) and not isinstance(value, bool) and not 0 <= value < vocab_size:
        if notes is not None:
            said = f"got {_cut(value)}, which is no token of {vocab_size}; nothing needs it, it is taken as absent"
            notes.append(f"{reader.path}: pad_token_id: {said}")
        return None
    return reader.token_id("pad_token_id", vocab_size)


def _cut(value: Any) -> str:
    try:
        text = str(value)
    except ValueError:  # a number of thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= 80 else f"{text[:77]}..."


def _ids_to_hf(ids: tuple[int, ...]) -> int | list[int] | None:
    return list(ids) if len(ids) > 1 else next(iter(ids), None)


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
        got = reader.raw["layer_types"]
        raise UnsupportedArchitecture(f"{reader.path}: layer_types", got, "full_attention in every layer")
    return None, 0


def _rope(reader: _Reader) -> tuple[float, RopeScaling | None]:
    """(theta, scaling), from either form. Two forms that say different things are a contradiction: programs differ in
    which of them they follow."""
    new, old = reader.raw.get("rope_parameters"), reader.raw.get("rope_scaling")
    theta = reader.real("rope_theta", default=10_000.0)
    if new is None:
        return _rope_settings(reader, "rope_scaling", old or {}, theta)
    found = _rope_settings(reader, "rope_parameters", new, theta)
    if reader.raw.get("rope_theta") is not None and found[0] != theta:
        raise _contradiction(reader, "rope_theta", theta, f"rope_parameters says {found[0]}")
    if old is not None:
        other = _rope_settings(reader, "rope_scaling", old, found[0])
        if other != found:
            raise _contradiction(reader, "rope_scaling", json.dumps(old), f"rope_parameters says {json.dumps(new)}")
    return found


def _contradiction(reader: _Reader, key: str, got: Any, other: str) -> BadCheckpoint:
    return BadCheckpoint(f"{reader.path}: {key}", f"{_cut(got)}, where {_cut(other)}", "one of the two, or both alike")


def _rope_settings(reader: _Reader, key: str, settings: Any, theta: float) -> tuple[float, RopeScaling | None]:
    if not isinstance(settings, dict):
        raise BadCheckpoint(f"{reader.path}: {key}", _cut(settings), "a JSON object")
    inner = _Reader(settings, f"{reader.path}: {key}")
    nested = [name for name, value in settings.items() if isinstance(value, dict)]
    if nested:
        raise UnsupportedArchitecture(f"{inner.path}: {nested[0]}", "settings of its own", "one rope for all layers")
    theta = inner.real("rope_theta", default=theta)
    if inner.real("partial_rotary_factor", default=reader.real("partial_rotary_factor", default=1.0)) != 1.0:
        raise UnsupportedArchitecture(f"{inner.path}: partial_rotary_factor", "below 1", "1.0")
    kinds = [settings[name] for name in ("rope_type", "type") if settings.get(name) is not None]
    if len(kinds) == 2 and kinds[0] != kinds[1]:
        raise _contradiction(inner, "rope_type", kinds[0], f"type says {kinds[1]}")
    kind = kinds[0] if kinds else "default"
    if kind not in ROPE_TYPES:
        raise UnsupportedArchitecture(f"{inner.path}: rope_type", kind, ROPE_TYPES)
    if kind == "default":
        return theta, None
    try:
        if kind == "linear":
            return theta, RopeScaling(kind="linear", factor=inner.real("factor", default=0.0))
        return theta, RopeScaling(
            kind="llama3",
            factor=inner.real("factor", default=0.0),
            low_freq_factor=inner.real("low_freq_factor", default=0.0),
            high_freq_factor=inner.real("high_freq_factor", default=0.0),
            original_context=inner.number("original_max_position_embeddings"),
        )
    except BadConfig as error:
        field = error.field.replace("rope_scaling", key).replace("original_context", "original_max_position_embeddings")
        raise BadConfig(field, error.got, error.expected) from error


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
