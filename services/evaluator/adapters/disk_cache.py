"""Checkpoints and sets on the evaluator's disk: what was downloaded and verified, the most recently used ones.

A folder is named by the hash of what it holds, and appears whole (downloaded beside, verified, renamed) or not at all.
What an earlier process left is verified again before its first use: a disk is no more to be trusted than a bucket.
"""

import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

from services.common.errors import RetainError
from services.common.logging import get_logger

log = get_logger(__name__)


class DiskCache:
    """At most `max_bytes` of folders under `root`, the least recently used going first; the newest always stays."""

    def __init__(self, root: Path, *, max_bytes: int) -> None:
        self._root, self._max_bytes = root, max_bytes
        self._verified: OrderedDict[str, int] = OrderedDict()  # name -> bytes, least recently used first
        self._lock = threading.RLock()
        root.mkdir(parents=True, exist_ok=True)
        for leftover in root.glob(".partial-*"):
            shutil.rmtree(leftover, ignore_errors=True)

    def folder(self, name: str, *, fetch: Callable[[Path], None], verify: Callable[[Path], None]) -> Path:
        """The folder of this name. `fetch` fills an empty folder, `verify` raises a RetainError unless it is right."""
        with self._lock:
            path = self._root / name
            if name not in self._verified:
                self._verify_leftover(path, verify)
                if not path.is_dir():
                    self._fetch(path, fetch, verify)
                self._verified[name] = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
            self._verified.move_to_end(name)
            self._evict()
            return path

    def _verify_leftover(self, path: Path, verify: Callable[[Path], None]) -> None:
        if path.is_dir():
            try:
                verify(path)
            except RetainError as error:
                log.warning("a cached folder is fetched again", folder=path.name, error=error.message)
                shutil.rmtree(path)

    def _fetch(self, path: Path, fetch: Callable[[Path], None], verify: Callable[[Path], None]) -> None:
        partial = Path(mkdtemp(prefix=".partial-", dir=self._root))
        try:
            fetch(partial)
            verify(partial)
            partial.rename(path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _evict(self) -> None:
        while sum(self._verified.values()) > self._max_bytes and len(self._verified) > 1:
            name, _ = self._verified.popitem(last=False)
            shutil.rmtree(self._root / name, ignore_errors=True)
