"""Rows 21 to 29 of the attacks (tests/attacks/matrix.py) on a folder and a checkpoint of each family: one in `make
test`, all in `make test-families`. What is refused is refused by name, before anything is run or believed."""

import json
import pickle
import resource
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers.dynamic_module_utils as dynamic
from safetensors.numpy import load_file

from model.checkpointing import checkpoint as files
from model.checkpointing.hf import load_pretrained, weights_digest
from model.child_process.tokenizer import ApartTokenizer
from model.data.sources import open_source
from model.errors import BadConfig, RetainModelError, UnsupportedArchitecture
from model.families.config import from_hf
from model.families.names import FAMILIES
from model.families.reference import write_reference
from model.families.tiny import tiny_config
from model.nn.causal_lm import CausalLM
from model.tokenization.tokenizer import Tokenizer
from services.common.errors import CheckpointDamaged, Corrupt
from services.evaluator.domain.request import Model
from services.orchestrator.application.checkpoint_service import manifest_entries
from services.orchestrator.domain.spec.huggingface import faults_of_config, faults_of_files
from tests.integration.families.models import VOCABULARY
from tests.unit.model.data_helpers import byte_tokenizer
from tests.unit.services.evaluator.torch_harness import TorchHarness

WEIGHTS, SMOKE = "model.safetensors", "mixtral"
EVERY = [name if name == SMOKE else pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES]


