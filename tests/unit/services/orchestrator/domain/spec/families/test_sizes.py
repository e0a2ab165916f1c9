"""Weights of other families, by arithmetic, against transformers' own count and against what their makers publish; what
a layer keeps for the backward pass, against what autograd saves."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from model.families.config import from_hf
from model.families.decoder import FamilyModel
from model.families.names import FAMILIES
from model.families.tiny import tiny_config
from model.nn.lora import add_lora
from retain.values import LoraSpec
from services.orchestrator.domain.spec.families.sizes import (
    APART,
    COUNTED,
    TIED_BY_DEFAULT,
    FamilySizes,
    sizes_of_family,
    sizes_of_model,
)
from services.orchestrator.domain.spec.needs.memory import activation_bytes
from services.orchestrator.domain.spec.needs.shape import Shape, adapter_parameters
from services.orchestrator.domain.spec.needs.stage_needs import needs_of
from services.orchestrator.domain.spec.needs.work import forward_flops
from services.orchestrator.domain.spec.plan import plan
from services.orchestrator.domain.spec.teacher import UNKNOWN_MEMORY
from tests.unit.services.orchestrator.domain.spec.needs.test_stage_needs import filled


def sized(
    vocab_size: int, width: int, layers: int, heads: int, kv_heads: int, inner: int, **more: Any
) -> dict[str, Any]:
    """The sizes of a published config.json under the usual names."""
    named = {
        "vocab_size": vocab_size, "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": kv_heads, "intermediate_size": inner, "max_position_embeddings": 2048,
    }  # fmt: skip
    return {key: value for key, value in named.items() if value} | more


GPT2 = {"vocab_size": 50_257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12}
EXPERTS = {"num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768, "norm_topk_prob": True}
NEXT = {
    "num_experts": 512, "num_experts_per_tok": 10, "moe_intermediate_size": 512, "head_dim": 256,
    "shared_expert_intermediate_size": 512, "linear_num_value_heads": 32, "linear_num_key_heads": 16,
    "linear_key_head_dim": 128, "linear_value_head_dim": 128,
}  # fmt: skip
# What their makers publish as config.json, and how many weights the model has, where that is a known figure.
PUBLISHED: list[tuple[str, str, dict[str, Any], int | None]] = [
    ("Qwen3-0.6B", "qwen3", sized(151_936, 1024, 28, 16, 8, 3072, head_dim=128, tie_word_embeddings=True), 596_049_920),
    ("Gemma-3-270M", "gemma3_text", sized(262_144, 640, 18, 4, 1, 2048, head_dim=256), 268_098_176),
    ("Gemma-3-1B", "gemma3_text", sized(262_144, 1152, 26, 4, 1, 6912, head_dim=256), 999_885_952),
    ("OLMo-2-1B", "olmo2", sized(100_352, 2048, 16, 16, 16, 8192, tie_word_embeddings=False), 1_484_916_736),
    ("Phi-3-mini", "phi3", sized(32_064, 3072, 32, 32, 32, 8192, pad_token_id=None), 3_821_079_552),
    ("Mixtral-8x7B", "mixtral", sized(32_000, 4096, 32, 32, 8, 14_336, num_local_experts=8), 46_702_792_704),
    ("Qwen3-30B-A3B", "qwen3_moe", sized(151_936, 2048, 48, 32, 4, 6144, head_dim=128, **EXPERTS), 30_532_122_624),
    ("GPT-2", "gpt2", GPT2, 124_439_808),
    ("Pythia-160M", "gpt_neox", sized(50_304, 768, 12, 12, 0, 3072), 162_322_944),
    ("Phi-2", "phi", sized(51_200, 2560, 32, 32, 32, 10_240), 2_779_683_840),
    ("StarCoder2-3B", "starcoder2", sized(49_152, 3072, 30, 24, 2, 12_288), 3_030_371_328),
    ("gpt-oss-20b", "gpt_oss", sized(201_088, 2880, 24, 64, 8, 2880, num_local_experts=32), 20_914_757_184),
    ("LFM2-350M", "lfm2", sized(65_536, 1024, 16, 16, 8, 6656, full_attn_idxs=[2, 5, 8, 10, 12, 14]), 354_483_968),
    ("Falcon-7B", "falcon", {"vocab_size": 65_024, "hidden_size": 4544, "num_hidden_layers": 32,
                             "num_attention_heads": 71, "max_position_embeddings": 2048}, None),
    ("Falcon-40B", "falcon", {"vocab_size": 65_024, "hidden_size": 8192, "num_hidden_layers": 60, "num_kv_heads": 8,
                              "num_attention_heads": 128, "new_decoder_architecture": True,
                              "max_position_embeddings": 2048}, None),
    ("Qwen3-Next-80B-A3B", "qwen3_next", sized(151_936, 2048, 48, 16, 2, 5120, **NEXT), 79_674_391_296),
    ("GLM-4-9B", "glm4", sized(151_552, 4096, 40, 32, 2, 13_696, head_dim=128, pad_token_id=None), None),
    ("Granite-3-2B", "granite", sized(49_155, 2048, 40, 32, 8, 8192, tie_word_embeddings=True), None),
    ("OLMo-3-7B", "olmo3", sized(100_278, 4096, 32, 32, 32, 11_008), None),
    ("Command-R7B", "cohere2", sized(256_000, 4096, 32, 32, 8, 14_336, pad_token_id=0), None),
    ("EXAONE-4-1.2B", "exaone4", sized(102_400, 2048, 30, 32, 8, 4096, tie_word_embeddings=True), None),
    ("Nemotron-4B", "nemotron", sized(256_000, 3072, 32, 24, 8, 9216, head_dim=128), None),
    ("ERNIE-4.5-0.3B", "ernie4_5", sized(103_424, 1024, 18, 16, 2, 3072, head_dim=128), None),
    ("Seed-OSS-36B", "seed_oss", sized(155_136, 5120, 64, 80, 8, 27_648, head_dim=128), None),
]  # fmt: skip


def on_meta(raw: dict[str, Any]) -> FamilyModel:
    """The model of a config without any numbers in it."""
    raw = {**raw, "architectures": [FAMILIES[raw["model_type"]].architecture]}
    with torch.device("meta"):
        return FamilyModel(from_hf(raw))


def count(model: FamilyModel) -> int:
    return sum(weight.numel() for weight in model.parameters())


def sizes(raw: dict[str, Any]) -> FamilySizes:
    found = sizes_of_family(raw)
    assert found is not None
    return found


@pytest.mark.parametrize(("name", "family", "config", "known"), PUBLISHED, ids=[one[0] for one in PUBLISHED])
def test_weights_of_published_models_are_those_that_transformers_counts(
    name: str, family: str, config: dict[str, Any], known: int | None
) -> None:
    raw = config | {"model_type": family}
    found = sizes(raw)
    assert known in (None, found.parameters)
    assert found.parameters == count(on_meta(raw))


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_tiny_model_of_each_family_is_counted_with_its_adapters(family: str) -> None:
    raw = tiny_config(family)
    model, found = on_meta(raw), sizes(raw)
    assert found.parameters == count(model)
    assert found.of_layer == max(sum(p.numel() for p in layer.parameters()) for layer in model.sharded_layers)
    add_lora(model, rank=3)
    assert adapter_parameters(found, 3) == sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_of_experts_a_token_passes_those_that_it_is_given_to() -> None:
    """Mixtral 8x7B: 2 of 8 experts. 12.9 billion active weights in all, as its makers say, of 46.7."""
    raw = next(config for name, _, config, _ in PUBLISHED if name == "Mixtral-8x7B") | {"model_type": "mixtral"}
    found = sizes(raw)
    experts = 32 * 3 * 4096 * 14_336
    assert found.used_by_a_token == 32 * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 8 * 4096) + 2 * experts
    assert (found.used_by_a_token + found.embeddings) / 1e9 == pytest.approx(12.9, abs=0.05)
    flops = forward_flops(Shape(sizes=found, rows=1, context=1))
    assert flops == pytest.approx(2 * (found.used_by_a_token + 32_000 * 4096), rel=1e-3)


def of_two_widths(family: str, layers: int) -> dict[str, Any]:
    """A config of widths on which nothing was fitted."""
    raw = tiny_config(family)
    wanted: dict[str, Any] = dict.fromkeys(("hidden_size", "n_embd"), 128)
    wanted |= dict.fromkeys(("intermediate_size", "moe_intermediate_size", "shared_expert_intermediate_size"), 320)
    wanted |= dict.fromkeys(("num_hidden_layers", "n_layer"), layers) | {"head_dim": 32, "query_pre_attn_scalar": 32}
    raw |= {key: value for key, value in wanted.items() if key in raw}
    return raw | ({"layer_types": raw["layer_types"] * (layers // 2)} if "layer_types" in raw else {})


def saved_bytes(raw: dict[str, Any], rows: int, context: int) -> int:
    model = FamilyModel(from_hf(raw)).train()
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    tokens_BT = torch.randint(64, (rows, context))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(tokens_BT, targets_BT=tokens_BT)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_what_a_layer_keeps_is_what_autograd_saves(family: str) -> None:
    """By the growth from two to four layers. Qwen3-Next's linear attention works in pieces of 64 tokens, padded, which
    a multiple of its widths tells only roughly."""
    two, four = (saved_bytes(of_two_widths(family, layers), 2, 48) for layers in (2, 4))
    shapes = [Shape(sizes=sizes(of_two_widths(family, layers)), rows=2, context=48) for layers in (2, 4)]
    ours = activation_bytes(shapes[1]) - activation_bytes(shapes[0])
    assert ours == pytest.approx(four - two, rel=0.35 if family == "qwen3_next" else 0.06)


def test_the_lists_of_both_sides_are_one() -> None:
    assert set(COUNTED) == set(FAMILIES)
    absent = {name for name in FAMILIES if from_hf({k: v for k, v in tiny_config(name).items()
                                                    if k != "tie_word_embeddings"}).tied_embeddings}  # fmt: skip
    assert absent == set(TIED_BY_DEFAULT)


@pytest.mark.parametrize(
    "changes",
    [
        {"layer_types": 7}, {"hidden_size": "1"}, {"num_hidden_layers": 10**9}, {"num_attention_heads": 0},
        {"block_ffn_dim_multiplier": float("nan")}, {"block_ffn_dim_multiplier": 1e300}, {"layer_types": [None] * 3},
        {"full_attn_idxs": {"a": 1}},
    ],
)  # fmt: skip
@pytest.mark.parametrize("family", ["lfm2", "qwen3_next"])
def test_a_broken_config_is_no_fault_of_the_orchestrator(family: str, changes: dict[str, Any]) -> None:
    found = sizes_of_model(tiny_config(family) | changes)
    assert found is None or found.parameters > 0


def test_a_config_of_no_family_is_read_as_llama() -> None:
    raw = sized(49_152, 576, 30, 9, 3, 1536, tie_word_embeddings=True, model_type="llama")
    found = sizes_of_model(raw)
    assert found is not None
    assert found.parameters == 134_515_008  # SmolLM2-135M, as its makers say
    assert sizes_of_model(raw | {"model_type": ["llama"]}) is not None


@pytest.mark.parametrize("family", ["qwen3", "falcon", "mixtral"])
def test_the_plan_says_what_is_done_otherwise(family: str) -> None:
    wanted = filled()
    lora = replace(wanted.stages[1], lora=LoraSpec(rank=4, alpha=8.0))
    wanted = replace(wanted, stages=(wanted.stages[0], lora, wanted.stages[2]))
    of_stages = [need.notes for need in needs_of(wanted, plan(wanted), sizes(tiny_config(family)), UNKNOWN_MEMORY)]
    assert [any("unpacked" in note and "falcon" in note for note in notes) for notes in of_stages] == [
        False,
        False,
        family in APART,
    ]
    assert [any("experts of mixtral" in note for note in notes) for notes in of_stages] == [
        False,
        family == "mixtral",
        False,
    ]
