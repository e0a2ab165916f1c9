"""Model folders: equal to transformers in both directions, and refused when broken or unsafe."""

import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from model.checkpointing.hf import load_pretrained, model_digest, save_pretrained, weights_digest
from model.errors import BadCheckpoint, BadConfig, NonFinite, UnsupportedArchitecture
from model.nn.config import ModelConfig, RopeScaling, preset
from model.nn.llama import Llama
from model.tokenization.tokenizer import Tokenizer
from tests.unit.model.data_helpers import encode_chat

SIZES = {
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
KINDS = {
    "llama2": lambda: LlamaForCausalLM(LlamaConfig(**SIZES | {"num_key_value_heads": 4}, rms_norm_eps=1e-5)),
    "llama3": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, rope_parameters=LLAMA3)),
    "llama-linear": lambda: LlamaForCausalLM(
        LlamaConfig(**SIZES, rope_parameters={"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0})
    ),
    "llama-biases": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, attention_bias=True, mlp_bias=True, head_dim=24)),
    "smollm2": lambda: LlamaForCausalLM(
        LlamaConfig(**SIZES, tie_word_embeddings=True, rope_parameters={"rope_type": "default", "rope_theta": 1e5})
    ),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**SIZES, sliding_window=24)),
    "qwen2": lambda: Qwen2ForCausalLM(
        Qwen2Config(**SIZES, rope_parameters={"rope_type": "default", "rope_theta": 1e6})
    ),
    "qwen2-windows": lambda: Qwen2ForCausalLM(
        Qwen2Config(**SIZES, use_sliding_window=True, sliding_window=24, max_window_layers=1)
    ),
}


def random_model(kind: str) -> PreTrainedModel:
    """A model of transformers whose weights, biases and norms are all away from their trivial values."""
    torch.manual_seed(0)
    oracle = KINDS[kind]().eval()
    with torch.no_grad():
        for parameter in oracle.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return oracle


