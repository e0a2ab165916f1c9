"""The local cache: trusts what it has verified, as long as nobody touched it; deletes what nobody reads; takes no
folder of somebody else's; and waits for room on the disk."""

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from services.common.cache import stamps
from services.common.cache.content_cache import ContentCache
from services.common.cache.file_lock import try_lock
from services.common.errors import Corrupt, FailedPrecondition


class Source:
    """Content that can be fetched; `verified` counts how often it was read through."""

    def __init__(self, content: bytes = b"right") -> None:
        self.content, self.fetched, self.verified = content, 0, 0

    def fetch(self, folder: Path) -> None:
        self.fetched += 1
        (folder / "deep").mkdir()
        (folder / "deep" / "file").write_bytes(self.content)

    def verify(self, folder: Path) -> None:
        self.verified += 1
        if not (folder / "deep" / "file").read_bytes().startswith(b"right"):
            raise Corrupt("wrong bytes")

    def lease(self, cache: ContentCache, name: str = "kind/a"):
        return cache.lease(name, fetch=self.fetch, verify=self.verify)


def cache_at(root: Path, *, max_bytes: int = 1000, **more) -> ContentCache:
    return ContentCache(root, max_bytes=max_bytes, **more)


def test_a_folder_is_fetched_once_and_trusted_by_the_next_process_of_this_boot(tmp_path: Path) -> None:
    source = Source()
    for _ in range(3):
        with source.lease(cache_at(tmp_path / "cache")) as path:
            assert (path / "deep" / "file").read_bytes() == b"right"
    assert (source.fetched, source.verified) == (1, 1)


def test_after_a_boot_it_is_verified_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source()
    source.lease(cache_at(tmp_path / "cache")).release()
    monkeypatch.setattr(stamps, "boot_id", lambda: "another boot")
    for _ in range(2):
        source.lease(cache_at(tmp_path / "cache")).release()
    assert (source.fetched, source.verified) == (1, 2)


