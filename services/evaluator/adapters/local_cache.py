"""The evaluator's folder on this machine's disk: checkpoints, sets, and interpolations in the making.

A full disk is not waited for in here, where one evaluation would block all others: it is told as StorageFull, after
what nobody uses was deleted, and whoever asked comes again.
"""

import re
import shutil
import threading
from pathlib import Path

from services.common.cache.cache_folder import MARKER
from services.common.cache.content_cache import ContentCache
from services.common.concurrency import heart
from services.common.errors import StorageFull

# What versions before the shared cache left in the folder: verified by nobody any more, and counted by nobody.
_OLD = re.compile(r"checkpoint-[0-9a-f]{32}-[0-9a-f]{16}|set-[0-9a-f]{64}|\.partial-\w+")


class _Full(threading.local):
    """What the work of this thread has no room for."""

    text = ""


def open_cache(root: Path, *, max_bytes: int) -> ContentCache:
    """The cache at `root`. Raises FailedPrecondition for a folder that is somebody else's."""
    if root.is_dir() and not (root / MARKER).exists():
        for path in root.iterdir():
            if _OLD.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
    full = _Full()

    def told(text: str) -> None:
        full.text = text

    def pause(seconds: float) -> None:
        if full.text:
            text, full.text = full.text, ""
            raise StorageFull(text)
        heart.pause(seconds)

    return ContentCache(root, max_bytes=max_bytes, beat=heart.beat, told=told, pause=pause)
