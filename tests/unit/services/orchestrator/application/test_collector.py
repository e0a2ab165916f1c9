"""Garbage is collected while runs come and go: what anybody refers to, or comes to refer to in the middle, stays."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from retain.orchestrator.v1 import checkpoint_service_pb2 as pb
from retain.values import StageData
from services.common.errors import FailedPrecondition, InvalidInput, Unavailable
from services.common.identity.principal import current_principal, set_current_principal
from services.common.store.object_store import ObjectInfo
from services.orchestrator.application.checkpoint_service import CheckpointService
from services.orchestrator.application.collector import Collected
from services.orchestrator.application.projects.scope import ScopedRunStore
from services.orchestrator.domain.run.commands import RecordCheckpoint
from services.orchestrator.domain.run.state import PipelineRun
from services.orchestrator.domain.step import Step
from services.orchestrator.transport.checkpoint_servicer import CheckpointServicer
from tests.contract.test_repository import checkpoint
from tests.fakes.object_store import FakeObjectStore
from tests.scenarios.builders import prepared
from tests.unit.services.orchestrator.offline import Offline
from tests.unit.services.orchestrator.specs import PRETRAIN, spec

A, B, C = "a" * 64, "b" * 64, "c" * 64
DAYS_S = 3 * 86_400.0


@pytest.fixture
async def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Offline]:
    offline = Offline(tmp_path, monkeypatch)
    monkeypatch.setattr(offline.clock, "now_s", lambda: _store_time() + offline.clock.at_s)
    await offline.app.reconciler.start()
    yield offline
    await offline.close()


def _store_time() -> float:
    return datetime.now(UTC).timestamp()


def put(offline: Offline, *keys: str) -> None:
    for key in keys:
        offline.store.put_bytes(key, b"x" * 10)


def old(offline: Offline, *keys: str) -> None:
    """Objects of three days ago."""
    put(offline, *keys)
    offline.store.age(DAYS_S)


async def run_on(offline: Offline, uri: str = "sample://docs") -> PipelineRun:
    given = spec(stages=(replace(PRETRAIN, data=StageData(general=uri)),))
    return await offline.app.runs.create(given, "", digest="d")


async def collect(offline: Offline, *, dry_run: bool = False) -> Collected:
    return await offline.app.collector.collect(dry_run=dry_run)


def keys(collected: Collected) -> list[str]:
    return [item.key for item in collected.items]


def in_the_middle(offline: Offline, monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Something happens after the whole store was listed and before anything is deleted."""
    loop, real, caller = asyncio.get_running_loop(), offline.store.scan, current_principal()

    def scan(prefix: str = "") -> Iterator[ObjectInfo]:
        yield from real(prefix)
        if prefix == "":
            set_current_principal(caller)  # this is a thread of the store's
            result = happens()
            if asyncio.iscoroutine(result):
                asyncio.run_coroutine_threadsafe(result, loop).result(timeout=10)

    monkeypatch.setattr(offline.store, "scan", scan)


GARBAGE = [
    f"evaluations/{A}/{B}.json", f"evalsets/{A}/meta.json", f"imports/{A}/manifest.json", f"prepared/{A}/meta.json",
    "runs/gone/pretrain/attempt-1/step-000000010/manifest.json", f"tokenizers/{A}/tokenizer.json",
    f"uploads/{A}/data.jsonl",
]  # fmt: skip


async def test_a_dry_run_only_lists_and_the_next_one_deletes(offline: Offline) -> None:
    await run_on(offline)
    old(offline, *GARBAGE, "history/gone.json", "somebody/elses")
    put(offline, f"evalsets/{B}/meta.json")
    listed = await collect(offline, dry_run=True)
    assert len(listed.items) == len(GARBAGE) + 1
    assert listed.bytes == 10 * len(listed.items)
    assert len(offline.store.objects) == len(GARBAGE) + 3
    done = await collect(offline)
    assert done.items == listed.items
    assert set(offline.store.objects) == {
        "history/gone.json",
        "somebody/elses",
        f"evalsets/{B}/meta.json",
        "installation",
    }
    assert offline.evaluator.deleted == ["gone"], "what the evaluator keeps it deletes itself"
    assert 'retain_garbage_freed_bytes_total{kind="prepared"} 10.0' in offline.metrics()
    del offline.store.objects["history/gone.json"]
    assert (await collect(offline)).items == ()


