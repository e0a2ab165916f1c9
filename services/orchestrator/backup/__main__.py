"""Saves an installation into a folder, and restores one into a new database and bucket.

    python -m services.orchestrator.backup save FOLDER
    python -m services.orchestrator.backup restore FOLDER     the orchestrator must not run yet
    python -m services.orchestrator.backup verify             every checkpoint's files against the database

Database and bucket are those of the environment, as the orchestrator reads them (RETAIN_DATABASE_URL, RETAIN_S3_*,
AWS_*). Runs may continue while it saves: the database is read first, as of one moment, and a checkpoint is in it only
once its files are in the bucket. Secrets of the environment are in no backup.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from services.common.errors import RetainError
from services.common.store.minio_store import MinioStore
from services.orchestrator.adapters.database import connect
from services.orchestrator.adapters.settings import Settings
from services.orchestrator.backup.objects import restore_objects, save_objects
from services.orchestrator.backup.rows import check_empty, restore_rows, save_rows
from services.orchestrator.backup.verify import verify_checkpoints

DATABASE = "database.jsonl"


def save(url: str, store: MinioStore, folder: Path) -> str:
    """Database first. Returns what to say."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    rows = save_rows(url, folder / DATABASE)
    entries = save_objects(store, folder)
    size = sum(entry.bytes for entry in entries)
    return f"saved {sum(rows.values())} rows and {len(entries)} objects ({size / 1e6:.1f} MB) to {folder}"


def restore(url: str, store: MinioStore, folder: Path) -> str:
    """Bucket first: a database that names what is not there yet is nobody's. Returns what to say."""
    engine = connect(url)
    try:
        check_empty(engine)
        store.ensure_bucket()
        entries = restore_objects(store, folder)
        rows = restore_rows(engine, folder / DATABASE)
    finally:
        engine.dispose()
    return f"restored {sum(rows.values())} rows and {len(entries)} objects; {verify(url, store)}"


def verify(url: str, store: MinioStore) -> str:
    """Returns what to say. Exits with 1 where something differs."""
    engine = connect(url)
    try:
        found = verify_checkpoints(engine, store)
    finally:
        engine.dispose()
    if found.faults:
        sys.exit("\n".join([*found.faults, f"{len(found.faults)} of {found.checkpoints} checkpoints differ"]))
    return f"{found.files} files of {found.checkpoints} checkpoints have the SHA-256 that database and manifests say"


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point. Exits with 1 and the reason where it cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m services.orchestrator.backup", description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, said in (("save", "into a folder"), ("restore", "into a new database and bucket")):
        verbs.add_parser(verb, help=said).add_argument("folder", type=Path)
    verbs.add_parser("verify", help="every checkpoint's files against the database")
    given = parser.parse_args(arguments)
    try:
        url, store = Settings().database, MinioStore.from_env(patience_s=60)
        if given.verb == "verify":
            print(verify(url, store))
        else:
            print({"save": save, "restore": restore}[given.verb](url, store, given.folder))
    except RetainError as error:
        sys.exit(f"{error.reason}: {error.message}")


if __name__ == "__main__":
    main()
