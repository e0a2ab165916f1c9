"""The cache on disk trusts nothing that it has not verified, and keeps within its bytes."""

import pytest

from services.common.errors import Corrupt
from services.evaluator.adapters.disk_cache import DiskCache


class Source:
    def __init__(self, content: bytes = b"right") -> None:
        self.content, self.fetched = content, 0

    def fetch(self, folder):
        self.fetched += 1
        (folder / "file").write_bytes(self.content)

    def verify(self, folder):
        if not (folder / "file").read_bytes().startswith(b"right"):
            raise Corrupt("wrong bytes")


def test_fetched_once_and_verified_again_by_the_next_process(tmp_path):
    source = Source()
    cache = DiskCache(tmp_path, max_bytes=100)
    path = cache.folder("a", fetch=source.fetch, verify=source.verify)
    assert cache.folder("a", fetch=source.fetch, verify=source.verify) == path
    assert source.fetched == 1
    (path / "file").write_bytes(b"changed on disk")
    again = DiskCache(tmp_path, max_bytes=100).folder("a", fetch=source.fetch, verify=source.verify)
    assert (again / "file").read_bytes() == b"right"
    assert source.fetched == 2


def test_what_does_not_verify_leaves_nothing_behind(tmp_path):
    source = Source(b"wrong")
    with pytest.raises(Corrupt):
        DiskCache(tmp_path, max_bytes=100).folder("a", fetch=source.fetch, verify=source.verify)
    assert list(tmp_path.iterdir()) == []


def test_the_least_recently_used_goes_first(tmp_path):
    source = Source(b"right" * 8)  # 40 bytes
    cache = DiskCache(tmp_path, max_bytes=100)
    for name in ("a", "b", "a", "c"):
        cache.folder(name, fetch=source.fetch, verify=source.verify)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "c"]
