"""Collects garbage: what in the store nothing refers to (domain/policy/garbage), asked for by a person or on a
schedule.

Three things keep it from taking what is needed:

- Nothing younger than the limit is taken, and nothing at all while a stored record cannot be read: what that refers to
  nobody can tell.
- What a run that begins now could come to use (prepared data, tokenizers, evaluation sets, imports, uploads) is taken
  piece by piece under the run store's `choosing` lock, which creation, admission, uploads and imports hold too, after a
  fresh look at the runs that are new or at work.
- The bucket carries the mark of the database that it belongs to; another database, an empty one above all, takes none
  of it.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from services.common.concurrency.blocking import Blocking
from services.common.errors import Corrupt, FailedPrecondition, NotFound, RetainError, Unavailable
from services.common.logging import get_logger
from services.common.store.layout import MARKERS
from services.common.store.object_store import ObjectInfo, ObjectStore
from services.orchestrator.application.ports import EvaluatorPort, GarbageMeter
from services.orchestrator.application.run_store import RunStore
from services.orchestrator.domain.policy.garbage import (
    RECIPES,
    GarbageKind,
    Item,
    References,
    items,
    names_in,
    recipe_items,
)

DEFAULT_OLDER_THAN_S = 86_400.0
CHUNK = 200  # rows a turn, so that other calls of the database come in between
LISTING_LIMIT_S = 3600.0
ITEM_S = 60.0  # so long an item is worked on at a time; creations and admissions wait for a shared one
ITEM_LIMIT_S = 300.0  # listing it, and a last call in its retries, come on top
FAILURES_ALLOWED = 5
LARGEST_RECIPE_BYTES = 1_000_000
BELONGS_KEY = "installation"
KEPT_BY_EVALUATOR = (GarbageKind.HISTORY, GarbageKind.EVALUATION)


@dataclass(frozen=True, kw_only=True)
class Collected:
    """What was, or with `dry_run` would be, deleted. `notes`: what was left alone and why, for people."""

    items: tuple[Item, ...]
    bytes: int
    dry_run: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Known:
    """References as of a moment (Unix seconds), and up to which rows they go."""

    refs: References
    at_s: float
    last_run: int
    last_checkpoint: int


class Collector:
    """One collection at a time."""

    def __init__(self, run_store: RunStore, store: ObjectStore, evaluator: EvaluatorPort, meter: GarbageMeter) -> None:
        self._run_store, self._store, self._evaluator, self._meter = run_store, store, evaluator, meter
        self._files = Blocking("store", threads=2, limit_s=ITEM_LIMIT_S)
        self._store_uri = f"s3://{store.bucket}"
        self._task: asyncio.Task[Collected] | None = None

    def close(self) -> None:
        """End a collection under way, and give up the threads."""
        if self._task is not None:
            self._task.cancel()
        self._files.close()

    async def collect(self, *, dry_run: bool, older_than_s: float = 0.0) -> Collected:
        """List, or delete, what nothing refers to and is older than the limit (0: a day).

        Raises FailedPrecondition while another collection is under way, while a record cannot be read, and for a bucket
        of another database; Unavailable when database or store go away in the middle, which leaves nothing half done
        that the next collection would not find. A caller who leaves does not end it.
        """
        if self._task is not None and not self._task.done():
            raise FailedPrecondition("a collection is under way; its end unlocks this", reason="COLLECTION_UNDER_WAY")
        self._task = asyncio.create_task(self._collect(dry_run, older_than_s or DEFAULT_OLDER_THAN_S))
        return await asyncio.shield(self._task)

    async def _collect(self, dry_run: bool, older_than_s: float) -> Collected:
        known = await self._known(older_than_s)
        await self._check_ownership(known, claim=not dry_run)
        recipes, refs = await self._recipes(known.refs, older_than_s)
        found = await self._files(self._listed, refs, older_than_s, limit_s=LISTING_LIMIT_S)
        notes = _notes(refs)
        if not refs.preparing:
            found = (*recipes, *found)  # recipes first: none may name what is gone
        if not dry_run:
            found, failed = await self._delete_all(found, known, older_than_s)
            notes += failed
        collected = Collected(items=found, bytes=sum(item.bytes for item in found), dry_run=dry_run, notes=notes)
        get_logger().info(
            "garbage was listed" if dry_run else "garbage was collected", items=len(collected.items),
            bytes=collected.bytes, older_than_s=older_than_s, notes=list(notes),
        )  # fmt: skip
        return collected

    async def on_schedule(self, every_s: float, older_than_s: float) -> None:
        """Collect again and again, until cancelled; what goes wrong is said and tried at the next time."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await self.collect(dry_run=False, older_than_s=older_than_s)
            except RetainError as error:
                get_logger().warning("garbage was not collected", reason=error.reason, error=error.message)

    async def _known(self, older_than_s: float) -> _Known:
        """Everything that the database refers to, read in pieces."""
        repository, now_s = self._run_store.repository, self._run_store.clock.now_s()
        uploads = await self._run_store.read(repository.upload_references, asked_since_s=now_s - older_than_s)
        runs, last_run = await self._pages(repository.run_references)
        checkpoints, last_checkpoint = await self._pages(repository.checkpoint_references)
        return _Known(
            refs=uploads.merged(runs, checkpoints), at_s=now_s, last_run=last_run, last_checkpoint=last_checkpoint
        )

    async def _news(self, known: _Known) -> References:
        """What runs, checkpoints and uploads refer to that came since, and runs at work, which may use more by now."""
        repository = self._run_store.repository
        uploads = await self._run_store.read(repository.upload_references, asked_since_s=known.at_s)
        new, _ = await self._pages(repository.run_references, after=known.last_run)
        at_work, _ = await self._pages(repository.run_references, only_at_work=True)
        checkpoints, _ = await self._pages(repository.checkpoint_references, after=known.last_checkpoint)
        return uploads.merged(new, at_work, checkpoints)

    async def _pages(
        self, read: Callable[..., tuple[References, int | None]], *, after: int = 0, **options: Any
    ) -> tuple[References, int]:
        """All that a call of the repository gives page by page, and the number of the last row."""
        parts: list[References] = []
        last = after
        try:
            while True:
                part, number = await self._run_store.read(read, limit=CHUNK, after_number=last, **options)
                if number is None:
                    return References().merged(*parts), last
                parts.append(part)
                last = number
        except Corrupt as error:
            raise FailedPrecondition(
                f"what is garbage cannot be told: {error.message}; nobody knows what this record refers to, so nothing "
                "is taken",
                reason="RECORD_UNREADABLE",
                metadata=error.metadata,
            ) from error

    async def _check_ownership(self, known: _Known, *, claim: bool) -> None:
        mine = await self._run_store.read(self._run_store.repository.fact, "installation", secrets.token_hex(16))
        try:
            theirs = (await self._files(self._store.get_bytes, BELONGS_KEY)).decode(errors="replace").strip()
        except NotFound:
            theirs = ""
        if not theirs and not known.refs.runs and await self._files(self._holds_runs):
            raise FailedPrecondition(
                f"the bucket {self._store.bucket} holds runs and this database knows none: it may be new or restored; "
                f"an object {BELONGS_KEY!r} in the bucket with the text {mine!r} makes the bucket this database's",
                reason="ANOTHER_INSTALLATION",
            )
        if theirs and theirs != mine:
            raise FailedPrecondition(
                f"the bucket {self._store.bucket} belongs to the database {theirs!r}, this one is {mine!r}; the text "
                f"of its object {BELONGS_KEY!r} says whose it is",
                reason="ANOTHER_INSTALLATION",
            )
        if claim and not theirs:
            await self._files(self._store.put_bytes, BELONGS_KEY, mine.encode(), content_type="text/plain")

    def _holds_runs(self) -> bool:
        return next(iter(self._store.scan("runs/")), None) is not None

    async def _recipes(self, refs: References, older_than_s: float) -> tuple[tuple[Item, ...], References]:
        read = await self._files(self._read_recipes, limit_s=LISTING_LIMIT_S)
        return recipe_items(
            read,
            refs,
            store_uri=self._store_uri,
            now_s=self._run_store.clock.now_s(),
            older_than_s=older_than_s,
        )

    def _read_recipes(self) -> list[tuple[ObjectInfo, frozenset[str]]]:
        found = []
        for prefix in RECIPES:
            for info in self._store.scan(prefix):
                if info.size_bytes <= LARGEST_RECIPE_BYTES:
                    try:
                        text = self._store.get_bytes(info.key).decode(errors="replace")
                    except NotFound:
                        continue
                    digests = frozenset(name for name in names_in(text) if not name.startswith("s3://"))
                    found.append((info, digests))
        return found

    def _listed(self, refs: References, older_than_s: float) -> tuple[Item, ...]:
        return tuple(
            items(
                self._store.scan(),
                refs,
                store_uri=self._store_uri,
                now_s=self._run_store.clock.now_s(),
                older_than_s=older_than_s,
            )
        )

    async def _delete_all(
        self, found: Sequence[Item], known: _Known, older_than_s: float
    ) -> tuple[tuple[Item, ...], tuple[str, ...]]:
        """Delete item by item: what was deleted, and what could not be. One that fails stops none of the others."""
        deleted: list[Item] = []
        failed: list[str] = []
        kept: set[str] = set()  # digests of recipes that stayed after all: what they name stays, too
        for item in found:
            try:
                if item.kind.shared:
                    async with self._run_store.choosing:
                        done = await self._delete_shared(item, known, older_than_s, kept)
                else:
                    done = await self._delete(item, older_than_s)
            except Unavailable as error:
                get_logger().warning("garbage could not be deleted", uri=item.uri, error=error.message)
                failed.append(f"{item.uri} could not be deleted: {error.message}")
                if len(failed) >= FAILURES_ALLOWED:
                    raise
                if item.key.startswith(RECIPES):
                    kept |= await self._files(self._digests_of, item.key)
                continue
            if done:
                deleted.append(item)
                self._meter.freed(item.kind.value, item.bytes)
        return tuple(deleted), tuple(failed)

    async def _delete_shared(self, item: Item, known: _Known, older_than_s: float, kept: set[str]) -> bool:
        """Delete what a run may come to use, unless one has since. The caller holds the lock."""
        news = await self._news(known)
        if item.key.startswith(RECIPES):
            # Whoever uses what it names by now does not need it; whoever is choosing does.
            if not news.preparing and await self._delete(item, older_than_s):
                return True
            kept |= await self._files(self._digests_of, item.key)
            return False
        name = item.key.split("/")[1]
        if news.preparing or name in kept or name in news.named or item.uri in news.named:
            return False
        if not await self._delete(item, older_than_s):
            return False
        if item.kind is GarbageKind.UPLOAD:
            await self._run_store.read(self._run_store.repository.forget_uploads, name)
        return True

    def _digests_of(self, key: str) -> frozenset[str]:
        try:
            return names_in(self._store.get_bytes(key).decode(errors="replace"))
        except NotFound:
            return frozenset()

    async def _delete(self, item: Item, older_than_s: float) -> bool:
        """Delete one item; whether it was still as old as it was listed."""
        if item.kind in KEPT_BY_EVALUATOR and not item.key.startswith("evaluations/"):
            run = item.key.rpartition("/")[2].removesuffix(".json")
            await self._evaluator.delete_run_records(run)  # it keeps them in memory, too
            return True
        before_s = self._run_store.clock.now_s() - older_than_s
        return await self._files(self._delete_objects, item, before_s)

    def _delete_objects(self, item: Item, before_s: float) -> bool:
        """Ends by itself within a while, so that nothing is deleted after the lock was given back."""
        until_s = time.monotonic() + ITEM_S
        prefix = item.key if item.key.startswith(RECIPES) else f"{item.key}/"
        infos = list(self._store.list(prefix))
        if any(info.modified_s is None or info.modified_s > before_s for info in infos):
            return False
        for key in _markers_first(info.key for info in infos):
            if time.monotonic() >= until_s:
                raise Unavailable(f"not all of it went within {ITEM_S:g} s; the next collection continues")
            self._store.delete(key)
        return True


def _markers_first(keys: Iterable[str]) -> list[str]:
    """What is half deleted must not pass for whole: first what says that the rest is there."""
    return sorted(keys, key=lambda key: (key.rpartition("/")[2] not in MARKERS, key))


def _notes(refs: References) -> tuple[str, ...]:
    if not refs.preparing:
        return ()
    return (
        "prepared data, tokenizers, evaluation sets, imports and uploads are left alone while "
        f"{', '.join(refs.preparing)} is being prepared",
    )
