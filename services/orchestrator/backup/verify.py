"""Whether a bucket holds what its database says: every checkpoint's manifest, and every file of it, by SHA-256."""

import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from services.common.errors import Corrupt, NotFound
from services.common.store.layout import MANIFEST
from services.common.store.object_store import ObjectStore, key_of
from services.orchestrator.adapters.tables import checkpoints
from services.orchestrator.application.checkpoint_service import manifest_entries
from services.orchestrator.backup.objects import sha256_of
from services.orchestrator.domain.run.state import CheckpointState

USABLE = tuple(status.value for status in CheckpointState if status.usable)


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What was looked at, and what is not as the database says (empty: all is)."""

    checkpoints: int
    files: int
    faults: tuple[str, ...]


def verify_checkpoints(engine: sa.Engine, store: ObjectStore) -> Verified:
    """Reads every file of every checkpoint that something may continue from."""
    files, faults = 0, list[str]()
    with engine.connect() as connection:
        query = sa.select(checkpoints.c.id, checkpoints.c.uri, checkpoints.c.manifest_sha256)
        rows = connection.execute(query.where(checkpoints.c.status.in_(USABLE))).all()
    for name, uri, digest in rows:
        try:
            files += sum(1 for _ in _hashed(store, key_of(store, uri), digest))
        except (NotFound, Corrupt) as error:
            faults.append(f"{name}: {error.message}")
    return Verified(checkpoints=len(rows), files=files, faults=tuple(faults))


def _hashed(store: ObjectStore, key: str, digest: str) -> Iterator[str]:
    """Names of the files that are as the manifest says. Raises NotFound, Corrupt."""
    data = store.get_bytes(f"{key}/{MANIFEST}")
    if hashlib.sha256(data).hexdigest() != digest:
        raise Corrupt(f"{key}/{MANIFEST} has another SHA-256 than {digest}", reason="MANIFEST_CHANGED")
    with tempfile.TemporaryDirectory(prefix="retain-verify-") as folder:
        for name, entry in manifest_entries(json.loads(data)).items():
            path = Path(folder) / "file"
            store.get_file(f"{key}/{name}", path)
            if sha256_of(path) != entry["sha256"]:
                raise Corrupt(f"{key}/{name} has another SHA-256 than {entry['sha256']}", reason="FILE_CHANGED")
            yield name
