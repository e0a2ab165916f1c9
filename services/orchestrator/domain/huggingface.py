"""Our own schema for the config.json of an imported model: what is not understood is refused, nothing is executed.

transformers before 5.3 ran code that a config.json pointed to (CVE-2026-4372); here it is only ever data.
"""

from collections.abc import Iterator, Sequence
from typing import Any

# The Llama family that model/hf.py can load.
ARCHITECTURES = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM")
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
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
    if not any(name.endswith(".safetensors") for name in names):
        yield "there are no .safetensors weights"


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
        yield "config.json.architectures", f"came {architectures!r}; allowed is one of {', '.join(ARCHITECTURES)}"
    for name in _POSITIVE:
        value = config.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            yield f"config.json.{name}", f"came {value!r}; allowed is a whole number above 0"


def context_of(config: Any) -> int | None:
    """Longest sequence of a model in tokens, or None when its config.json does not say."""
    value = config.get("max_position_embeddings") if isinstance(config, dict) else None
    return value if isinstance(value, int) and value > 0 else None
