"""Stored documents that cannot be read are put aside: kept for people, said, and in nobody's way."""

import hashlib
from collections.abc import Callable

from services.common.errors import Corrupt
from services.common.logging import get_logger
from services.common.store.object_store import ObjectStore

ASIDE = "evaluator/damaged/"
log = get_logger(__name__)


class Aside:
    """`on_unreadable(kind)` counts them: evaluation, history or result."""

    def __init__(self, store: ObjectStore, *, on_unreadable: Callable[[str], None] = lambda kind: None) -> None:
        self._store, self._on_unreadable = store, on_unreadable

    def put(self, key: str, data: bytes, error: Corrupt | str, *, kind: str, delete: bool = True) -> None:
        """A copy first, under a name that another damaged document of the key does not take; then `key` is free."""
        place = f"{ASIDE}{key}.{hashlib.sha256(data).hexdigest()[:12]}"
        said = error if isinstance(error, str) else error.message
        log.error("a stored document cannot be read and is put aside", key=key, kept_at=place, kind=kind, error=said)
        self._on_unreadable(kind)
        self._store.put_bytes(place, data)
        if delete:
            self._store.delete(key)