@torch.no_grad()
def assert_same_logits(ours: Llama, oracle: PreTrainedModel) -> None:
    tokens_BT = torch.randint(0, oracle.config.vocab_size, (2, 96), generator=torch.Generator().manual_seed(1))
    theirs_BTV = oracle(tokens_BT).logits
    assert theirs_BTV.std() > 0.1  # the comparison says something
    torch.testing.assert_close(ours(tokens_BT), theirs_BTV, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", list(KINDS))
def test_logits_equal_transformers_in_both_directions(kind: str, tmp_path: Path) -> None:
    oracle = random_model(kind)
    oracle.save_pretrained(tmp_path / "theirs", max_shard_size="60KB")
    assert len(list((tmp_path / "theirs").glob("*.safetensors"))) > 1  # sharded
    ours = load_pretrained(tmp_path / "theirs")
    assert ours.num_parameters() == oracle.num_parameters() == ours.config.parameter_count()
    assert_same_logits(ours, oracle)

    save_pretrained(ours, tmp_path / "ours", max_shard_bytes=70_000)
    back = AutoModelForCausalLM.from_pretrained(tmp_path / "ours")
    assert type(back) is type(oracle)
    assert_same_logits(ours, back)
    assert weights_digest(tmp_path / "ours") == weights_digest(tmp_path / "theirs") == model_digest(ours)


def test_rope_settings_of_transformers_4_are_read_alike(tmp_path: Path) -> None:
    random_model("llama3").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    new = load_pretrained(tmp_path).config
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = rope
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load_pretrained(tmp_path).config == new
    assert new.rope_scaling == RopeScaling(
        kind="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_context=32
    )


def test_real_model_equals_transformers(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "models" / "stories260K-hf"
    ours, oracle = load_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    assert ours.num_parameters() == 260_032
    assert_same_logits(ours, oracle)
    save_pretrained(ours, tmp_path, Tokenizer.load(folder))
    assert_same_logits(ours, AutoModelForCausalLM.from_pretrained(tmp_path))
    assert weights_digest(tmp_path) == weights_digest(folder)
    text = "Once upon a time, there was a little girl named Lily."
    assert AutoTokenizer.from_pretrained(tmp_path)(text)["input_ids"] == Tokenizer.load(folder).encode(text)


def test_a_fresh_model_opens_with_auto_classes_chat_template_included(tmp_path: Path) -> None:
    tokenizer = Tokenizer.train_bpe(["the cat sat on the mat, " * 20], 300)
    ours = Llama(preset("nano", vocab_size=320, context=64), seed=3)
    save_pretrained(ours, tmp_path, tokenizer)
    theirs, their_tokenizer = AutoModelForCausalLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    messages = [{"role": "user", "content": "the cat?"}, {"role": "assistant", "content": "sat."}]
    ids = their_tokenizer.apply_chat_template(messages)["input_ids"]
    assert ids == encode_chat(tokenizer, messages)[0]
    with torch.no_grad():
        torch.testing.assert_close(ours(torch.tensor([ids])), theirs(torch.tensor([ids])).logits, atol=1e-4, rtol=0)
    assert theirs.generation_config.eos_token_id in (tokenizer.eos_id, [tokenizer.eos_id])
    assert theirs.config.bos_token_id == tokenizer.bos_id
    generated = theirs.generate(**their_tokenizer("the cat", return_tensors="pt"), max_new_tokens=3, do_sample=False)
    assert generated.shape[1] <= 3 + len(tokenizer.encode("the cat"))


def test_bfloat16_weights_come_back_bit_for_bit(tmp_path: Path) -> None:
    first = Llama(preset("nano", vocab_size=64, context=16), seed=1).to(torch.bfloat16)
    save_pretrained(first, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["torch_dtype"] == "bfloat16"
    again = load_pretrained(tmp_path, dtype=torch.bfloat16)
    assert model_digest(again) == model_digest(first) == weights_digest(tmp_path)


def test_digest_sees_every_bit_and_no_sharding(tmp_path: Path) -> None:
    model = Llama(preset("nano", vocab_size=64, context=16), seed=1)
    save_pretrained(model, tmp_path / "one")
    save_pretrained(model, tmp_path / "many", max_shard_bytes=100_000)
    digest = weights_digest(tmp_path / "one")
    assert digest == weights_digest(tmp_path / "many")
    with torch.no_grad():
        model.model.norm.weight[0] = torch.nextafter(model.model.norm.weight[0], torch.tensor(2.0))
    save_pretrained(model, tmp_path / "many")  # and the shards of the earlier save are gone
    assert weights_digest(tmp_path / "many") == model_digest(model) != digest


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A folder that loads, to be spoilt by a test."""
    save_pretrained(Llama(preset("nano", vocab_size=64, context=16), seed=0), tmp_path)
    load_pretrained(tmp_path)
    return tmp_path


def spoil_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def spoil_weights(folder: Path, **changes: torch.Tensor | None) -> None:
    tensors = load_file(folder / "model.safetensors") | changes
    save_file({name: t for name, t in tensors.items() if t is not None}, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("changes", "error", "named"),
    [
        ({"auto_map": {"AutoConfig": "evil.Config"}}, BadCheckpoint, "auto_map"),
        ({"model_type": "mamba", "architectures": ["MambaForCausalLM"]}, UnsupportedArchitecture, "mamba"),
        (
            {"architectures": ["LlamaForSequenceClassification"]},
            UnsupportedArchitecture,
            "LlamaForSequenceClassification",
        ),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, UnsupportedArchitecture, "yarn"),
        ({"rope_scaling": {"type": "dynamic", "factor": 4.0}}, UnsupportedArchitecture, "dynamic"),
        ({"rope_parameters": {"rope_type": "linear", "factor": "NaN"}}, BadCheckpoint, "factor"),
        ({"hidden_act": "gelu"}, UnsupportedArchitecture, "gelu"),
        ({"quantization_config": {"bits": 4}}, UnsupportedArchitecture, "quantization_config"),
        ({"hidden_size": "128"}, BadCheckpoint, "hidden_size"),
        ({"hidden_size": None}, BadCheckpoint, "hidden_size"),
        (
            {"num_key_value_heads": 3},
            BadConfig,
            r"config\.json: num_key_value_heads: got 3; expected a divisor of heads \(4\)",
        ),
        ({"intermediate_size": 255}, BadCheckpoint, "mlp"),
        ({"num_hidden_layers": 5}, BadCheckpoint, "layers.4"),
        ({"num_hidden_layers": 3}, BadCheckpoint, "unexpected"),
        ({"tie_word_embeddings": False}, BadCheckpoint, "lm_head.weight"),
        ({"bos_token_id": 64}, BadConfig, r"config\.json: bos_token_id: got 64.*0 to 63"),
    ],
)
def test_a_bad_config_is_refused_by_name(good: Path, changes: dict, error: type[Exception], named: str) -> None:
    spoil_config(good, **changes)
    with pytest.raises(error, match=named):
        load_pretrained(good)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "training_args.bin", "sub/optimizer.pt", "scheduler.PKL"])
def test_pickles_are_refused(good: Path, name: str) -> None:
    (good / name).parent.mkdir(exist_ok=True)
    (good / name).write_bytes(b"\x80\x04.")
    with pytest.raises(BadCheckpoint, match=r"pickle"):
        load_pretrained(good)


def test_broken_and_truncated_files_are_refused(good: Path) -> None:
    path = good / "model.safetensors"
    whole = path.read_bytes()
    for broken in (b"", whole[:4], struct.pack("<Q", 1 << 60) + whole[8:], whole[:8] + b"?" + whole[9:], whole[:-4]):
        path.write_bytes(broken)
        with pytest.raises(BadCheckpoint, match=r"model\.safetensors"):
            load_pretrained(good)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_non_finite_weights_are_refused_on_the_way_in_and_out(good: Path, bad: float) -> None:
    spoil_weights(good, **{"model.norm.weight": torch.full((128,), bad)})
    with pytest.raises(NonFinite, match=r"model\.norm\.weight"):
        load_pretrained(good)
    model = Llama(preset("nano", vocab_size=64, context=16), seed=0)
    torch.nn.init.constant_(model.model.norm.weight, bad)
    with pytest.raises(NonFinite, match=r"model\.norm\.weight"):
        save_pretrained(model, good)


def test_missing_misshapen_quantised_and_untied_tensors_are_refused(good: Path) -> None:
    name = "model.layers.2.self_attn.k_proj.weight"
    right = load_file(good / "model.safetensors")[name]
    for bad, message in ((None, "1 missing"), (right.T, r"shape \(128, 64\)"), (right.to(torch.int8), "int8")):
        spoil_weights(good, **{name: None if bad is None else bad.contiguous()})
        with pytest.raises(BadCheckpoint, match=rf"{name}.*{message}"):
            load_pretrained(good)
    spoil_weights(good, **{name: right, "lm_head.weight": torch.zeros(64, 128)})
    with pytest.raises(BadCheckpoint, match=r"lm_head\.weight"):
        load_pretrained(good)


def test_an_index_cannot_point_outside_the_folder(good: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "model.safetensors"
    (good / "model.safetensors").rename(elsewhere)
    index = good / "model.safetensors.index.json"
    for shard in (str(elsewhere), f"../{elsewhere.parent.name}/model.safetensors", "absent.safetensors"):
        index.write_text(json.dumps({"weight_map": {"model.norm.weight": shard}}))
        with pytest.raises(BadCheckpoint, match=r"index\.json"):
            load_pretrained(good)
    index.write_text("{}")
    with pytest.raises(BadCheckpoint, match="weight_map"):
        load_pretrained(good)


def test_folders_that_are_not_model_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match="no such folder"):
        load_pretrained(tmp_path / "absent")
    with pytest.raises(BadCheckpoint, match=r"config\.json"):
        load_pretrained(tmp_path)


def test_a_vocabulary_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    tokenizer = Tokenizer.train_bpe(["a b c"], 262)
    with pytest.raises(BadConfig, match="262 tokens"):
        save_pretrained(Llama(preset("nano", vocab_size=261, context=16)), tmp_path, tokenizer)


def test_a_config_of_no_family_is_refused_on_export(tmp_path: Path) -> None:
    sizes = {"vocab_size": 8, "context": 8, "width": 8, "layers": 1, "heads": 1, "kv_heads": 1, "ffn_width": 8}
    with pytest.raises(BadConfig, match="no known family"):
        save_pretrained(Llama(ModelConfig(**sizes, output_bias=True)), tmp_path)
