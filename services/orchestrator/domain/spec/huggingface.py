"""Our own schema for the config.json of an imported model: what is not understood is refused, nothing is executed.

transformers before 5.3 ran code that a config.json pointed to (CVE-2026-4372); here it is only ever data.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from retain.values.faults import mismatch

# What model/checkpointing/hf.py can load: with our own model, and with transformers (model/families).
OWN_ARCHITECTURES = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM")
FAMILY_ARCHITECTURES = (
    "Cohere2ForCausalLM",
    "Ernie4_5ForCausalLM",
    "Exaone4ForCausalLM",
    "FalconForCausalLM",
    "GPT2LMHeadModel",
    "GPTNeoXForCausalLM",
    "Gemma3ForCausalLM",
    "Glm4ForCausalLM",
    "GptOssForCausalLM",
    "GraniteForCausalLM",
    "Lfm2ForCausalLM",
    "MixtralForCausalLM",
    "NemotronForCausalLM",
    "Olmo2ForCausalLM",
    "Olmo3ForCausalLM",
    "Phi3ForCausalLM",
    "PhiForCausalLM",
    "Qwen3ForCausalLM",
    "Qwen3MoeForCausalLM",
    "Qwen3NextForCausalLM",
    "SeedOssForCausalLM",
    "Starcoder2ForCausalLM",
)
ARCHITECTURES = (*OWN_ARCHITECTURES, *FAMILY_ARCHITECTURES)
# Keys that name code, or something that loads it (model/families/config.py refuses more, at any depth).
CODE_KEYS: tuple[str, ...] = (
    "auto_map",
    "trust_remote_code",
    "quantization_config",
    "attn_implementation",
    "_attn_implementation",
)
CODE_KEYS += ("experts_implementation", "_experts_implementation", "kernel_config", "use_kernels", "custom_pipelines")
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
LARGEST = 1 << 31
_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
REQUIRED_FILES = ("config.json", "tokenizer.json")
_POSITIVE = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
# Families name sizes in their own way; what is not named by any of these names, the loader asks for.
_OTHER_NAMES = {"hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head"}
_CONTEXTS = ("max_position_embeddings", "n_positions")


def faults_of_files(names: Sequence[str]) -> Iterator[str]:
    """What is wrong with the files of a model folder: pickles, no weights, something missing."""
    for name in names:
        if name.endswith(PICKLES):
            yield mismatch(f"{name}, a pickle, which can run code", ".safetensors weights")
        if name.endswith(".py"):
            yield mismatch(f"{name}, code, which is never run", "weights and JSON")
    for required in REQUIRED_FILES:
        if required not in names:
            yield mismatch(", ".join(names), f"{required} among them")
    weights = [name for name in names if name.endswith(".safetensors")]
    if not weights:
        yield "there are no .safetensors weights"
    if INDEX in names and WHOLE in weights and any(_SHARD.fullmatch(name) for name in weights):
        yield mismatch(f"{WHOLE} beside {INDEX} and its shards", "one of the two models: remove the stale one")


def faults_of_config(config: Any) -> Iterator[tuple[str, str]]:
    """Field and fault of everything in a config.json that we do not take."""
    if not isinstance(config, dict):
        yield "config.json", "is not a JSON object"
        return
    for name in CODE_KEYS:
        if config.get(name):
            yield (
                f"config.json.{name}",
                "names code of the model's maker, or quantised weights: neither is run",
            )
    architectures = config.get("architectures")
    known = isinstance(architectures, list) and len(architectures) == 1 and architectures[0] in ARCHITECTURES
    if not known:
        others = f"{len(FAMILY_ARCHITECTURES)} others (`retain learn families`)"
        expected = f"{', '.join(OWN_ARCHITECTURES)} and {others}"
        yield "config.json.architectures", mismatch(_short(architectures), f"one of {expected}")
    if not isinstance(config.get("model_type", ""), str):
        yield "config.json.model_type", mismatch(_short(config["model_type"]), "the name of a family, as a text")
    own = not known or architectures in [[name] for name in OWN_ARCHITECTURES]
    for name in _POSITIVE if own else _POSITIVE[:-1]:
        name = name if own or name in config else _OTHER_NAMES.get(name, name)
        value = config.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LARGEST:
            yield f"config.json.{name}", mismatch(_short(value), f"a whole number from 1 to {LARGEST:,}")
    vocabulary = config.get("vocab_size")
    for name in ("eos_token_id", "bos_token_id"):
        value = config.get(name)
        for token in value if isinstance(value, list) and name == "eos_token_id" else [value]:
            whole = isinstance(token, int) and not isinstance(token, bool)
            if token is not None and not (whole and (not isinstance(vocabulary, int) or 0 <= token < vocabulary)):
                expected = "a token id below vocab_size, or null" + (", or a list" if name == "eos_token_id" else "")
                yield f"config.json.{name}", mismatch(_short(value), expected)
                break


def context_of(config: Any) -> int | None:
    """Longest sequence of a model in tokens, or None when its config.json does not say."""
    named = [config[name] for name in _CONTEXTS if name in config] if isinstance(config, dict) else []
    value = named[0] if named else None
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LARGEST else None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
