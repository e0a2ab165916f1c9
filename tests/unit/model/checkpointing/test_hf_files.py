"""Model folders told by their headers and configs: what contradicts, lacks or overlaps is refused by name."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GenerationConfig

from model.checkpointing.hf import load_pretrained, save_pretrained
from model.checkpointing.hf_config import read_config
from model.checkpointing.hf_files import expected_tensors, folder_faults
from model.errors import BadCheckpoint, BadConfig, RetainModelError, UnsupportedArchitecture
from model.nn.config import ModelConfig, RopeScaling, preset
from model.nn.llama import Llama
from model.tokenization.tokenizer import Tokenizer

SIZES: dict[str, Any] = {"vocab_size": 320, "context": 32, "layers": 2, "width": 32, "heads": 4, "kv_heads": 2}
SIZES |= {"ffn_width": 48}
NORM = "model.norm.weight"


@pytest.fixture
def tokenizer() -> Tokenizer:
    return Tokenizer.train_bpe(["the cat sat on the mat, " * 20], 300)


@pytest.fixture
def good(tmp_path: Path, tokenizer: Tokenizer) -> Path:
    """A folder without a fault, to be spoilt by a test."""
    save_pretrained(Llama(ModelConfig(**SIZES), seed=0), tmp_path / "model", tokenizer)
    assert folder_faults(tmp_path / "model")[1] == []
    return tmp_path / "model"


def spoil(folder: Path, name: str = "config.json", **changes: object) -> Path:
    path = folder / name
    raw = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in raw.items() if value is not ...}))
    return path


def refused(folder: Path, error: type[RetainModelError] = BadCheckpoint) -> str:
    """The one fault that both the check and the reader have, in the same words."""
    with pytest.raises(error) as caught:
        load_pretrained(folder)
    assert str(caught.value) in [str(fault) for fault in folder_faults(folder)[1]]
    return str(caught.value)


def write_header(path: Path, header: bytes | dict, data: bytes = b"") -> None:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data)


# Names and shapes


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tied_embeddings": False},
        {"attention_bias": True},
        {"attention_bias": True, "output_bias": True, "mlp_bias": True, "head_dim": 6},
        {"kv_heads": 4, "layers": 3},
    ],
)
def test_what_a_config_implies_is_what_the_model_has(changes: dict) -> None:
    config = ModelConfig(**SIZES | changes)
    with torch.device("meta"):
        model = Llama(config)
    assert dict(expected_tensors(config)) == {name: tuple(t.shape) for name, t in model.state_dict().items()}


def test_what_the_header_lacks_or_has_too_much_is_found_without_a_weight(good: Path) -> None:
    path = good / "model.safetensors"
    tensors = load_file(path)
    extra = {"model.layers.7.mlp.up_proj.bias": torch.zeros(3), "adapter.weight": torch.zeros(2)}
    wrong = {NORM: torch.zeros(31), "model.layers.1.input_layernorm.weight": torch.zeros(32, dtype=torch.int8)}
    kept = {name: tensor for name, tensor in tensors.items() if "layers.0.mlp.up_proj" not in name}
    save_file(kept | extra | wrong, path)
    said = [str(fault) for fault in folder_faults(good)[1]]
    assert len(said) == 5
    for name, came in (
        ("adapter.weight", "an unexpected tensor"),
        ("model.layers.7.mlp.up_proj.bias", "an unexpected tensor"),
        (NORM, "shape (31,); expected (32,)"),
        ("model.layers.1.input_layernorm.weight", "int8"),
        ("model.layers.0.mlp.up_proj.weight", "1 missing tensor"),
    ):
        assert any(f"{name}: got {came}" in one for one in said), name
    refused(good)


def test_an_untied_head_that_is_absent_is_named_with_a_remedy(good: Path) -> None:
    spoil(good, tie_word_embeddings=False)
    said = refused(good)
    assert "lm_head.weight: got 1 missing tensor" in said
    assert "tie_word_embeddings: true" in said


# Files


def sharded(folder: Path) -> dict[str, Any]:
    save_pretrained(load_pretrained(folder), folder, max_shard_bytes=20_000)
    return json.loads((folder / "model.safetensors.index.json").read_text())


def test_a_whole_model_beside_an_index_is_refused(good: Path) -> None:
    stale = (good / "model.safetensors").read_bytes()
    sharded(good)
    load_pretrained(good)
    (good / "model.safetensors").write_bytes(stale)
    said = refused(good)
    assert "model.safetensors: got a whole model beside model.safetensors.index.json" in said
    assert "remove this file" in said


def test_an_index_of_the_single_file_itself_is_no_contradiction(good: Path) -> None:
    names = dict.fromkeys(load_file(good / "model.safetensors"), "model.safetensors")
    (good / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    load_pretrained(good)
    assert folder_faults(good)[1] == []


def test_shards_and_index_must_say_the_same(good: Path) -> None:
    index = sharded(good)
    path, shards = good / "model.safetensors.index.json", sorted(set(index["weight_map"].values()))
    moved = index["weight_map"] | {NORM: next(s for s in shards if s != index["weight_map"][NORM])}
    path.write_text(json.dumps({"weight_map": moved}))
    assert f"{NORM}: got a tensor for which model.safetensors.index.json names {moved[NORM]}" in refused(good)
    unnamed = {name: shard for name, shard in index["weight_map"].items() if name != NORM}
    path.write_text(json.dumps({"weight_map": unnamed}))
    assert "names no file" in refused(good)
    path.write_text(json.dumps(index))
    other = good / next(s for s in shards if s != index["weight_map"][NORM])
    save_file(load_file(other) | {NORM: torch.ones(32)}, other)
    refused(good)
    assert any(f"{NORM}: got a tensor that {other.name} holds too" in str(fault) for fault in folder_faults(good)[1])


@pytest.mark.parametrize("weight_map", [{}, [], {"a": 3}, None, "x"])
def test_an_index_without_a_map_is_refused(good: Path, weight_map: object) -> None:
    sharded(good)
    (good / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert "index.json: weight_map" in refused(good)


# Headers

ONE = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
HEADERS: dict[str, tuple[bytes | dict, bytes, str]] = {
    "no header": (b"", b"", "header"),
    "no object": (b"[1]", b"", "a JSON object"),
    "a name twice": (
        b'{"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}, "a": {"dtype": "U8", "shape": [1],'
        b' "data_offsets": [0, 1]}}',
        b"x",
        "a: got a key that comes twice",
    ),
    "not UTF-8": (b'{"\xff": 1}', b"", "header"),
    "nested": (b'{"a":' * 100_000, b"", "nested too deeply"),
    "thousands of digits": (b'{"a": ' + b"9" * 5_000 + b"}", b"", "header"),
    "overlap": ({"a": ONE, "b": ONE | {"data_offsets": [8, 24]}}, b"0" * 24, "b: got bytes of another tensor"),
    "the same bytes": ({"a": ONE, "b": ONE}, b"0" * 16, "b: got bytes of another tensor"),
    "gap": ({"a": ONE, "b": ONE | {"data_offsets": [20, 36]}}, b"0" * 36, "b: got a gap of 4 bytes"),
    "beyond the end": ({"a": ONE}, b"0" * 15, "15 bytes of data; the tensors take 16"),
    "more behind": ({"a": ONE}, b"0" * 17, "17 bytes of data"),
    "length of the shape": ({"a": ONE | {"shape": [5]}}, b"0" * 16, "a: got 16 bytes for float32 of shape (5,)"),
    "overflow": ({"a": ONE | {"shape": [1 << 61, 8]}}, b"0" * 16, "a: got 16 bytes"),
    "negative": ({"a": ONE | {"shape": [-4]}}, b"0" * 16, "a: got the shape [-4]"),
    "a shape of texts": ({"a": ONE | {"shape": ["4"]}}, b"0" * 16, "a: got the shape"),
    "a shape of truths": ({"a": ONE | {"shape": [True]}}, b"0" * 16, "a: got the shape"),
    "offsets backwards": ({"a": ONE | {"data_offsets": [16, 0]}}, b"0" * 16, "a: got the offsets [16, 0]"),
    "three offsets": ({"a": ONE | {"data_offsets": [0, 16, 16]}}, b"0" * 16, "a: got the offsets"),
    "unknown type": ({"a": ONE | {"dtype": "F4"}}, b"0" * 16, "a: got the type F4"),
    "no type": ({"a": {"shape": [4], "data_offsets": [0, 16]}}, b"0" * 16, "a: got {"),
    "more keys": ({"a": ONE | {"more": 1}}, b"0" * 16, "a: got {"),
    "metadata": ({"__metadata__": {"format": 1}, "a": ONE}, b"0" * 16, "__metadata__"),
}


@pytest.mark.parametrize(("header", "data", "named"), HEADERS.values(), ids=HEADERS)
def test_a_header_that_lies_is_refused_by_name(good: Path, header: bytes | dict, data: bytes, named: str) -> None:
    write_header(good / "model.safetensors", header, data)
    said = refused(good)
    assert str(good / "model.safetensors") in said
    assert named in said


@pytest.mark.parametrize("start", [b"", b"1234567", struct.pack("<Q", 1 << 63) + b"{}", struct.pack("<Q", 3) + b"{}"])
def test_a_length_that_is_not_there_is_refused(good: Path, start: bytes) -> None:
    (good / "model.safetensors").write_bytes(start)
    assert "a whole safetensors file" in refused(good)


# Rope

LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LLAMA3 |= {"original_max_position_embeddings": 16}
DEFAULT = {"rope_type": "default", "rope_theta": 500_000.0}


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"rope_parameters": DEFAULT, "rope_scaling": LLAMA3, "rope_theta": ...}, "rope_scaling"),
        ({"rope_parameters": DEFAULT, "rope_theta": 10_000.0}, "rope_theta"),
        ({"rope_scaling": {"rope_type": "default", "type": "linear", "factor": 2.0}}, "rope_scaling: rope_type"),
        ({"rope_parameters": DEFAULT | {"type": "linear", "factor": 2.0}}, "rope_parameters: rope_type"),
        (
            {"rope_parameters": LLAMA3 | {"rope_theta": 1e4}, "rope_scaling": {"type": "linear", "factor": 8.0}},
            "rope_scaling",
        ),
        (
            {"rope_parameters": LLAMA3, "rope_scaling": LLAMA3 | {"factor": 4.0}},
            "rope_scaling",
        ),
        ({"rope_parameters": LLAMA3, "rope_scaling": {"type": "default", "rope_theta": 7.0}}, "rope_scaling"),
    ],
)
def test_two_forms_of_rope_that_say_different_things_are_a_contradiction(good: Path, changes: dict, key: str) -> None:
    spoil(good, **changes)
    said = refused(good)
    assert f"config.json: {key}: got " in said
    assert "one of the two, or both alike" in said


def test_two_forms_of_rope_that_say_the_same_are_fine(good: Path) -> None:
    scaling = RopeScaling(kind="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_context=16)
    for changes in (
        {"rope_parameters": LLAMA3 | {"rope_theta": 5e5}, "rope_scaling": LLAMA3, "rope_theta": 500_000},
        {"rope_parameters": LLAMA3, "rope_scaling": None, "rope_theta": 5e5},
        {"rope_parameters": None, "rope_scaling": LLAMA3 | {"type": "llama3"}, "rope_theta": 5e5},
    ):
        spoil(good, **changes)
        config = read_config(good)
        assert (config.rope_theta, config.rope_scaling) == (500_000.0, scaling)


@pytest.mark.parametrize(
    ("changes", "error", "named"),
    [
        ({"rope_parameters": {"full_attention": DEFAULT}}, UnsupportedArchitecture, "rope_parameters: full_attention"),
        ({"rope_scaling": {"type": "linear"}}, BadConfig, "config.json: rope_scaling.factor"),
        ({"rope_scaling": LLAMA3 | {"low_freq_factor": 9.0}}, BadConfig, "config.json: rope_scaling"),
        ({"rope_scaling": [1]}, BadCheckpoint, "config.json: rope_scaling"),
        ({"rope_theta": 10**400}, BadCheckpoint, "config.json: rope_theta"),
        ({"rope_theta": float("nan")}, BadConfig, "config.json: rope_theta"),
        ({"num_hidden_layers": 10**9}, BadCheckpoint, "config.json: num_hidden_layers"),
        ({"hidden_size": 2**40}, BadCheckpoint, "config.json: hidden_size"),
        ({"rms_norm_eps": 0}, BadConfig, "config.json: rms_norm_eps"),
        ({"num_attention_heads": 5, "head_dim": None}, BadConfig, "config.json: num_key_value_heads"),
    ],
)
def test_settings_out_of_range_are_named_as_the_file_has_them(
    good: Path, changes: dict, error: type[RetainModelError], named: str
) -> None:
    spoil(good, **changes)
    assert named in refused(good, error)


@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
@pytest.mark.parametrize(
    ("text", "named"),
    [
        (b"[" * 200_000, "nested too deeply"),
        (b'{"vocab_size": ' + b"9" * 5_000 + b"}", "digits"),
        (b'{"model_type": "llama", "model_type": "mistral"}', "model_type: got a key that comes twice"),
        (b"\xff\xfe", "valid JSON"),
        (b"[]", "a JSON object"),
        (b'{"a": ', "valid JSON"),
    ],
)
def test_a_broken_file_is_named(good: Path, name: str, text: bytes, named: str) -> None:
    (good / name).write_bytes(text)
    said = refused(good)
    assert str(good / name) in said
    assert named in said


# Ids


@pytest.mark.parametrize(
    ("name", "changes", "named"),
    [
        ("config.json", {"eos_token_id": ["a"]}, "eos_token_id[0]: got 'a'"),
        ("config.json", {"eos_token_id": "a"}, "eos_token_id: got 'a'"),
        ("config.json", {"eos_token_id": [1, True]}, "eos_token_id[1]: got True"),
        ("config.json", {"eos_token_id": [1, [2]]}, "eos_token_id[1]: got [2]"),
        ("config.json", {"bos_token_id": 1.0}, "bos_token_id: got 1.0"),
        ("config.json", {"pad_token_id": "<pad>"}, "pad_token_id: got '<pad>'"),
        ("generation_config.json", {"eos_token_id": [1, "b"]}, "eos_token_id[1]: got 'b'"),
        ("generation_config.json", {"pad_token_id": {}}, "pad_token_id: got {}"),
    ],
)
def test_an_id_that_is_no_number_is_refused_by_file_and_key(good: Path, name: str, changes: dict, named: str) -> None:
    spoil(good, name, **changes)
    assert f"{name}: {named}" in refused(good)


@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"eos_token_id": 320}, "eos_token_id: got 320"),
        ({"eos_token_id": [1, -1]}, "eos_token_id[1]: got -1"),
        ({"bos_token_id": -1}, "bos_token_id: got -1"),
    ],
)
def test_an_id_that_is_no_token_is_refused_with_what_is(good: Path, name: str, changes: dict, named: str) -> None:
    spoil(good, name, **changes)
    said = refused(good, BadConfig)
    assert f"{name}: {named}" in said
    assert "ids go from 0 to 319" in said


@pytest.mark.parametrize("pad", [-1, 320, 10**30])
@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
def test_a_pad_id_that_cannot_be_is_taken_as_absent_and_said(good: Path, name: str, pad: int) -> None:
    for other in ("config.json", "generation_config.json"):
        spoil(good, other, pad_token_id=...)
    spoil(good, name, pad_token_id=pad)
    notes: list[str] = []
    config, faults = folder_faults(good, notes=notes)
    assert faults == []
    assert config is not None
    assert config.pad_id is None
    assert len(notes) == 1
    assert f"{name}: pad_token_id: got {str(pad)[:9]}" in notes[0]
    assert load_pretrained(good).config.pad_id is None


# What ends a text


@pytest.mark.parametrize(
    ("own", "generation", "ends"),
    [
        (1, {"eos_token_id": [1, 4]}, (1, 4)),
        (5, {"eos_token_id": [5, 1]}, (5, 1)),
        ([5, 1], {"eos_token_id": 1}, (1,)),
        ([5, 1, 5], {"temperature": 0.6, "do_sample": True}, (5, 1)),
        (1, None, (1,)),
    ],
)
def test_ends_are_read_from_both_files_and_exported_to_both(
    good: Path, tokenizer: Tokenizer, tmp_path: Path, own: object, generation: dict | None, ends: tuple[int, ...]
) -> None:
    spoil(good, eos_token_id=own)
    if generation is None:
        (good / "generation_config.json").unlink()
    else:
        (good / "generation_config.json").write_text(json.dumps(generation))
    model = load_pretrained(good)
    assert model.config.eos_ids == ends
    save_pretrained(model, tmp_path / "out", tokenizer)
    said = {
        name: json.loads((tmp_path / "out" / name).read_text())["eos_token_id"]
        for name in ("config.json", "generation_config.json")
    }
    expected = list(ends) if len(ends) > 1 else ends[0]
    assert said == {"config.json": expected, "generation_config.json": expected}
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out").generation_config.eos_token_id == expected
    assert read_config(tmp_path / "out") == read_config(good) or generation is None


def test_generation_settings_and_logits_survive_import_and_export(good: Path, tmp_path: Path) -> None:
    settings = GenerationConfig(
        eos_token_id=[1, 4], bos_token_id=0, pad_token_id=2, do_sample=True, temperature=0.6, top_p=0.9, max_length=20
    )
    settings.save_pretrained(good)
    model = load_pretrained(good)
    save_pretrained(model, tmp_path / "out", Tokenizer.load(good))
    first, last = (AutoModelForCausalLM.from_pretrained(folder) for folder in (good, tmp_path / "out"))
    assert last.generation_config.to_dict() == first.generation_config.to_dict()
    tokens = torch.arange(20).reshape(1, -1)
    with torch.no_grad():
        torch.testing.assert_close(last(tokens).logits, first(tokens).logits, atol=0, rtol=0)


def test_presets_write_what_their_tokenizer_says(tokenizer: Tokenizer, tmp_path: Path) -> None:
    save_pretrained(Llama(preset("nano", vocab_size=300, context=16, layers=1)), tmp_path, tokenizer)
    raw = json.loads((tmp_path / "generation_config.json").read_text())
    assert raw == {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
