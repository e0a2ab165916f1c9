"""Bytes to and from the object store: sent once, checked on arrival, no pickles, nothing outside the folder."""

import hashlib
import os
from pathlib import Path

import pytest

from retain.orchestrator.v1 import resources_pb2 as res
from tests.fakes.orchestrator_service import FakePlatform
from ui.client.client import RetainClient
from ui.client.errors import BadInput, ClientError
from ui.hugging_face import cached_model, model_files, upload_names, write_export
from ui.local_data import place_local_sources
from ui.transfer import upload

WEIGHTS = b"weights"
DIGEST = "ab" * 32


def store_checkpoint(platform: FakePlatform) -> None:
    uri = "s3://retain/runs/r/pretrain/attempt-1/step-000000120"
    made = res.Checkpoint(id="r/pretrain/attempt-1/step-000000120", run_id="r", stage="pretrain", parent="")
    made.ref.uri, made.ref.manifest_sha256, made.ref.step = uri, DIGEST, 120
    platform.checkpoints.append(made)
    for path, body in {
        "model/config.json": b"{}",
        "model/model.safetensors": WEIGHTS,
        "optimizer/shard-0.safetensors": b"moments",
        "trainer_state.json": b'{"step": 120}',
    }.items():
        platform.store.objects[f"/runs/r/pretrain/attempt-1/step-000000120/{path}"] = body


def test_a_file_is_uploaded_once(platform: FakePlatform, client: RetainClient, tmp_path: Path) -> None:
    file = tmp_path / "data.jsonl"
    file.write_bytes(b'{"text": "x"}\n')
    said: list[str] = []
    uri = upload(client, file, say=said.append)
    assert uri == f"s3://retain/uploads/{hashlib.sha256(file.read_bytes()).hexdigest()}/data.jsonl"
    assert platform.store.objects["/" + uri.removeprefix("s3://retain/")] == file.read_bytes()
    assert upload(client, file, say=said.append) == uri
    assert len(said) == 1


def test_a_folder_is_named_by_its_content(platform: FakePlatform, client: RetainClient, tmp_path: Path) -> None:
    (tmp_path / "a" / "deep").mkdir(parents=True)
    (tmp_path / "a" / "one.txt").write_text("1")
    (tmp_path / "a" / "deep" / "two.txt").write_text("2")
    uri = upload(client, tmp_path / "a")
    names = {
        key.rpartition("/")[2]
        for key in platform.store.objects
        if key.startswith("/" + uri.removeprefix("s3://retain/"))
    }
    assert names == {"one.txt", "deep__two.txt"}
    (tmp_path / "a" / "one.txt").write_text("changed")
    assert upload(client, tmp_path / "a") != uri


def test_links_of_a_folder_are_followed_once_and_nothing_hidden_is_sent(
    platform: FakePlatform, client: RetainClient, tmp_path: Path
) -> None:
    data, blobs = tmp_path / "data", tmp_path / "blobs"
    (data / ".git").mkdir(parents=True)
    blobs.mkdir()
    (data / ".git" / "HEAD.txt").write_text("ref")
    (blobs / "0f3a").write_text("{}")
    (data / "train.jsonl").symlink_to(blobs / "0f3a")
    (data / "more").symlink_to(blobs)
    (data / "up").symlink_to(tmp_path)
    (data / "gone.txt").symlink_to(tmp_path / "nowhere")
    Path(os.fsdecode(bytes(data) + b"/caf\xe9.txt")).write_text("x")
    uri = upload(client, data)
    prefix = "/" + uri.removeprefix("s3://retain/")
    names = {key.rpartition("/")[2] for key in platform.store.objects if key.startswith(prefix)}
    assert names == {"train.jsonl", "more__0f3a", r"caf\udce9.txt"}


def test_local_paths_become_absolute_here_and_uploads_elsewhere(
    platform: FakePlatform, client: RetainClient, tmp_path: Path
) -> None:
    (tmp_path / "code.txt").write_text("x = 1\n")
    tree = {"stages": [{"data": {"domain": "code.txt", "general": "sample://docs"}}]}
    spec = str(tmp_path / "spec.yaml")
    place_local_sources(client, tree, spec, send=False)
    assert tree["stages"][0]["data"] == {"domain": str(tmp_path / "code.txt"), "general": "sample://docs"}
    assert "CreateUpload" not in platform.calls
    place_local_sources(client, tree, spec, send=True)
    assert tree["stages"][0]["data"]["domain"].startswith("s3://retain/uploads/")


def test_a_missing_path_is_named_before_anything_is_sent(
    platform: FakePlatform, client: RetainClient, tmp_path: Path
) -> None:
    tree = {"stages": [{"data": {"domain": "absent.txt"}}], "forgetting": {"retention": {"law": "gone/"}}}
    with pytest.raises(BadInput) as caught:
        place_local_sources(client, tree, str(tmp_path / "spec.yaml"), send=True)
    assert [fault.field for fault in caught.value.violations] == ["stages[0].data.domain", "forgetting.retention.law"]
    assert platform.calls == []


