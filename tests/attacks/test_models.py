"""Rows 21 to 29: model folders and checkpoints from outside, on our own reader; on folders of other families
in tests/integration/families/test_attacks.py."""

import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model.checkpointing import checkpoint as files
from model.checkpointing.hf import load_pretrained, save_pretrained
from model.child_process.tokenizer import ApartTokenizer
from model.data.sources import open_source
from model.errors import RetainModelError
from model.nn.config import ModelConfig
from model.nn.llama import Llama
from model.tokenization.tokenizer import Tokenizer
from services.common.errors import CheckpointDamaged, Corrupt
from services.evaluator.domain.request import Model
from services.orchestrator.application.checkpoint_service import manifest_entries
from services.orchestrator.domain.spec.huggingface import faults_of_config, faults_of_files
from tests.attacks.matrix import Attack
from tests.unit.model.checkpointing.test_hf_files import HEADERS, SIZES, spoil, write_header
from tests.unit.services.evaluator.torch_harness import TorchHarness, tiny_model

WEIGHTS = "model.safetensors"


class Harm:
    """What a pickle would run."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A model folder without a fault."""
    tokenizer = Tokenizer.train_bpe(["the cat sat on the mat, " * 20], 300)
    save_pretrained(Llama(ModelConfig(**SIZES), seed=0), tmp_path / "model", tokenizer)
    return tmp_path / "model"


def refused_model(attack: Attack, call: Callable[[], Any], how: str) -> str:
    with pytest.raises((RetainModelError, CheckpointDamaged, Corrupt)) as caught:
        call()
    assert len(str(caught.value)) < 4096
    attack.refused(how)
    return str(caught.value)


