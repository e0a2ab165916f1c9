"""What was replaced in the store after it was sent is refused by whoever loads it."""

import hashlib
from pathlib import Path

import pytest

from model.errors import BadSource
from services.common.store.object_store import put_folder
from services.worker.preparation.data_sources import fetcher
from services.worker.preparation.uploads import check_upload
from tests.fakes.object_store import FakeObjectStore

TEXT = b'{"text": "a"}\n'
DIGEST = hashlib.sha256(TEXT).hexdigest()


@pytest.mark.parametrize("folder", [DIGEST, f"project.{DIGEST}"])
def test_a_file_that_is_not_what_was_sent_is_refused(folder: str, tmp_path: Path) -> None:
    store = FakeObjectStore()
    key = f"uploads/{folder}/a.jsonl"
    store.put_bytes(key, TEXT)
    assert fetcher(store)(f"s3://{store.bucket}/{key}", tmp_path).read_bytes() == TEXT
    store.put_bytes(key, TEXT.replace(b"a", b"b"))
    with pytest.raises(BadSource, match=f"what was uploaded, {DIGEST}"):
        fetcher(store)(f"s3://{store.bucket}/{key}", tmp_path)


def test_a_folder_is_named_by_what_the_client_sent(tmp_path: Path) -> None:
    """As `ui/local/transfer.py` names it: one digest for all names and contents."""
    sent = tmp_path / "sent"
    sent.mkdir()
    for name, data in (("b.jsonl", TEXT), ("a.jsonl", b"{}")):
        (sent / name).write_bytes(data)
    lines = sorted(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in sent.iterdir())
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    key = f"uploads/{digest}/model"
    store = FakeObjectStore()
    put_folder(store, sent, key)
    (tmp_path / "in").mkdir()
    assert fetcher(store)(f"s3://{store.bucket}/{key}", tmp_path / "in") == tmp_path / "in"
    store.put_bytes(f"{key}/c.jsonl", b"{}")
    with pytest.raises(BadSource):
        fetcher(store)(f"s3://{store.bucket}/{key}", tmp_path / "in")


def test_a_name_that_is_no_digest_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(TEXT)
    check_upload("s3://retain/uploads/mine/model", "uploads/mine/model", tmp_path)
    check_upload("s3://retain/data/f", "data/f", tmp_path / "f")
