"""Which families are written as GGUF, and how: the architecture's name there, and what is done to weights on the way.

llama.cpp computes some families from weights that are arranged otherwise than in Hugging Face's files. For Llama and
Mistral the rows of queries and keys alternate between the two halves of a head; Gemma's gains are stored with the 1
that is added to them; GPT-2's matrices are transposed; experts lie together. The names come from the `gguf` package
(`TensorNameMap`).

A family is here when a file of it was opened by transformers with the logits of the folder it was made of (the tests do
it). Others that GGUF knows are refused until something can read them back and compare.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.errors import UnsupportedArchitecture

Array = NDArray[np.float32]
Config = Mapping[str, Any]
_EXPERT = re.compile(r"(?P<layer>.*\.mlp)\.experts\.(?P<number>\d+)\.(?P<name>\w+)\.weight")


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """name: the attribute of `gguf.MODEL_ARCH`. turn: (name in the folder, weights, config) to weights as they are
    stored. rms: norms are divided by a root mean square; else centred ones. rope: positions are rotated."""

    name: str
    turn: Callable[[str, Array, Config], Array] = lambda name, weights, config: weights
    rms: bool = True
    rope: bool = True


def rotated_by_pairs(weights: Array, heads: int) -> Array:
    """Rows of queries or keys [heads * 2 * half, ...] in the order in which llama.cpp rotates neighbours: of each head
    first number i of one half, then number i of the other."""
    halves = weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(weights.shape)


def _llama(name: str, weights: Array, config: Config) -> Array:
    if ".q_proj." in name:
        return rotated_by_pairs(weights, config["num_attention_heads"])
    if ".k_proj." in name:
        return rotated_by_pairs(weights, config.get("num_key_value_heads") or config["num_attention_heads"])
    return weights


def _gemma(name: str, weights: Array, config: Config) -> Array:
    return weights + 1 if name.endswith("norm.weight") else weights


def _gpt2(name: str, weights: Array, config: Config) -> Array:
    transposed = name.endswith((".c_attn.weight", ".c_proj.weight", ".c_fc.weight"))
    return np.ascontiguousarray(weights.T) if transposed else weights


ARCHITECTURES: Mapping[str, Architecture] = {
    "llama": Architecture(name="LLAMA", turn=_llama),
    "mistral": Architecture(name="LLAMA", turn=_llama),
    "qwen2": Architecture(name="QWEN2"),
    "qwen3": Architecture(name="QWEN3"),
    "qwen3_moe": Architecture(name="QWEN3MOE"),
    "gemma3_text": Architecture(name="GEMMA3", turn=_gemma),
    "phi3": Architecture(name="PHI3"),
    "gpt2": Architecture(name="GPT2", turn=_gpt2, rms=False, rope=False),
    "starcoder2": Architecture(name="STARCODER2", rms=False),
}
# What a file of the family cannot say, and what llama.cpp takes for granted in its place.
_TAKEN: Mapping[str, Mapping[str, Any]] = {
    "qwen3_moe": {"norm_topk_prob": True, "mlp_only_layers": [], "decoder_sparse_step": 1, "attention_bias": False},
    "gemma3_text": {"attention_bias": False, "final_logit_softcapping": None, "attn_logit_softcapping": None},
    "qwen3": {"attention_bias": False},
    "gpt2": {"scale_attn_by_inverse_layer_idx": False, "scale_attn_weights": True},
}
_ABSENT: Mapping[str, Mapping[str, Any]] = {"qwen3_moe": {"norm_topk_prob": False}}
# Under which activations llama.cpp computes each.
_ACTIVATIONS = {
    "gemma3_text": ("gelu_pytorch_tanh",), "gpt2": ("gelu_new", "gelu_pytorch_tanh"),
    "starcoder2": ("gelu_pytorch_tanh",),
}  # fmt: skip


def architecture_of(config: Config, where: str) -> Architecture:
    """How a folder's family is written. Raises UnsupportedArchitecture that names what GGUF cannot say of it."""
    family = str(config.get("model_type"))
    if family not in ARCHITECTURES:
        raise UnsupportedArchitecture(f"{where}: model_type", family, list(ARCHITECTURES))
    for key, value in _TAKEN.get(family, {}).items():
        found = config.get(key, _ABSENT.get(family, {}).get(key, value))
        if found != value:
            raise UnsupportedArchitecture(f"{where}: {key}", found, f"{value}, which a GGUF file of {family} means")
    given = config.get("hidden_activation") or config.get("hidden_act") or config.get("activation_function")
    allowed = _ACTIVATIONS.get(family, ("silu",))
    if given is not None and given not in allowed:
        raise UnsupportedArchitecture(f"{where}: activation", given, list(allowed))
    if family in ("mistral", "phi3", "qwen2", "qwen3", "qwen3_moe", "starcoder2"):
        _refuse_window(config, where)
    return ARCHITECTURES[family]


def _refuse_window(config: Config, where: str) -> None:
    """A window of attention that is narrower than the context: the file would be computed without it."""
    window = config.get("sliding_window")
    used = config.get("use_sliding_window", True) and window is not None
    if used and window < config.get("max_position_embeddings", window):
        raise UnsupportedArchitecture(
            f"{where}: sliding_window", window, "none, or as wide as max_position_embeddings: GGUF has no place for it"
        )


def turned(state: Mapping[str, Array], architecture: Architecture, config: Config) -> Iterator[tuple[str, Array]]:
    """(name in the folder, weights as stored) of every tensor; the experts of a layer as one, [experts, rows, columns],
    under the name without a number."""
    together: dict[str, dict[int, Array]] = {}
    for name, weights in state.items():
        found = _EXPERT.fullmatch(name)
        if found is None:
            yield name, architecture.turn(name, weights, config)
        else:
            joined = f"{found['layer']}.experts.{found['name']}.weight"
            together.setdefault(joined, {})[int(found["number"])] = weights
    for name, experts in together.items():
        yield name, np.stack([experts[number] for number in range(len(experts))])