def test_row_21_pickles_under_any_name(attack: Attack, good: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    harm = pickle.dumps(Harm(mark))
    for name in ("pytorch_model.bin", "weights.pt", "model.ckpt", "a.pkl", "model.pth"):
        (good / name).write_bytes(harm)
        refused_model(attack, lambda: load_pretrained(good), "by its suffix")
        assert list(faults_of_files(["config.json", WEIGHTS, "tokenizer.json", name]))
        (good / name).unlink()
    for name in (WEIGHTS, "config.json", "tokenizer.json", "tokenizer_config.json"):
        kept = (good / name).read_bytes()
        for content in (harm, b"PK\x03\x04" + harm):
            (good / name).write_bytes(content)
            call = (lambda: Tokenizer.load(good)) if name.startswith("tokenizer") else (lambda: load_pretrained(good))
            refused_model(attack, call, "it is no safetensors or JSON file, whatever its name")
        (good / name).write_bytes(kept)
    assert not mark.exists()


def test_row_22_lengths_of_headers(attack: Attack, good: Path) -> None:
    starts = [b"", b"1234567", struct.pack("<Q", 3) + b"{}"]
    starts += [struct.pack("<Q", n) + b"{}" for n in (1 << 63, (1 << 64) - 1, 100_000_001, 1 << 32)]
    for start in starts:
        (good / WEIGHTS).write_bytes(start)
        refused_model(attack, lambda: load_pretrained(good), "before anything of that length is read")


def lying(attack: Attack, good: Path, names: tuple[str, ...], how: str) -> None:
    for name in names:
        header, data, _ = HEADERS[name]
        write_header(good / WEIGHTS, header, data)
        refused_model(attack, lambda: load_pretrained(good), how)


def test_row_23_offsets_that_overlap(attack: Attack, good: Path) -> None:
    names = ("overlap", "the same bytes", "gap", "beyond the end", "more behind", "offsets backwards", "three offsets")
    lying(attack, good, names, "every byte belongs to one tensor")


def test_row_24_types_and_shapes(attack: Attack, good: Path) -> None:
    names = ("length of the shape", "overflow", "negative", "a shape of texts", "a shape of truths", "unknown type",
             "no type", "more keys")  # fmt: skip
    lying(attack, good, names, "the header says what the bytes are")
    for changes in ({"hidden_size": 2**31}, {"num_hidden_layers": 10**9}, {"vocab_size": -1}, {"head_dim": 10**12}):
        kept = (good / "config.json").read_bytes()
        spoil(good, **changes)
        refused_model(attack, lambda: load_pretrained(good), "config.json and the header must fit")
        (good / "config.json").write_bytes(kept)


def test_row_25_weights_that_are_no_numbers(attack: Attack, good: Path) -> None:
    kept = (good / WEIGHTS).read_bytes()
    for value in (np.nan, np.inf, -np.inf):
        data = bytearray(kept)
        data[-4:] = np.float32(value).tobytes()
        (good / WEIGHTS).write_bytes(data)
        refused_model(attack, lambda: load_pretrained(good), "every weight is looked at")


def test_row_26_paths_in_manifests(attack: Attack) -> None:
    entry = {"size": 1, "sha256": "a" * 64}
    for name in ("../x", "/etc/passwd", "a/../../x", "..", "model/../../x"):
        with pytest.raises(Corrupt):
            manifest_entries({"files": {name: entry}})
        data = json.dumps({"format": 1, "files": {name: entry}, "weights_digest": "a" * 64}).encode()
        refused_model(attack, lambda d=data: files.Manifest.from_bytes(d), "names stay in their folder")
    for broken in ({}, {"files": []}, {"files": {"a": {}}}, {"files": {"a": {"size": "1"}}}, []):
        with pytest.raises(Corrupt):
            manifest_entries(broken)
        attack.refused("a manifest of another shape")


def test_row_27_what_was_replaced_also_in_caches(attack: Attack, tmp_path: Path) -> None:
    """A manifest of another digest, a file of another, one replaced in the evaluator's own cache, and a claim."""
    here = TorchHarness(tmp_path)
    ref = here.put("a", tiny_model(1))
    assert here.measurer.identify(Model(checkpoint=ref)) == ref.weights_digest
    claimed = here.put("b", tiny_model(2), claim=ref.weights_digest)
    refused_model(
        attack, lambda: here.measurer.identify(Model(checkpoint=claimed)), "the digest is computed from what was loaded"
    )
    for name in ("manifest.json", f"model/{WEIGHTS}"):
        other = TorchHarness(tmp_path / name.replace("/", "-"))
        good = other.put("a", tiny_model(1))
        key = good.uri.removeprefix("s3://retain/") + f"/{name}"
        data = other.store.get_bytes(key)
        other.store.put_bytes(key, data[:-1] + bytes([data[-1] ^ 1]))
        refused_model(
            attack, lambda o=other, g=good: o.measurer.identify(Model(checkpoint=g)), f"{name} replaced in the store"
        )
    cached = list((tmp_path / "cache" / "content").rglob("*.safetensors"))
    assert cached
    for path in cached:
        data = path.read_bytes()
        path.chmod(0o600)
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    here.begin()
    assert here.measurer.identify(Model(checkpoint=ref)) == ref.weights_digest, (
        "fetched again: the copy on disk is not believed"
    )
    attack.refused("a copy that changed on disk is fetched again")


def test_row_28_code_in_configs(attack: Attack, good: Path) -> None:
    keys: list[dict[str, Any]] = [
        {"auto_map": {"AutoModel": "evil.Model"}},
        {"architectures": ["EvilForCausalLM"], "model_type": "evil"},
        {"model_type": ["llama"]},
        {"quantization_config": {"quant_method": "evil"}},
    ]
    for changes in keys:
        kept = (good / "config.json").read_bytes()
        spoil(good, **changes)
        refused_model(attack, lambda: load_pretrained(good), "a schema of our own; nothing is imported by name")
        if "auto_map" in changes or "model_type" in changes:
            assert list(faults_of_config(json.loads((good / "config.json").read_text())))
        (good / "config.json").write_bytes(kept)


@pytest.mark.attacks
def test_row_29_tokenizers_and_templates_that_loop(attack: Attack, good: Path) -> None:
    plain = Tokenizer.load(good)
    chat = next(iter(open_source("sample://chat", options={"documents": 1})))
    for template in (
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% set n = namespace(x='ab') %}{% for a in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{% include '/etc/passwd' %}",
    ):
        tokenizer = Tokenizer.load(good)
        tokenizer.chat_template = template
        with ApartTokenizer(tokenizer, patience_s=4) as apart:
            said = refused_model(attack, lambda a=apart: a.encode_document(chat), "in a child, with a limit")
            assert "uid=" not in said
            assert len(apart.encode("good")) > 1, "and the next one is read"
    for content in (b"[" * 100_000, b'{"model": {"type": "Evil"}}', b"{}", b"\xff"):
        (good / "tokenizer.json").write_bytes(content)
        refused_model(attack, lambda: Tokenizer.load(good), "what a library cannot read is named")
    assert plain.vocab_size
    assert torch.get_default_dtype() == torch.float32
