"""A checkpoint out of the store: continued where it broke off, checked on arrival, whole or not there."""

import hashlib
import random
import threading
from pathlib import Path

import pytest

from retain.orchestrator.v1 import resources_pb2 as res
from tests.fakes.orchestrator_service import FakePlatform
from ui.client.client import RetainClient
from ui.client.errors import BadInput, ClientError, Unreachable
from ui.client.views import ExportedFile
from ui.local import download, export
from ui.local.download import get_file
from ui.local.export import cached_model, write_export

PREFIX = "/runs/r/pretrain/attempt-1/step-000000120"
WEIGHTS = random.Random(7).randbytes(300_000)
DIGEST = "ab" * 32
MODEL = {"config.json": b"{}", "model.safetensors": WEIGHTS}


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "FIRST_PAUSE_S", 0.001)


@pytest.fixture
def stored(platform: FakePlatform) -> FakePlatform:
    """A checkpoint of two model files, an optimizer shard and a trainer state."""
    made = res.Checkpoint(id=PREFIX.removeprefix("/runs/"), run_id="r", stage="pretrain", parent="")
    made.ref.uri, made.ref.manifest_sha256, made.ref.step = f"s3://retain{PREFIX}", DIGEST, 120
    platform.checkpoints.append(made)
    for path, body in {
        **{f"model/{name}": body for name, body in MODEL.items()},
        "optimizer/shard-0.safetensors": b"moments",
        "trainer_state.json": b'{"step": 120}',
    }.items():
        platform.store.objects[f"{PREFIX}/{path}"] = body
    return platform


