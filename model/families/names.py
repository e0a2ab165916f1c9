"""The families that are opened through transformers: an allow-list of `model_type`. All others are refused by name.

Llama, Mistral and Qwen2 are not here: our own model (model/nn/llama.py) computes them, and faster.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family as its config.json names it, and the one class of transformers that computes it."""

    model_type: str
    architecture: str


def _families(*pairs: tuple[str, str]) -> Mapping[str, Family]:
    return MappingProxyType({kind: Family(model_type=kind, architecture=name) for kind, name in pairs})


FAMILIES = _families(
    ("cohere2", "Cohere2ForCausalLM"),
    ("ernie4_5", "Ernie4_5ForCausalLM"),
    ("exaone4", "Exaone4ForCausalLM"),
    ("falcon", "FalconForCausalLM"),
    ("gemma3_text", "Gemma3ForCausalLM"),
    ("glm4", "Glm4ForCausalLM"),
    ("gpt2", "GPT2LMHeadModel"),
    ("gpt_neox", "GPTNeoXForCausalLM"),
    ("gpt_oss", "GptOssForCausalLM"),
    ("granite", "GraniteForCausalLM"),
    ("lfm2", "Lfm2ForCausalLM"),
    ("mixtral", "MixtralForCausalLM"),
    ("nemotron", "NemotronForCausalLM"),
    ("olmo2", "Olmo2ForCausalLM"),
    ("olmo3", "Olmo3ForCausalLM"),
    ("phi", "PhiForCausalLM"),
    ("phi3", "Phi3ForCausalLM"),
    ("qwen3", "Qwen3ForCausalLM"),
    ("qwen3_moe", "Qwen3MoeForCausalLM"),
    ("qwen3_next", "Qwen3NextForCausalLM"),
    ("seed_oss", "SeedOssForCausalLM"),
    ("starcoder2", "Starcoder2ForCausalLM"),
)