async def test_what_runs_and_checkpoints_refer_to_stays(offline: Offline) -> None:
    state = await run_on(offline, f"s3://retain/uploads/{A}/data.jsonl")
    await offline.passed()
    state = await offline.app.run_store.get(state.id)
    data = prepared(state)
    folder = replace(data.tokenizer, digest=B, uri=f"s3://retain/tokenizers/{B}")
    stored = replace(state, sequence=state.sequence + 1, prepared=replace(data, tokenizer=folder, base=None))
    row = RecordCheckpoint(checkpoint=checkpoint(state.id, 10))
    offline.repository.save(Step(run=stored, records=(row,)), expected_sequence=state.sequence)
    step = checkpoint(state.id, 10).ref.uri.removeprefix("s3://retain/")
    kept = [
        f"uploads/{A}/data.jsonl", f"tokenizers/{B}/tokenizer.json", f"{step}/manifest.json",
        "evalsets/general-CONTROL/meta.json",
    ]  # fmt: skip
    old(offline, *kept, f"tokenizers/{C}/tokenizer.json", f"evaluations/{'d' * 64}/{A}.json")
    assert keys(await collect(offline)) == [f"evaluations/{'d' * 64}", f"tokenizers/{C}"]
    assert set(offline.store.objects) == {*kept, "installation"}


async def test_a_record_that_nobody_can_read_stops_the_collection_and_is_named(offline: Offline) -> None:
    state = await run_on(offline)
    old(offline, *GARBAGE)
    offline.spoil(state.id)
    for dry_run in (True, False):
        with pytest.raises(FailedPrecondition, match=f"cannot be told: run {state.id} is set aside") as caught:
            await collect(offline, dry_run=dry_run)
        assert caught.value.reason == "RECORD_UNREADABLE"
    assert set(offline.store.objects) == set(GARBAGE)


