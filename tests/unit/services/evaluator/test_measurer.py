"""Measuring real weights: named by what they are, damaged ones found, shared between threads without harm."""

import errno
import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.nn.llama import Llama
from retain.values import ChatTurn, CheckpointRef, SampleTextRequest
from services.common.errors import CheckpointDamaged, FailedPrecondition, StorageFull, Unavailable
from services.evaluator.domain.request import Model
from tests.fakes.object_store import FakeObjectStore
from tests.unit.model.data_helpers import byte_tokenizer
from tests.unit.services.evaluator.torch_harness import TorchHarness, tiny_model


@pytest.fixture
def here(tmp_path: Path) -> TorchHarness:
    return TorchHarness(tmp_path)


def test_a_text_is_never_of_ids_that_the_tokenizer_lacks(here: TorchHarness) -> None:
    narrow, tokens = tiny_model(0), byte_tokenizer().vocab_size
    wide = Llama(replace(narrow.config, vocab_size=tokens + 90, tied_embeddings=False))
    with torch.no_grad():
        wide.model.norm.weight.fill_(1.0)
        wide.lm_head.weight[:tokens] *= 0.01
        wide.lm_head.weight[tokens:] = 0.0  # likelier than half of the others, where their logits are below zero
        wide.lm_head.weight[tokens:, 0::2], wide.lm_head.weight[tokens:, 1::2] = 9.0, -9.0
    order = SampleTextRequest(checkpoint=here.put("wide", wide), prompt="Once", max_new_tokens=20, seed=1)
    pieces = here.measurer.sample(order)
    assert len("".join(piece.text for piece in pieces)) >= 5


def test_a_conversation_is_put_together_by_the_models_own_template(here: TorchHarness) -> None:
    """As many tokens as transformers makes of it; one that does not fit is refused with both numbers."""
    from transformers import AutoTokenizer

    said = [("user", "Hi"), ("assistant", "ab"), ("user", "ba")]
    talk = [{"role": role, "content": content} for role, content in said]
    roomy = Llama(replace(tiny_model(0).config, context=200))
    ref = here.put("chatty", roomy)
    theirs = AutoTokenizer.from_pretrained(here.root / "made" / "chatty" / "model")
    count = len(theirs.apply_chat_template(talk, add_generation_prompt=True)["input_ids"])
    turns = tuple(ChatTurn(role=role, content=content) for role, content in said[:2])
    order = SampleTextRequest(checkpoint=ref, prompt="ba", chat=True, turns=turns, max_new_tokens=2)
    first, *rest = here.measurer.sample(order)
    assert (first.prompt_tokens, first.context, first.text) == (count, 200, "")
    assert all(piece.prompt_tokens == 0 for piece in rest)
    long = replace(order, turns=turns * 40)
    with pytest.raises(FailedPrecondition, match=r"tokens; expected 1 to 199 \(the model's context is 200\)"):
        list(here.measurer.sample(long))


