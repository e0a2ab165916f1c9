"""Bytes to the object store: sent once, no pickles, and local paths of a spec placed where workers can read them."""

import hashlib
import os
from pathlib import Path

import pytest

from tests.fakes.orchestrator_service import FakePlatform
from ui.client.client import RetainClient
from ui.client.errors import BadInput
from ui.local.hf_folder import model_files, upload_names
from ui.local.transfer import upload
from ui.local.upload import place_local_sources


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


def test_pickled_weights_are_neither_sent_nor_enough(tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json", "pytorch_model.bin"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(BadInput, match=r"got .*pytorch_model.bin.*expected weights in safetensors"):
        model_files(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    assert [path.name for path in model_files(tmp_path)] == ["config.json", "model.safetensors", "tokenizer.json"]
    (tmp_path / "additional_chat_templates").mkdir()
    (tmp_path / "additional_chat_templates" / "tool_use.jinja").write_text("{{ tools }}")
    assert list(upload_names(tmp_path)) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "additional_chat_templates__tool_use.jinja",
    ]
