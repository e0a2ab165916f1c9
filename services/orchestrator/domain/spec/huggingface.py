"""Our own schema for the config.json of an imported model: what is not understood is refused, nothing is executed.

transformers before 5.3 ran code that a config.json pointed to (CVE-2026-4372); here it is only ever data.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

# The Llama family that model/checkpointing/hf.py can load.
ARCHITECTURES = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM")
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
LARGEST = 1 << 31
_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
REQUIRED_FILES = ("config.json", "tokenizer.json")
_POSITIVE = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")


def faults_of_files(names: Sequence[str]) -> Iterator[str]:
    """What is wrong with the files of a model folder: pickles, no weights, something missing."""
    for name in names:
        if name.endswith(PICKLES):
            yield f"came {name}, a pickle, which can run code; allowed are .safetensors weights"
        if name.endswith(".py"):
            yield f"came {name}; code of a model is never run, allowed are weights and JSON"
    for required in REQUIRED_FILES:
        if required not in names:
            yield f"{required} is missing; came {', '.join(names)}"
    weights = [name for name in names if name.endswith(".safetensors")]
    if not weights:
        yield "there are no .safetensors weights"
    if INDEX in names and WHOLE in weights and any(_SHARD.fullmatch(name) for name in weights):
        yield f"{WHOLE} lies beside {INDEX} and its shards; one of the two models is allowed, remove the stale one"


def faults_of_config(config: Any) -> Iterator[tuple[str, str]]:
    """Field and fault of everything in a config.json that we do not take."""
    if not isinstance(config, dict):
        yield "config.json", "is not a JSON object"
        return
    for name in ("auto_map", "trust_remote_code"):
        if config.get(name):
            yield f"config.json.{name}", "points to code of the model's maker, which is never run"
    architectures = config.get("architectures")
    known = isinstance(architectures, list) and len(architectures) == 1 and architectures[0] in ARCHITECTURES
    if not known:
        allowed = ", ".join(ARCHITECTURES)
        yield "config.json.architectures", f"came {_short(architectures)}; allowed is one of {allowed}"
    for name in _POSITIVE:
        value = config.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LARGEST:
            yield f"config.json.{name}", f"came {_short(value)}; allowed is a whole number from 1 to {LARGEST:,}"
    vocabulary = config.get("vocab_size")
    for name in ("eos_token_id", "bos_token_id"):
        value = config.get(name)
        for token in value if isinstance(value, list) and name == "eos_token_id" else [value]:
            whole = isinstance(token, int) and not isinstance(token, bool)
            if token is not None and not (whole and (not isinstance(vocabulary, int) or 0 <= token < vocabulary)):
                allowed = "a token id below vocab_size, or null" + (", or a list" if name == "eos_token_id" else "")
                yield f"config.json.{name}", f"came {_short(value)}; allowed is {allowed}"
                break


def context_of(config: Any) -> int | None:
    """Longest sequence of a model in tokens, or None when its config.json does not say."""
    value = config.get("max_position_embeddings") if isinstance(config, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LARGEST else None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