async def test_a_run_that_is_made_between_listing_and_deletion_keeps_what_it_names(
    offline: Offline, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run_on(offline)
    old(offline, *GARBAGE)
    in_the_middle(offline, monkeypatch, lambda: run_on(offline, f"s3://retain/uploads/{A}/data.jsonl"))
    done = await collect(offline)
    assert f"uploads/{A}" not in keys(done)
    assert f"uploads/{A}/data.jsonl" in offline.store.objects
    assert f"prepared/{A}" not in keys(done), "the run names the digest, whatever it means by it"


async def test_shared_data_stays_for_a_run_that_begins_to_choose_among_it(
    offline: Offline, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run_on(offline)
    old(offline, *GARBAGE)
    in_the_middle(offline, monkeypatch, offline.passed)  # its turn comes: its workers prepare from here on
    done = await collect(offline)
    assert {item.kind for item in done.items} == {"run", "evaluation"}
    listed = await collect(offline, dry_run=True)
    assert listed.items == ()
    assert "is being prepared" in listed.notes[0]


async def test_an_upload_that_is_asked_for_again_or_imported_in_the_middle_stays(
    offline: Offline, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run_on(offline)
    checkpoints = CheckpointService(ScopedRunStore(offline.app.run_store), offline.store, offline.app.projects)
    offline.store.put_bytes(f"uploads/{B}/data.jsonl", b"x" * 10)
    old(offline, f"uploads/{A}/data.jsonl")
    in_the_middle(
        offline, monkeypatch,
        lambda: checkpoints.create_upload(sha256=B, file_name="data.jsonl", size_bytes=10, folder=""),
    )  # fmt: skip
    assert keys(await collect(offline)) == [f"uploads/{A}"]
    assert f"uploads/{B}/data.jsonl" in offline.store.objects
    offline.store.age(DAYS_S)
    offline.clock.at_s += DAYS_S
    monkeypatch.setattr(offline.store, "scan", FakeObjectStore.scan.__get__(offline.store))
    assert offline.repository.uploads(B)
    assert keys(await collect(offline)) == [f"uploads/{B}"]
    assert offline.repository.uploads(B) == ()


async def test_what_is_written_anew_in_the_middle_stays(offline: Offline, monkeypatch: pytest.MonkeyPatch) -> None:
    await run_on(offline)
    old(offline, f"evalsets/{A}/meta.json", f"evalsets/{A}/tokens.bin")
    in_the_middle(offline, monkeypatch, lambda: put(offline, f"evalsets/{A}/meta.json"))
    assert keys(await collect(offline)) == []
    assert len(offline.store.objects) == 3


async def test_a_recipe_goes_before_what_it_names_and_a_recipe_that_stays_keeps_it(
    offline: Offline, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run_on(offline)
    recipe = f"prepared/recipes/{C}.json"
    offline.store.put_bytes(recipe, f'{{"digest": "{A}", "sets": {{"control": ["{B}", "x"]}}}}'.encode())
    old(offline, f"prepared/{A}/meta.json", f"prepared/{A}/data.bin", f"evalsets/{B}/meta.json")
    real = offline.store.delete

    def fails(key: str) -> None:
        if key == recipe:
            raise Unavailable("the store fails on this one")
        real(key)

    monkeypatch.setattr(offline.store, "delete", fails)
    done = await collect(offline)
    assert keys(done) == []
    assert any(recipe in note for note in done.notes)
    monkeypatch.setattr(offline.store, "delete", real)
    offline.store.calls.clear()
    await collect(offline)
    deleted = [key for call, key in offline.store.calls if call == "delete"]
    assert deleted[0] == recipe
    assert deleted.index(f"prepared/{A}/meta.json") < deleted.index(f"prepared/{A}/data.bin"), "the marker goes first"
    assert set(offline.store.objects) == {"installation"}


async def test_a_deletion_that_fails_half_way_is_finished_by_the_next(
    offline: Offline, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run_on(offline)
    old(
        offline,
        *(f"prepared/{A}/shard-{n}.bin" for n in range(5)),
        f"prepared/{A}/meta.json",
        f"evalsets/{B}/meta.json",
    )
    real, count = offline.store.delete, 0

    def failing(key: str) -> None:
        nonlocal count
        count += key.startswith("prepared/")
        if count > 2 and key.startswith("prepared/"):
            raise Unavailable("the store went away")
        real(key)

    monkeypatch.setattr(offline.store, "delete", failing)
    done = await collect(offline)
    assert keys(done) == [f"evalsets/{B}"], "the others are collected all the same"
    assert "went away" in done.notes[0]
    assert f"prepared/{A}/meta.json" not in offline.store.objects, "what is left does not pass for whole"
    monkeypatch.setattr(offline.store, "delete", real)
    assert keys(await collect(offline)) == [f"prepared/{A}"]
    assert set(offline.store.objects) == {"installation"}


async def test_one_collection_at_a_time_and_none_ends_with_its_caller(
    offline: Offline, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run_on(offline)
    old(offline, *GARBAGE)
    here, release = asyncio.Event(), asyncio.Event()

    async def waits() -> None:
        here.set()
        await release.wait()

    in_the_middle(offline, monkeypatch, waits)
    first = asyncio.create_task(collect(offline))
    await here.wait()
    with pytest.raises(FailedPrecondition) as caught:
        await collect(offline, dry_run=True)
    assert caught.value.reason == "COLLECTION_UNDER_WAY"
    first.cancel()
    await asyncio.wait({first})
    release.set()
    task = offline.app.collector._task
    assert task is not None
    assert len((await task).items) == len(GARBAGE)
    assert set(offline.store.objects) == {"installation"}


async def test_another_database_takes_nothing_and_neither_does_one_that_knows_no_run(offline: Offline) -> None:
    old(offline, *GARBAGE)
    with pytest.raises(FailedPrecondition, match="holds runs and this database knows none"):
        await collect(offline)
    await run_on(offline)
    offline.store.put_bytes("installation", b"another\n")
    with pytest.raises(FailedPrecondition, match="belongs to the database 'another'") as caught:
        await collect(offline)
    assert caught.value.reason == "ANOTHER_INSTALLATION"
    assert set(offline.store.objects) == {*GARBAGE, "installation"}


async def test_it_is_collected_on_a_schedule_through_failures(
    offline: Offline, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run_on(offline)
    old(offline, *GARBAGE)
    offline.store.fail_next(1)
    schedule = asyncio.create_task(offline.app.collector.on_schedule(0.02, 86_400.0))
    for _ in range(200):
        await asyncio.sleep(0.02)
        if set(offline.store.objects) == {"installation"}:
            break
    schedule.cancel()
    await asyncio.wait({schedule})
    assert set(offline.store.objects) == {"installation"}


async def test_the_call_says_what_why_and_how_much(offline: Offline) -> None:
    await run_on(offline)
    old(offline, f"evalsets/{A}/meta.json", f"evalsets/{A}/tokens.bin")
    servicer = CheckpointServicer(None, offline.app.collector, offline.app.projects, None)  # type: ignore[arg-type]  # no checkpoint service
    reply = await servicer.CollectGarbage(pb.CollectGarbageRequest(dry_run=True), None)
    (item,) = reply.items
    assert (item.uri, item.kind, item.objects, item.bytes) == (f"s3://retain/evalsets/{A}", "evaluation_set", 2, 20)
    assert (reply.bytes, reply.dry_run, reply.total_items) == (20, True, 1)
    assert item.reason
    assert abs(item.update_time.ToSeconds() + DAYS_S - _store_time()) < 60
    with pytest.raises(InvalidInput):
        await servicer.CollectGarbage(pb.CollectGarbageRequest(older_than_seconds=-1), None)
    shown = await servicer.CollectGarbage(pb.CollectGarbageRequest(dry_run=True, older_than_seconds=10 * 86_400), None)
    assert len(shown.items) == 0
    assert f"evalsets/{A}/meta.json" in offline.store.objects