class Harm:
    """What a pickle would run."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


@pytest.fixture(params=EVERY)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def good(family: str, tmp_path: Path) -> Path:
    """A model folder of a family without a fault."""
    folder = tmp_path / "model"
    write_reference(from_hf(tiny_config(family) | {"vocab_size": VOCABULARY}), folder)
    byte_tokenizer().save(folder)
    return folder


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises((RetainModelError, CheckpointDamaged, Corrupt)) as caught:
        call()
    said = str(caught.value)
    assert len(said) < 4096
    return said


def data_bytes() -> int:
    """What this process has of what RLIMIT_DATA bounds."""
    status = Path("/proc/self/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmData:"))


def with_header(folder: Path, change: Callable[[dict[str, Any]], None]) -> str:
    """What is said of the weights with another header over the same bytes; the file is put back."""
    path = folder / WEIGHTS
    whole = path.read_bytes()
    length = struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8 : 8 + length])
    change(header)
    told = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(told)) + told + whole[8 + length :])
    said = refused(lambda: load_pretrained(folder))
    path.write_bytes(whole)
    return said


def two_of(header: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    one, other = [entry for name, entry in sorted(header.items()) if name != "__metadata__"][:2]
    return one, other


def test_row_21_pickles_under_any_name(good: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    harm = pickle.dumps(Harm(mark))
    for name in ("pytorch_model.bin", "weights.pt", "model.ckpt", "a.pkl", "model.pth"):
        (good / name).write_bytes(harm)
        assert name in refused(lambda: load_pretrained(good))
        assert list(faults_of_files(["config.json", WEIGHTS, "tokenizer.json", name]))
        (good / name).unlink()
    for name in (WEIGHTS, "config.json"):
        kept = (good / name).read_bytes()
        for content in (harm, b"PK\x03\x04" + harm):
            (good / name).write_bytes(content)
            assert name in refused(lambda: load_pretrained(good))
        (good / name).write_bytes(kept)
    assert load_pretrained(good).num_parameters() > 0
    assert not mark.exists()


def test_row_22_lengths_of_headers(good: Path) -> None:
    starts = [b"", b"1234567", struct.pack("<Q", 3) + b"{}"]
    starts += [struct.pack("<Q", n) + b"{}" for n in (1 << 63, (1 << 64) - 1, 100_000_001, 1 << 32)]
    for start in starts:
        (good / WEIGHTS).write_bytes(start)
        assert WEIGHTS in refused(lambda: load_pretrained(good))


def test_row_23_offsets_that_overlap(good: Path) -> None:
    def overlap(header: dict[str, Any]) -> None:
        one, other = two_of(header)
        other["data_offsets"] = one["data_offsets"]

    def beyond(header: dict[str, Any]) -> None:
        one, _ = two_of(header)
        one["data_offsets"] = [0, 1 << 40]

    def backwards(header: dict[str, Any]) -> None:
        one, _ = two_of(header)
        one["data_offsets"] = one["data_offsets"][::-1]

    for change in (overlap, beyond, backwards):
        assert WEIGHTS in with_header(good, change)


def test_row_24_types_and_shapes(good: Path) -> None:
    def other_type(header: dict[str, Any]) -> None:
        two_of(header)[0]["dtype"] = "I32"

    def evil_type(header: dict[str, Any]) -> None:
        two_of(header)[0]["dtype"] = "EVIL"

    def other_shape(header: dict[str, Any]) -> None:
        one = two_of(header)[0]
        one["shape"] = [int(np.prod(one["shape"])), 1, 1]

    def negative(header: dict[str, Any]) -> None:
        two_of(header)[0]["shape"] = [-1, -1]

    for change in (other_type, evil_type, other_shape, negative):
        with_header(good, change)
    kept = (good / "config.json").read_bytes()
    raw = json.loads(kept)
    layers, width = ("n_layer", "n_embd") if "n_layer" in raw else ("num_hidden_layers", "hidden_size")
    for changes in ({width: 2**31}, {layers: 10**9}, {layers: 9999}, {"vocab_size": -1}, {"vocab_size": 10**400},
                    {width: "32"}):  # fmt: skip
        (good / "config.json").write_text(json.dumps(raw | changes))
        refused(lambda: load_pretrained(good))
    (good / "config.json").write_bytes(kept)
    assert load_pretrained(good).num_parameters() > 0


def test_row_24_every_size_of_the_config(good: Path) -> None:
    """Each whole number of config.json far too large, large, and 0: the folder is refused, or loads because nothing
    depends on that number, and neither takes memory that the files do not fill."""
    raw, said = json.loads((good / "config.json").read_text()), list[str]()
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (data_bytes() + (2 << 30), before[1]))
    try:
        for key in [key for key, value in raw.items() if type(value) is int]:
            for value in (2**31, 10**6, 0):
                (good / "config.json").write_text(json.dumps(raw | {key: value}))
                try:
                    assert load_pretrained(good).num_parameters() > 0
                except RetainModelError as error:
                    said.append(f"{key} = {value}: {error}")
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
    assert said
    assert not [one for one in said if "alloc" in one], "refused by the machine's memory alone"


def test_row_25_weights_that_are_no_numbers(good: Path) -> None:
    kept = (good / WEIGHTS).read_bytes()
    names = sorted(load_file(good / WEIGHTS))
    length = struct.unpack("<Q", kept[:8])[0]
    header = json.loads(kept[8 : 8 + length])
    for name, value in zip((names[0], names[len(names) // 2], names[-1]), (np.nan, np.inf, -np.inf), strict=True):
        data = bytearray(kept)
        begin = 8 + length + header[name]["data_offsets"][0]
        data[begin : begin + 4] = np.float32(value).tobytes()
        (good / WEIGHTS).write_bytes(data)
        assert name in refused(lambda: load_pretrained(good))


def stored(good: Path, place: Path) -> Path:
    """The folder as a checkpoint."""
    files.write_imported(place, model=load_pretrained(good), tokenizer=byte_tokenizer())
    return place


def test_row_26_paths_in_manifests(good: Path, tmp_path: Path) -> None:
    place = stored(good, tmp_path / "stored")
    manifest = json.loads((place / files.MANIFEST).read_text())
    entry = next(iter(manifest["files"].values()))
    for name in ("../x", "/etc/passwd", "model/../../x", "..", "a/../../x"):
        told = {**manifest, "files": {**manifest["files"], name: entry}}
        (place / files.MANIFEST).write_text(json.dumps(told))
        assert name in refused(lambda: files.verify(place))
        with pytest.raises(Corrupt):
            manifest_entries(told)


def test_row_27_what_was_replaced_also_in_caches(good: Path, tmp_path: Path) -> None:
    """The manifest, a file, the evaluator's own copy, and a digest that is claimed of another family's weights."""
    here = TorchHarness(tmp_path / "here")
    ref = here.put("a", load_pretrained(good))
    assert here.measurer.identify(Model(checkpoint=ref)) == ref.weights_digest == weights_digest(good)
    claimed = here.put("b", changed(load_pretrained(good)), claim=ref.weights_digest)
    refused(lambda: here.measurer.identify(Model(checkpoint=claimed)))
    for name in ("manifest.json", f"model/{WEIGHTS}", "model/config.json"):
        other = TorchHarness(tmp_path / name.replace("/", "-"))
        fine = other.put("a", load_pretrained(good))
        data = other.store.get_bytes(other.key(fine, name))
        other.store.put_bytes(other.key(fine, name), data[:-1] + bytes([data[-1] ^ 1]))
        refused(lambda o=other, f=fine: o.measurer.identify(Model(checkpoint=f)))
    for path in (tmp_path / "here" / "cache" / "content").rglob("*.safetensors"):
        data = path.read_bytes()
        path.chmod(0o600)
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    here.begin()
    assert here.measurer.identify(Model(checkpoint=ref)) == ref.weights_digest, "the copy on disk is not believed"


def changed(model: CausalLM) -> CausalLM:
    weight = next(model.parameters())
    weight.data.add_(0.5)
    return model


def test_row_28_code_in_configs(good: Path, family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "ran"
    (good / "modeling_evil.py").write_text(f"open({str(mark)!r}, 'w').write('x')\nclass X: pass\n")
    fetched: list[Any] = []
    monkeypatch.setattr(dynamic, "get_class_from_dynamic_module", lambda *said, **_: fetched.append(said))
    monkeypatch.chdir(good)  # where a module of that name would be found
    kept = json.loads((good / "config.json").read_text())
    for changes in (
        {"auto_map": {"AutoModelForCausalLM": "modeling_evil.X", "AutoConfig": "modeling_evil.X"}},
        {"trust_remote_code": True},
        {"quantization_config": {"quant_method": "evil"}},
        {"_attn_implementation": "evil/kernel"},
        {"_experts_implementation": "evil/kernel"},
        {"kernel_config": {"RMSNorm": "evil/kernel:Layer"}},
        {"architectures": ["EvilForCausalLM"]},
        {"architectures": [FAMILIES[family].architecture, "EvilForCausalLM"]},
        {"model_type": "evil"},
        {"model_type": ["evil"]},
        {"model_type": "../evil"},
    ):
        (good / "config.json").write_text(json.dumps(kept | changes))
        said = refused(lambda: load_pretrained(good))
        assert next(iter(changes)) in said
        assert list(faults_of_config(kept | changes)) or next(iter(changes)) in ("kernel_config", "model_type")
    assert list(faults_of_files(["config.json", WEIGHTS, "tokenizer.json", "modeling_evil.py"]))
    assert not mark.exists()
    assert not fetched


@pytest.mark.slow
def test_row_29_tokenizers_and_templates_that_loop(good: Path) -> None:
    chat = next(iter(open_source("sample://chat", options={"documents": 1})))
    for template in (
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    ):
        (good / "chat_template.jinja").write_text(template)
        with ApartTokenizer(Tokenizer.load(good), patience_s=2) as apart:
            assert "uid=" not in refused(lambda a=apart: a.encode_document(chat))
            assert len(apart.encode("good")) > 1, "and the next one is read"
    for content in (b"[" * 100_000, b'{"model": {"type": "Evil"}}', b"{}", b"\xff"):
        (good / "tokenizer.json").write_bytes(content)
        assert "tokenizer" in refused(lambda: Tokenizer.load(good))


def test_a_tokenizer_with_more_tokens_than_the_family_has_is_refused(family: str, tmp_path: Path) -> None:
    write_reference(from_hf(tiny_config(family)), tmp_path / "base")
    model = load_pretrained(tmp_path / "base")
    with pytest.raises((BadConfig, UnsupportedArchitecture), match="tokens"):
        files.write_imported(tmp_path / "stored", model=model, tokenizer=byte_tokenizer())
