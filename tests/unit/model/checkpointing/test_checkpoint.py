"""Checkpoints: hashes on every read, the manifest last, and nothing that could be a pickle."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch

from model.checkpointing import checkpoint
from model.checkpointing.checkpoint import MANIFEST, FileEntry, Manifest, TrainerState
from model.checkpointing.hf import weights_digest
from model.errors import BadCheckpoint
from tests.unit.model.training_helpers import a_state, fresh_model

MOMENTS = {"a.exp_avg": torch.arange(6.0).reshape(2, 3), "a.step": torch.tensor(3.0)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "checkpoint"
    checkpoint.write(
        place, model=fresh_model(), tokenizer=None, optimizer=MOMENTS, state=a_state(), parent="p" * 64, spec_digest="s"
    )
    return place


def download_from(source: Path, fetched: list[str]):
    def download(name: str, path: Path) -> None:
        fetched.append(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / name, path)

    return download


def test_the_manifest_names_every_file_with_size_and_hash(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} - {MANIFEST}
    assert set(manifest["files"]) == files
    for name, entry in manifest["files"].items():
        data = (folder / name).read_bytes()
        assert entry == {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert (manifest["parent"], manifest["spec_digest"], manifest["step"]) == ("p" * 64, "s", 4)
    assert manifest["weights_digest"] == weights_digest(folder / "model")


def test_equal_content_has_an_equal_name(folder: Path, tmp_path: Path) -> None:
    state = checkpoint.load_state(folder)
    given = {"tokenizer": None, "optimizer": MOMENTS, "state": state}
    again = checkpoint.write(tmp_path / "again", model=fresh_model(), parent="p" * 64, spec_digest="s", **given)
    assert again.sha256 == checkpoint.verify(folder).sha256
    other = checkpoint.write(tmp_path / "other", model=fresh_model(1), tokenizer=None, optimizer=MOMENTS, state=state)
    assert other.sha256 != again.sha256


def test_it_comes_back_as_it_was(folder: Path) -> None:
    sha256 = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    assert checkpoint.verify(folder, sha256).sha256 == sha256
    assert checkpoint.load_state(folder).stream == {"cursor": 16}
    back = checkpoint.load_optimizer(folder)
    assert back.keys() == MOMENTS.keys()
    assert all(torch.equal(back[name], MOMENTS[name]) for name in MOMENTS)


@pytest.mark.parametrize("name", ["model/model.safetensors", "optimizer/00001.safetensors", "trainer_state.json"])
def test_one_changed_bit_is_found(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(bytes(data))
    with pytest.raises(BadCheckpoint, match=f"{name}: sha256"):
        checkpoint.verify(folder)


def test_a_missing_or_shortened_file_is_found(folder: Path) -> None:
    path = folder / "model" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BadCheckpoint, match=r"model\.safetensors: size"):
        checkpoint.verify(folder)
    path.unlink()
    with pytest.raises(BadCheckpoint, match="no such file"):
        checkpoint.verify(folder)


def test_a_manifest_that_fits_its_files_but_not_the_record_is_refused(folder: Path, tmp_path: Path) -> None:
    """Whoever can write to the bucket can make a consistent folder; the digest from the database finds it."""
    real = checkpoint.verify(folder).sha256
    forged = tmp_path / "forged"
    checkpoint.write(forged, model=fresh_model(9), tokenizer=None, optimizer=MOMENTS, state=a_state())
    checkpoint.verify(forged)
    with pytest.raises(BadCheckpoint, match=f"expected {real}"):
        checkpoint.verify(forged, real)
    with pytest.raises(BadCheckpoint, match="sha256"):
        checkpoint.fetch(download_from(forged, []), tmp_path / "arrived", real)


def test_a_folder_without_a_manifest_is_no_checkpoint(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    with pytest.raises(BadCheckpoint, match="no manifest"):
        checkpoint.verify(folder)


def test_a_checkpoint_is_never_written_over(folder: Path) -> None:
    with pytest.raises(BadCheckpoint, match="already"):
        checkpoint.write(folder, model=fresh_model(), tokenizer=None, optimizer={}, state=a_state())


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "model/../../x", "model/pytorch_model.bin", "a.pt"]
)
def test_manifests_cannot_lead_outside_or_to_a_pickle(name: str) -> None:
    manifest = Manifest(files={name: FileEntry(size=1, sha256="0" * 64)}, weights_digest="")
    with pytest.raises(BadCheckpoint, match=r"leaves the folder|pickle"):
        Manifest.from_bytes(manifest.to_bytes())


def test_text_that_a_model_wrote_is_in_the_lineage_and_changes_no_manifest_without_any() -> None:
    plain = Manifest(files={}, weights_digest="w")
    assert b"sampled" not in plain.to_bytes()
    told = {"name": "general", "digest": "d", "parent": "p", "prompts": "bos", "temperature": 1.0, "seed": 3}
    manifest = Manifest(files={}, weights_digest="w", sampled=(told,))
    assert Manifest.from_bytes(manifest.to_bytes()) == manifest
    assert Manifest.from_bytes(plain.to_bytes()) == plain


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"not json", b'{"format": 1, "files": {"a": 3}}'])
def test_broken_manifests_are_refused(data: bytes) -> None:
    with pytest.raises(BadCheckpoint, match=r"manifest\.json"):
        Manifest.from_bytes(data)


@pytest.mark.parametrize("text", ["", "[]", '{"format": 2}', '{"format": 1, "step": 3}', "nonsense"])
def test_broken_trainer_states_are_refused(text: str) -> None:
    with pytest.raises(BadCheckpoint, match=r"trainer_state\.json"):
        TrainerState.from_json(text)


def test_floats_of_the_trainer_state_come_back_bit_for_bit() -> None:
    state = a_state(lr_scale=0.1 + 0.2, stream={"debt": 1 / 3}, shares={"general": 1e-300})
    assert TrainerState.from_json(state.to_json()) == state
    with pytest.raises(ValueError, match="JSON"):
        a_state(lr_scale=float("nan")).to_json()


def test_fetching_takes_only_what_is_missing_and_leaves_the_manifest_for_last(folder: Path, tmp_path: Path) -> None:
    sha256, fetched = checkpoint.verify(folder).sha256, []
    arrived = tmp_path / "arrived"
    checkpoint.fetch(download_from(folder, fetched), arrived, sha256, only="model/")
    assert all(name == MANIFEST or name.startswith("model/") for name in fetched)
    assert not (arrived / MANIFEST).exists()
    (arrived / "model/config.json").write_text("{}")
    fetched.clear()
    checkpoint.fetch(download_from(folder, fetched), arrived, sha256)
    assert "model/config.json" in fetched
    assert "model/model.safetensors" not in fetched
    assert checkpoint.verify(arrived, sha256).sha256 == sha256


def test_a_file_that_arrives_changed_is_refused(folder: Path, tmp_path: Path) -> None:
    sha256 = checkpoint.verify(folder).sha256
    (folder / "trainer_state.json").write_text("{}")
    with pytest.raises(BadCheckpoint, match=r"trainer_state\.json"):
        checkpoint.fetch(download_from(folder, []), tmp_path / "arrived", sha256)
    assert not (tmp_path / "arrived" / MANIFEST).exists()


def test_large_states_are_split_into_shards(tmp_path: Path) -> None:
    tensors = {f"w{n}": torch.full((100,), float(n)) for n in range(5)}
    checkpoint.save_tensors(tmp_path, tensors, max_shard_bytes=900)
    assert len(list(tmp_path.glob("*.safetensors"))) == 3
    back = checkpoint.load_tensors(tmp_path)
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)


def test_broken_optimizer_files_are_refused(folder: Path) -> None:
    (folder / "optimizer" / "00001.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(BadCheckpoint, match="whole safetensors"):
        checkpoint.load_optimizer(folder)


def test_the_generator_continues_where_it_was() -> None:
    state = checkpoint.rng_now()
    drawn = torch.rand(5)
    checkpoint.set_rng(state)
    assert torch.equal(torch.rand(5), drawn)