def test_an_export_is_a_hugging_face_folder(platform: FakePlatform, client: RetainClient, tmp_path: Path) -> None:
    store_checkpoint(platform)
    _, folder = write_export(client, DIGEST[:8], tmp_path / "out")
    assert folder == tmp_path / "out"
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS


def test_with_the_training_state_it_is_laid_out_like_a_trainer(
    platform: FakePlatform, client: RetainClient, tmp_path: Path
) -> None:
    store_checkpoint(platform)
    _, folder = write_export(client, DIGEST, tmp_path / "out", with_training_state=True)
    assert folder == tmp_path / "out" / "checkpoint-120"
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == {
        "config.json",
        "model.safetensors",
        "trainer_state.json",
        "optimizer/shard-0.safetensors",
    }


def test_bytes_with_another_hash_are_not_kept(
    platform: FakePlatform, client: RetainClient, tmp_path: Path, monkeypatch
) -> None:
    store_checkpoint(platform)
    monkeypatch.setattr("ui.transfer.sha256_of", lambda path: "00" * 32)
    with pytest.raises(ClientError, match="SHA-256") as caught:
        write_export(client, DIGEST, tmp_path / "out")
    assert caught.value.reason == "HASH_DIFFERS"
    assert list((tmp_path / "out").iterdir()) == []


def test_an_export_appears_whole_or_not_at_all(
    platform: FakePlatform, client: RetainClient, tmp_path: Path, monkeypatch
) -> None:
    store_checkpoint(platform)
    fetched: list[str] = []

    def breaks_off(url: str, path: Path, *, sha256: str) -> None:
        if fetched:
            raise ClientError("the store went away", reason="OBJECT_STORE")
        fetched.append(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half of it")

    monkeypatch.setattr("ui.hugging_face.get_file", breaks_off)
    for state in (False, True):
        fetched.clear()
        with pytest.raises(ClientError, match="went away"):
            write_export(client, DIGEST, tmp_path / "out", with_training_state=state)
        assert list((tmp_path / "out").iterdir()) == []
    with pytest.raises(ClientError, match="went away"):
        cached_model(client, client.checkpoint(DIGEST).ref, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    monkeypatch.undo()
    (tmp_path / "out" / ".arriving").mkdir()  # what a killed export leaves
    (tmp_path / "out" / ".arriving" / "config.json").write_text("half")
    assert write_export(client, DIGEST, tmp_path / "out")[1] == tmp_path / "out"
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == {
        "config.json": b"{}",
        "model.safetensors": WEIGHTS,
    }


def test_two_commands_may_fill_the_cache_at_once(platform: FakePlatform, client: RetainClient, tmp_path: Path) -> None:
    store_checkpoint(platform)
    reference = client.checkpoint(DIGEST).ref

    def other_is_faster(_: str) -> None:
        if not (tmp_path / DIGEST).exists():
            cached_model(client, reference, tmp_path)

    assert cached_model(client, reference, tmp_path, say=other_is_faster) == tmp_path / DIGEST
    assert [entry.name for entry in tmp_path.iterdir()] == [DIGEST]
    assert (tmp_path / DIGEST / "model.safetensors").read_bytes() == WEIGHTS


def test_a_folder_that_holds_something_is_not_written_into(
    platform: FakePlatform, client: RetainClient, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(BadInput, match="not empty"):
        write_export(client, DIGEST, tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_a_path_out_of_the_folder_is_refused(platform: FakePlatform, client: RetainClient, tmp_path: Path) -> None:
    store_checkpoint(platform)
    platform.store.objects["/runs/r/pretrain/attempt-1/step-000000120/model/../../../evil.txt"] = b"x"
    with pytest.raises(BadInput, match="points out"):
        write_export(client, DIGEST, tmp_path / "a" / "b")
    assert not (tmp_path / "evil.txt").exists()


def test_the_cache_downloads_once(platform: FakePlatform, client: RetainClient, tmp_path: Path) -> None:
    store_checkpoint(platform)
    reference = client.checkpoint(DIGEST).ref
    first = cached_model(client, reference, tmp_path)
    assert cached_model(client, reference, tmp_path) == first == tmp_path / DIGEST
    assert platform.calls.count("ExportCheckpoint") == 1


def test_pickled_weights_are_neither_sent_nor_enough(tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json", "pytorch_model.bin"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(BadInput, match=r"there is .*pytorch_model.bin.*safetensors are allowed"):
        model_files(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(WEIGHTS)
    assert [path.name for path in model_files(tmp_path)] == ["config.json", "model.safetensors", "tokenizer.json"]
    (tmp_path / "additional_chat_templates").mkdir()
    (tmp_path / "additional_chat_templates" / "tool_use.jinja").write_text("{{ tools }}")
    assert list(upload_names(tmp_path)) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "additional_chat_templates__tool_use.jinja",
    ]