def found(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def one_file(platform: FakePlatform, body: bytes) -> ExportedFile:
    platform.store.objects["/file"] = body
    url, digest = f"{platform.store.url}/file", hashlib.sha256(body).hexdigest()
    return ExportedFile(path="file", url=url, sha256=digest, bytes=len(body))


def test_a_transfer_that_breaks_off_continues_after_its_last_byte(platform: FakePlatform, tmp_path: Path) -> None:
    file = one_file(platform, WEIGHTS)
    platform.store.cut_after = [100_000, 0, 50_000]
    heard: list[int] = []
    get_file(file, tmp_path / "file", progress=heard.append)
    assert found(tmp_path) == {"file": WEIGHTS}
    assert [wanted for _, wanted in platform.store.asked] == ["", "bytes=100000-", "bytes=100000-", "bytes=150000-"]
    assert heard == sorted(heard)
    assert heard[-1] == 300_000


def test_what_an_earlier_call_left_is_used_and_not_trusted(platform: FakePlatform, tmp_path: Path) -> None:
    file = one_file(platform, WEIGHTS)
    (tmp_path / "file.part").write_bytes(WEIGHTS[:200_000])
    get_file(file, tmp_path / "file")
    assert platform.store.asked == [("/file", "bytes=200000-")]
    assert found(tmp_path) == {"file": WEIGHTS}
    for left in (b"x" * 200_000, b"x" * 400_000):
        (tmp_path / "file").unlink()
        (tmp_path / "file.part").write_bytes(left)
        get_file(file, tmp_path / "file")
        assert found(tmp_path) == {"file": WEIGHTS}
    (tmp_path / "file").write_bytes(b"damaged on the disk")
    get_file(file, tmp_path / "file")
    assert found(tmp_path) == {"file": WEIGHTS}
    platform.store.asked.clear()
    get_file(file, tmp_path / "file")
    assert platform.store.asked == []


def test_a_store_without_ranges_sends_it_all_again(platform: FakePlatform, tmp_path: Path) -> None:
    file = one_file(platform, WEIGHTS)
    platform.store.knows_ranges, platform.store.cut_after = False, [100_000]
    get_file(file, tmp_path / "file")
    assert found(tmp_path) == {"file": WEIGHTS}


def test_an_empty_file_arrives_too(platform: FakePlatform, tmp_path: Path) -> None:
    get_file(one_file(platform, b""), tmp_path / "file")
    assert found(tmp_path) == {"file": b""}


def test_bytes_with_another_hash_are_not_kept(platform: FakePlatform, tmp_path: Path) -> None:
    file = one_file(platform, WEIGHTS)
    platform.store.objects["/file"] = b"x" * len(WEIGHTS)
    with pytest.raises(ClientError, match="SHA-256") as caught:
        get_file(file, tmp_path / "file")
    assert caught.value.reason == "HASH_DIFFERS"
    assert found(tmp_path) == {}


def test_a_store_that_sends_nothing_is_asked_for_the_patience(platform: FakePlatform, tmp_path: Path) -> None:
    file = one_file(platform, WEIGHTS)
    platform.store.statuses = [503, 429, 200]
    get_file(file, tmp_path / "file")
    assert len(platform.store.asked) == 3
    (tmp_path / "file").unlink()
    platform.store.statuses = [500]
    with pytest.raises(Unreachable, match="answered 500"):
        get_file(file, tmp_path / "file", patience_s=0.0)


def test_a_file_that_is_shorter_than_promised_or_gone_is_told_at_once(platform: FakePlatform, tmp_path: Path) -> None:
    file = one_file(platform, WEIGHTS)
    for body, status in ((WEIGHTS[:100_000], "416"), (None, "404")):
        platform.store.objects.pop("/file")
        if body:
            platform.store.objects["/file"] = body
        with pytest.raises(ClientError, match=f"answered {status}") as caught:
            get_file(file, tmp_path / "file")
        assert (caught.value.reason, found(tmp_path).keys()) == ("OBJECT_STORE", {"file.part"})
        platform.store.objects["/file"] = WEIGHTS


def test_a_disk_that_takes_nothing_is_named(platform: FakePlatform, tmp_path: Path) -> None:
    (tmp_path / "file.part").mkdir()
    with pytest.raises(ClientError, match="cannot be written") as caught:
        get_file(one_file(platform, WEIGHTS), tmp_path / "file")
    assert (caught.value.reason, str(tmp_path / "file") in caught.value.message) == ("DISK", True)


def test_an_export_is_a_hugging_face_folder(stored: FakePlatform, client: RetainClient, tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    _, folder = write_export(
        client, DIGEST[:8], tmp_path / "out", progress=lambda here, all_: heard.append((here, all_))
    )
    assert folder == tmp_path / "out"
    assert found(tmp_path) == {f"out/{name}": body for name, body in MODEL.items()}
    assert heard == sorted(heard)
    assert heard[-1] == (300_002, 300_002)


def test_with_the_training_state_it_is_laid_out_like_a_trainer(
    stored: FakePlatform, client: RetainClient, tmp_path: Path
) -> None:
    _, folder = write_export(client, DIGEST, tmp_path / "out", with_training_state=True)
    assert folder == tmp_path / "out" / "checkpoint-120"
    assert set(found(folder)) == {*MODEL, "trainer_state.json", "optimizer/shard-0.safetensors"}
    assert [entry.name for entry in (tmp_path / "out").iterdir()] == ["checkpoint-120"]


@pytest.mark.parametrize("there", [False, True], ids=["a new folder", "an empty folder"])
@pytest.mark.parametrize("state", [False, True], ids=["model", "training state"])
def test_an_interrupted_export_shows_nothing_and_continues(
    stored: FakePlatform, client: RetainClient, tmp_path: Path, monkeypatch, there: bool, state: bool
) -> None:
    out = tmp_path / "out"
    if there:
        out.mkdir()
    monkeypatch.setattr(export, "get_file", _breaks_off_at("model.safetensors"))
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        write_export(client, DIGEST, out, with_training_state=state, say=said.append)
    assert "200.0 kB are kept in" in said[-1]
    assert not [name for name in found(tmp_path) if ".arriving" not in name]
    monkeypatch.undo()
    stored.store.asked.clear()
    _, folder = write_export(client, DIGEST, out, with_training_state=state, say=said.append)
    assert MODEL.items() <= found(folder).items()
    assert not [name for name in found(tmp_path) if ".arriving" in name or name.endswith(".part")]
    assert (f"{PREFIX}/model/model.safetensors", "bytes=200000-") in stored.store.asked
    assert f"{PREFIX}/model/config.json" not in dict(stored.store.asked)
    assert "200.0 kB of it are here" in said[-1 if not state else -3]


def _breaks_off_at(name: str):
    def get(file: ExportedFile, path: Path, **options) -> None:
        if path.name != name:
            get_file(file, path, **options)
            return
        path.with_name(f"{name}.part").write_bytes(WEIGHTS[:200_000])
        raise KeyboardInterrupt

    return get


def test_a_move_that_ended_halfway_is_finished(stored: FakePlatform, client: RetainClient, tmp_path: Path) -> None:
    fresh = tmp_path / ".arriving" / DIGEST
    fresh.mkdir(parents=True)
    (fresh / "config.json").write_bytes(b"{}")
    (tmp_path / "model.safetensors").write_bytes(WEIGHTS)
    write_export(client, DIGEST, tmp_path)
    assert found(tmp_path) == MODEL
    assert stored.store.asked == []


def test_a_file_of_somebody_else_beside_an_interrupted_export_stays(
    stored: FakePlatform, client: RetainClient, tmp_path: Path
) -> None:
    (tmp_path / ".arriving" / DIGEST).mkdir(parents=True)
    (tmp_path / "config.json").write_text("mine")
    with pytest.raises(BadInput, match="not empty"):
        write_export(client, DIGEST, tmp_path)
    assert found(tmp_path) == {"config.json": b"mine"}


def test_what_another_checkpoint_left_is_not_mixed_in(
    stored: FakePlatform, client: RetainClient, tmp_path: Path
) -> None:
    left = tmp_path / ".out.arriving"
    (left / ("cd" * 32)).mkdir(parents=True)
    (left / ("cd" * 32) / "model.safetensors.part").write_bytes(b"of another")
    (left / DIGEST / "optimizer").mkdir(parents=True)
    (left / DIGEST / "optimizer" / "shard-0.safetensors").write_bytes(b"of an export with the training state")
    write_export(client, DIGEST, tmp_path / "out")
    assert found(tmp_path) == {f"out/{name}": body for name, body in MODEL.items()}


def test_a_url_that_has_ended_is_asked_for_anew_as_long_as_bytes_come(
    stored: FakePlatform, client: RetainClient, tmp_path: Path
) -> None:
    stored.store.statuses, stored.store.cut_after = [200, 200, 403], [2, 100_000]
    write_export(client, DIGEST, tmp_path / "out")
    assert found(tmp_path / "out") == MODEL
    assert stored.calls.count("ExportCheckpoint") == 2
    stored.store.statuses = [403] * 10
    with pytest.raises(ClientError, match="answered 403") as caught:
        write_export(client, DIGEST, tmp_path / "other")
    assert caught.value.reason == "URL_REFUSED"
    assert stored.calls.count("ExportCheckpoint") == 4
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_holds_something_is_not_written_into(
    stored: FakePlatform, client: RetainClient, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    for place in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(BadInput, match="not empty"):
            write_export(client, DIGEST, place)
    assert found(tmp_path) == {"mine.txt": b"keep"}
    assert stored.calls == []


@pytest.mark.parametrize("path", ["model/../../../evil.txt", "/etc/evil.txt", "model//etc/evil.txt", "a\\..\\evil.txt"])
def test_a_path_out_of_the_folder_is_refused(
    stored: FakePlatform, client: RetainClient, tmp_path: Path, path: str
) -> None:
    stored.store.objects[f"{PREFIX}/model/x"] = b"x"
    made = client.export_checkpoint(DIGEST)

    class Evil:
        def export_checkpoint(self, checkpoint_id: str, *, with_training_state: bool = False):
            file = ExportedFile(path=path, url=made.files[0].url, sha256=made.files[0].sha256, bytes=2)
            return type(made)(checkpoint=made.checkpoint, files=(*made.files, file))

    with pytest.raises(BadInput, match="leads out"):
        write_export(Evil(), DIGEST, tmp_path / "a" / "b")
    assert found(tmp_path) == {}


def test_the_cache_downloads_once(stored: FakePlatform, client: RetainClient, tmp_path: Path) -> None:
    reference = client.checkpoint(DIGEST).ref
    first = cached_model(client, reference, tmp_path)
    assert cached_model(client, reference, tmp_path) == first == tmp_path / DIGEST
    assert stored.calls.count("ExportCheckpoint") == 1


def test_two_that_fill_the_cache_at_once_download_once(
    stored: FakePlatform, client: RetainClient, tmp_path: Path
) -> None:
    reference = client.checkpoint(DIGEST).ref
    waits, second = threading.Event(), []

    def also(_: str) -> None:
        """Begins the second as soon as the first is at its files, and lets that continue when the second waits."""
        if not second:
            say = lambda text: waits.set() if "waits for it" in text else None  # noqa: E731
            second.append(
                threading.Thread(target=cached_model, args=(client, reference, tmp_path), kwargs={"say": say})
            )
            second[0].start()
            assert waits.wait(20)

    assert cached_model(client, reference, tmp_path, say=also) == tmp_path / DIGEST
    second[0].join(20)
    assert not second[0].is_alive()
    assert found(tmp_path) == {f"{DIGEST}/{name}": body for name, body in MODEL.items()}
    assert len(stored.store.asked) == 2