def test_many_threads_sample_and_measure_on_a_cache_that_holds_one_model(tmp_path: Path):
    """Two models in memory and room for one on the disk, six checkpoints, five threads: every answer is the right one,
    and no file goes while another thread reads it."""
    here = TorchHarness(tmp_path, max_bytes=1)
    sets = [here.put_set("general"), here.put_set("code", ["def f(x):\n    return x\n"] * 3)]
    refs = [here.put(f"m{seed}", tiny_model(seed)) for seed in range(6)]
    alone = {(r, s): here.measurer.measure(Model(checkpoint=refs[r]), sets[s]) for r in range(6) for s in range(2)}

    def sampled(ref: CheckpointRef) -> str:
        pieces = here.measurer.sample(SampleTextRequest(checkpoint=ref, prompt="Once", max_new_tokens=3))
        return "".join(piece.text for piece in pieces)

    texts = [sampled(ref) for ref in refs]

    def hammer(thread: int) -> None:
        for turn in range(12):
            number = (thread + turn * 5) % 6
            if thread % 2:
                assert sampled(refs[number]) == texts[number]
            else:
                found = here.measurer.measure(Model(checkpoint=refs[number]), sets[turn % 2])
                assert found == alone[number, turn % 2]
            if turn % 4 == 3:
                here.measurer.release()
                here.measurer.make_room()

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(hammer, range(5)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_the_digest_is_computed_from_what_was_loaded(here: TorchHarness, dtype: torch.dtype):
    ref = here.put("m", tiny_model(0, dtype))
    assert here.measurer.identify(Model(checkpoint=ref)) == ref.weights_digest


def test_a_manifest_that_claims_other_weights_is_damaged_and_nothing_is_found_under_the_claim(here: TorchHarness):
    honest = here.put("honest", tiny_model(0))
    liar = here.put("liar", tiny_model(1), claim=honest.weights_digest)
    assert liar.weights_digest == honest.weights_digest
    with pytest.raises(CheckpointDamaged, match="its weights have the digest") as caught:
        here.measurer.identify(Model(checkpoint=liar))
    assert caught.value.metadata == {"uri": liar.uri, "manifest_sha256": liar.manifest_sha256}


def test_an_uploaded_model_is_known_by_the_hashes_of_its_files_and_kept_by_its_tensors(here: TorchHarness):
    uploaded = here.put("upload", tiny_model(0), by_files=True)
    trained = here.put("same", tiny_model(0))
    assert uploaded.weights_digest != trained.weights_digest
    assert here.measurer.identify(Model(checkpoint=uploaded)) == trained.weights_digest


def test_two_manifests_with_one_claim_are_two_models_in_memory(here: TorchHarness):
    """What is in memory is found by manifest: a forged claim must not get, or leave, another's weights."""
    honest = here.put("honest", tiny_model(0))
    liar = here.put("liar", tiny_model(1), claim=honest.weights_digest)
    general = here.put_set("general")
    before = here.measurer.measure(Model(checkpoint=honest), general)
    with pytest.raises(CheckpointDamaged):
        here.measurer.measure(Model(checkpoint=liar), general)
    assert here.measurer.measure(Model(checkpoint=honest), general) == before


def test_a_set_is_named_by_its_units_too(here: TorchHarness):
    """Somebody moves a boundary between documents and mends the hashes beside it: the set's own digest stays."""
    ref = here.put_set("general")
    before = here.measurer.identify_set(ref)
    again = TorchHarness(here.root / "again", store=here.store)
    assert again.measurer.identify_set(ref) == before, "the same files, the same name, wherever"
    key = f"evalsets/{ref.digest}"
    units = np.frombuffer(here.store.objects[f"{key}/unit_documents.bin"], dtype="<i4").copy()
    units[1] = 0
    meta = json.loads(here.store.objects[f"{key}/meta.json"])
    meta["sha256"]["unit_documents"] = hashlib.sha256(units.tobytes()).hexdigest()
    here.store.put_bytes(f"{key}/unit_documents.bin", units.tobytes())
    here.store.put_bytes(f"{key}/meta.json", json.dumps(meta).encode())
    moved = TorchHarness(here.root / "moved", store=here.store)
    assert moved.measurer.identify_set(ref) != before


def harm(here: TorchHarness, ref: CheckpointRef, name: str, change: Callable[[bytes], bytes | None]) -> None:
    key = here.key(ref, name)
    changed = change(here.store.objects[key])
    if changed is None:
        del here.store.objects[key]
    else:
        here.store.objects[key] = changed


@pytest.mark.parametrize(
    "name", ["model/model.safetensors", "model/config.json", "model/tokenizer.json", "manifest.json"]
)
@pytest.mark.parametrize(
    "change",
    [lambda data: data[:-3], lambda data: data[:40] + bytes([data[40] ^ 1]) + data[41:], lambda data: None],
    ids=["cut", "flipped", "missing"],
)
def test_damage_in_the_store_is_found_and_named(here: TorchHarness, name: str, change: Callable[[bytes], bytes | None]):
    ref = here.put("m", tiny_model(0))
    harm(here, ref, name, change)
    with pytest.raises(CheckpointDamaged) as caught:
        here.measurer.identify(Model(checkpoint=ref))
    assert caught.value.metadata["manifest_sha256"] == ref.manifest_sha256
    assert not [path for path in (here.root / "cache" / "content").rglob("*") if path.is_file()]


def test_a_store_that_is_away_damages_nothing(here: TorchHarness):
    ref = here.put("m", tiny_model(0))
    here.store.fail_after(1)
    with pytest.raises(Unavailable):
        here.measurer.identify(Model(checkpoint=ref))
    here.store.fail_after(None)
    assert here.measurer.identify(Model(checkpoint=ref)) == ref.weights_digest


def test_a_bit_that_is_lost_on_the_way_is_fetched_once_more(here: TorchHarness, monkeypatch: pytest.MonkeyPatch):
    ref = here.put("m", tiny_model(0))
    get, lost = FakeObjectStore.get_file, []

    def loses_one(store: FakeObjectStore, key: str, path: Path) -> None:
        get(store, key, path)
        if key.endswith(".safetensors") and not lost:
            lost.append(key)
            path.write_bytes(path.read_bytes()[:-1])

    monkeypatch.setattr(FakeObjectStore, "get_file", loses_one)
    assert here.measurer.identify(Model(checkpoint=ref)) == ref.weights_digest
    assert lost


def test_a_file_that_changed_on_this_disk_is_fetched_again_and_no_damage(here: TorchHarness):
    ref = here.put("m", tiny_model(0))
    here.measurer.identify(Model(checkpoint=ref))
    (path,) = (here.root / "cache" / "content").rglob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-1])
    here.begin()
    assert here.measurer.identify(Model(checkpoint=ref)) == ref.weights_digest


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_by_its_place_and_the_cache_is_cleaned(
    here: TorchHarness, monkeypatch: pytest.MonkeyPatch, number: int
):
    old, new = here.put("old", tiny_model(0)), here.put("new", tiny_model(1))
    here.measurer.identify(Model(checkpoint=old))
    get, full = FakeObjectStore.get_file, [True]

    def no_room(store: FakeObjectStore, key: str, path: Path) -> None:
        if full[0] and key.endswith(".safetensors"):
            raise OSError(number, os.strerror(number))
        get(store, key, path)

    monkeypatch.setattr(FakeObjectStore, "get_file", no_room)
    with pytest.raises(StorageFull, match=f"disk full at {here.root / 'cache'}"):
        here.measurer.identify(Model(checkpoint=new))
    assert not list((here.root / "cache" / "content").rglob("*.safetensors")), "what nobody reads made room"
    full[0] = False
    assert here.measurer.identify(Model(checkpoint=new)) == new.weights_digest


def test_a_point_of_a_line_is_named_by_what_its_ends_are(here: TorchHarness):
    parent, result = here.put("p", tiny_model(0)), here.put("r", tiny_model(1))
    uploaded = here.put("u", tiny_model(0), by_files=True)
    named = [here.measurer.identify(Model(checkpoint=result, parent=end, weight=0.5)) for end in (parent, uploaded)]
    assert named[0] == named[1] not in (parent.weights_digest, result.weights_digest)


def test_equal_ends_measure_the_same_at_every_point(here: TorchHarness):
    one, same = here.put("a", tiny_model(0)), here.put("b", tiny_model(0), by_files=True)
    general = here.put_set("general")
    between = here.measurer.measure(Model(checkpoint=one, parent=same, weight=0.9), general)
    assert between == here.measurer.measure(Model(checkpoint=one), general)
