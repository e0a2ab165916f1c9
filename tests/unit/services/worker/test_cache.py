"""The worker's cache over a store: what comes broken once is fetched again, what is broken there is damage by name."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from model.checkpointing import checkpoint
from model.nn.llama import Llama
from retain.types.v1 import values_pb2
from services.common.errors import CheckpointDamaged, InvalidInput, NotFound, Unavailable
from services.common.store.object_store import put_folder
from services.worker import local_cache as module
from services.worker.attempt.damage import DamagedCheckpoint, DamagedData
from services.worker.cache_root import default_root
from services.worker.local_cache import LocalCache, default_max_bytes
from tests.fakes.object_store import FakeObjectStore
from tests.unit.model.training_helpers import CONFIG, a_state


class Way(FakeObjectStore):
    """A store that is reached by a way which changes what comes over it, some times."""

    def __init__(self) -> None:
        super().__init__()
        self.broken: dict[str, int] = {}

    def get_file(self, key: str, path: Path) -> None:
        super().get_file(key, path)
        name = key.rsplit("/", 1)[-1]
        if self.broken.get(name, 0) > 0:
            self.broken[name] -= 1
            path.write_bytes(path.read_bytes()[:-1] + b"?")


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Way, values_pb2.CheckpointRef]:
    made = tmp_path / "made"
    manifest = checkpoint.write(made, model=Llama(CONFIG), tokenizer=None, optimizer={}, state=a_state())
    store = Way()
    put_folder(store, made, "runs/r1/step-4", last=checkpoint.MANIFEST)
    return store, values_pb2.CheckpointRef(uri="s3://retain/runs/r1/step-4", manifest_sha256=manifest.sha256)


@pytest.mark.parametrize("name", ["model.safetensors", "trainer_state.json", "manifest.json"])
def test_what_came_broken_once_is_no_damage(stored: tuple[Way, values_pb2.CheckpointRef], name: str, tmp_path) -> None:
    store, ref = stored
    store.broken[name] = 1
    folder = LocalCache(store, tmp_path / "cache").checkpoint(ref)
    assert checkpoint.verify(folder).sha256 == ref.manifest_sha256
    assert store.broken[name] == 0


def test_a_copy_is_used_without_the_store(stored: tuple[Way, values_pb2.CheckpointRef], tmp_path: Path) -> None:
    store, ref = stored
    LocalCache(store, tmp_path / "cache").checkpoint(ref)
    store.calls.clear()
    LocalCache(store, tmp_path / "cache").checkpoint(ref)
    assert store.calls == []


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda store: store.objects.pop("runs/r1/step-4/trainer_state.json"), "no object"),
        (lambda store: store.objects.update({"runs/r1/step-4/manifest.json": b"{}"}), "manifest.json: sha256"),
        (lambda store: store.objects.update({"runs/r1/step-4/trainer_state.json": b"{}"}), "size"),
    ],
    ids=["missing", "another manifest", "cut"],
)
def test_what_is_broken_in_the_store_is_damage(
    harm: Callable[[Way], object], said: str, stored: tuple[Way, values_pb2.CheckpointRef], tmp_path: Path
) -> None:
    store, ref = stored
    harm(store)
    with pytest.raises(DamagedCheckpoint, match=said) as damaged:
        LocalCache(store, tmp_path / "cache").checkpoint(ref)
    assert damaged.value.checkpoint == ref
    assert isinstance(damaged.value, CheckpointDamaged)
    assert damaged.value.reason == "CHECKPOINT_DAMAGED"


def test_a_store_that_is_away_or_without_its_bucket_is_no_damage(
    stored: tuple[Way, values_pb2.CheckpointRef], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, ref = stored
    store.fail_next(10)
    with pytest.raises(Unavailable):
        LocalCache(store, tmp_path / "cache").checkpoint(ref)
    store.fail_next(0)

    def no_bucket(key: str, path: Path) -> None:
        raise NotFound("there is no bucket retain", reason="NO_BUCKET")

    monkeypatch.setattr(store, "get_file", no_bucket)
    with pytest.raises(NotFound, match="bucket"):
        LocalCache(store, tmp_path / "cache").checkpoint(ref)


def test_damage_travels_between_ranks() -> None:
    ref = values_pb2.CheckpointRef(uri="s3://retain/x", manifest_sha256="a" * 64)
    error = pickle.loads(pickle.dumps(DamagedCheckpoint(ref, "cut")))
    assert (error.checkpoint, str(error)) == (ref, "the checkpoint s3://retain/x is damaged: cut")
    data = pickle.loads(pickle.dumps(DamagedData("s3://retain/prepared/x", "cut")))
    assert (data.reason, "s3://retain/prepared/x" in str(data)) == ("PREPARED_DATA_DAMAGED", True)


def test_only_so_many_checkpoints_are_kept_and_what_is_in_use_stays(
    stored: tuple[Way, values_pb2.CheckpointRef], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_CHECKPOINTS", 2)
    store, ref = stored
    cache = LocalCache(store, tmp_path / "cache")
    with cache.assignment():
        used = cache.checkpoint(ref)
    with cache.assignment():
        assert cache.checkpoint(ref) == used
        writer = LocalCache(store, tmp_path / "cache")
        for number in range(4):
            with writer.work_folder() as folder:
                (folder / "file").write_bytes(b"x")
                with writer.assignment():
                    writer.keep_checkpoint(folder, str(number) * 64)
        names = {path.name[:1] for path in used.parent.iterdir() if path != used}
        assert used.is_dir()
        assert names == {"2", "3"}


def test_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RETAIN_CACHE", str(tmp_path))
    assert default_root() == tmp_path
    monkeypatch.setenv("RETAIN_CACHE_BYTES", "1000")
    assert default_max_bytes(tmp_path) == 1000
    for wrong in ("-1", "ten", "0"):
        monkeypatch.setenv("RETAIN_CACHE_BYTES", wrong)
        with pytest.raises(InvalidInput, match="RETAIN_CACHE_BYTES"):
            default_max_bytes(tmp_path)