def flip(path: Path) -> None:
    """One bit, with size and modification time put back."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(
    "harm",
    [flip, lambda path: os.truncate(path, 2), Path.unlink, lambda path: (path.unlink(), path.symlink_to("/dev/null"))],
    ids=["flipped", "cut", "missing", "a link"],
)
def test_what_was_damaged_on_disk_is_found_and_fetched_again(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    source = Source()
    with source.lease(cache_at(tmp_path / "cache")) as path:
        harm(path / "deep" / "file")
    with source.lease(cache_at(tmp_path / "cache")) as path:
        assert (path / "deep" / "file").read_bytes() == b"right"
    assert source.fetched == 2


def test_what_does_not_verify_leaves_nothing_behind(tmp_path: Path) -> None:
    cache = cache_at(tmp_path / "cache")
    with pytest.raises(Corrupt):
        Source(b"wrong").lease(cache)
    assert [*(cache.root / "content").rglob("file")] == []
    assert [*(cache.root / "work").iterdir()] == []


def test_the_least_recently_used_goes_first_and_what_is_leased_stays(tmp_path: Path) -> None:
    source, cache = Source(b"right" * 8), cache_at(tmp_path / "cache", max_bytes=100)  # 40 bytes each
    held = source.lease(cache, "kind/held")
    for name in ("kind/a", "kind/b", "kind/c"):
        source.lease(cache, name).release()
    left = sorted(path.name for path in (cache.root / "content" / "kind").iterdir())
    assert left == ["c", "held"]
    held.release()
    source.lease(cache, "kind/d").release()
    assert sorted(path.name for path in (cache.root / "content" / "kind").iterdir()) == ["c", "d"]


def test_a_lease_of_another_process_holds(tmp_path: Path) -> None:
    source, cache = Source(), cache_at(tmp_path / "cache")
    source.lease(cache).release()
    code = (
        "import sys; from pathlib import Path; from services.common.cache.content_cache import ContentCache;"
        f"cache = ContentCache(Path({str(cache.root)!r}), max_bytes=1);"
        "lease = cache.lease('kind/a', fetch=None, verify=None); print('leased', flush=True); sys.stdin.read()"
    )
    reader = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert reader.stdin is not None
    assert reader.stdout is not None
    try:
        assert reader.stdout.readline() == b"leased\n"
        assert cache.free().folders == 0
    finally:
        reader.stdin.close()
        reader.wait(timeout=30)
        reader.stdout.close()
    freed = cache.free()
    assert (freed.folders, freed.size_bytes) == (1, 5)


def test_of_many_that_want_it_one_fetches(tmp_path: Path) -> None:
    source, cache = Source(), cache_at(tmp_path / "cache")
    threads = [threading.Thread(target=lambda: source.lease(cache).release()) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert source.fetched == 1


def test_who_waits_for_a_fetch_beats_with_it_and_not_without(tmp_path: Path) -> None:
    """The signs of work of the one that fetches are those of whoever waits; a fetch that stands still shows none."""
    beats: list[str] = []
    fetcher, waiter = cache_at(tmp_path / "cache"), cache_at(tmp_path / "cache", beat=lambda: beats.append("beat"))
    steps, paused = threading.Semaphore(0), threading.Semaphore(0)
    waiter.pause = lambda seconds: (paused.release(), threading.Event().wait(0.01))[0]
    started, source = threading.Event(), Source()

    def slowly(folder: Path) -> None:
        started.set()
        for _ in range(3):
            steps.acquire()
            fetcher.work_done()
        source.fetch(folder)

    fetching = threading.Thread(target=lambda: fetcher.lease("kind/a", fetch=slowly, verify=source.verify).release())
    fetching.start()
    assert started.wait(10)
    waiting = threading.Thread(target=lambda: source.lease(waiter).release())
    waiting.start()
    for _ in range(20):
        assert paused.acquire(timeout=10)
    still = len(beats)
    for _ in range(20):
        assert paused.acquire(timeout=10)
    assert len(beats) == still <= 1
    steps.release()
    for _ in range(20):
        assert paused.acquire(timeout=10)
    assert len(beats) == still + 1
    steps.release(2)
    fetching.join(10)
    waiting.join(10)
    assert source.fetched == 1


def test_what_a_killed_process_left_is_removed_and_a_living_ones_is_not(tmp_path: Path) -> None:
    cache = cache_at(tmp_path / "cache")
    (cache.root / "work" / "dead").mkdir()
    (cache.root / "work" / "dead" / "half").write_bytes(b"x" * 100)
    (cache.root / "work" / "dead.lock").touch()
    with cache.work_folder() as alive:
        (alive / "half").write_bytes(b"y")
        cache_at(tmp_path / "cache")
        assert (alive / "half").is_file()
        assert not (cache.root / "work" / "dead").exists()
    assert [*(cache.root / "work").iterdir()] == []


def test_what_was_made_here_is_adopted(tmp_path: Path) -> None:
    source, cache = Source(), cache_at(tmp_path / "cache")
    with cache.work_folder() as work:
        source.fetch(work)
        cache.adopt("kind/a", work).release()
    source.lease(cache).release()
    assert (source.fetched, source.verified) == (1, 0)


def test_a_folder_of_somebody_else_is_refused_by_name(tmp_path: Path) -> None:
    foreign = tmp_path / "documents"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine")
    with pytest.raises(FailedPrecondition, match=r"documents is not used: it holds 'thesis.txt' and no \.retain-cache"):
        cache_at(foreign)
    assert [path.name for path in foreign.iterdir()] == ["thesis.txt"]
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(FailedPrecondition, match="link is a symbolic link"):
        cache_at(tmp_path / "link")
    cache_at(tmp_path / "ours")
    (tmp_path / "ours" / "content").rmdir()
    (tmp_path / "ours" / "content").symlink_to(tmp_path / "real")
    with pytest.raises(FailedPrecondition, match="content is a symbolic link"):
        cache_at(tmp_path / "ours")


def test_a_mounted_volume_may_hold_its_own_lost_and_found(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    assert Source().lease(cache_at(tmp_path)).path.is_dir()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to another user")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    cache_at(tmp_path / "cache")
    os.chown(tmp_path / "cache" / ".retain-cache", 12345, 12345)
    with pytest.raises(FailedPrecondition, match="not a file of this user"):
        cache_at(tmp_path / "cache")
    os.chown(tmp_path / "cache", 12345, 12345)
    with pytest.raises(FailedPrecondition, match="belongs to the user 12345"):
        cache_at(tmp_path / "cache")


def test_names_stay_inside(tmp_path: Path) -> None:
    cache = cache_at(tmp_path / "cache")
    for name in ("../out", "/etc", "a//b", "", "a/../b"):
        with pytest.raises(ValueError, match="expected"):
            Source().lease(cache, name)


@pytest.mark.parametrize(
    "full",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
    ids=["disk", "quota", "in words"],
)
def test_a_full_disk_is_waited_for_and_what_nobody_reads_goes(tmp_path: Path, full: Exception) -> None:
    told: list[str] = []
    source, cache = Source(), cache_at(tmp_path / "cache", told=told.append)
    source.lease(cache, "kind/unused").release()
    used = source.lease(cache, "kind/used")
    pauses: list[float] = []
    cache.pause = pauses.append

    def fetch(folder: Path) -> None:
        if len(pauses) < 3:
            (folder / "half").write_bytes(b"x")
            raise full
        source.fetch(folder)

    with cache.lease("kind/a", fetch=fetch, verify=source.verify) as path:
        assert [file.name for file in path.rglob("*")] == ["deep", "file"]
    assert told == [f"disk full at {cache.root}"] * 3 + [""]
    assert len(pauses) == 3
    assert sorted(path.name for path in (cache.root / "content" / "kind").iterdir()) == ["a", "used"]
    used.release()


def test_a_wait_for_room_can_be_ended(tmp_path: Path) -> None:
    class Leaving(Exception):
        pass

    def leave(seconds: float) -> None:
        raise Leaving

    def fetch(folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(Leaving):
        cache_at(tmp_path / "cache", pause=leave).lease("kind/a", fetch=fetch, verify=lambda folder: None)


def test_a_large_file_is_written_through_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stamps, "SYNC_BYTES", 1 << 20)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "large").write_bytes(b"x" * (5 * (1 << 20) + 1))
    (tmp_path / "small").write_bytes(b"")
    beats: list[None] = []
    stamps.sync_folder(tmp_path, lambda: beats.append(None))
    assert len(beats) == 6 + 4  # six pieces; two files and two folders
    assert (tmp_path / "deep" / "large").read_bytes() == b"x" * (5 * (1 << 20) + 1)


def test_a_lock_of_a_deleted_file_is_no_lock(tmp_path: Path) -> None:
    first = try_lock(tmp_path / "lock")
    assert first is not None
    assert try_lock(tmp_path / "lock") is None
    first.release(remove=True)
    again = try_lock(tmp_path / "lock")
    assert again is not None
    assert (tmp_path / "lock").exists()
    again.release()
