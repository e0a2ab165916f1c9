"""Benchmarks of a checkpoint: kept once, with the registered digests, seen by whoever sees the checkpoint."""

import math
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from retain.values import Benchmark, BenchmarkMetric, BenchmarkTask, CheckpointRef
from services.common.errors import FailedPrecondition, InvalidInput, NotFound
from services.common.identity.principal import Kind, Principal, Role, set_current_principal
from services.orchestrator.application.projects.scope import ScopedRunStore
from services.orchestrator.application.storage.benchmarks import BenchmarkService
from services.orchestrator.domain.run.state import CheckpointState
from tests.contract.test_repository import checkpoint
from tests.unit.services.orchestrator.offline import Offline

TASK = BenchmarkTask(
    task="arc", version="1.0", digest="e" * 64, samples=5, metrics=(BenchmarkMetric(metric="acc,none", figure=0.4),)
)
FOUND = Benchmark(harness="lm-evaluation-harness", versions={"lm_eval": "0.4.13"}, tasks=(TASK,))
ID = "imported/1"


@pytest.fixture
async def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Offline]:
    offline = Offline(tmp_path, monkeypatch, slots=2)
    base = replace(checkpoint("", 1), id=ID, project="default", status=CheckpointState.ACCEPTED)
    offline.repository.put_checkpoint(base)
    yield offline
    await offline.close()


def service(offline: Offline) -> BenchmarkService:
    return BenchmarkService(ScopedRunStore(offline.app.run_store), offline.store)


async def test_it_is_kept_once_with_what_is_registered_and_newest_first(offline: Offline) -> None:
    benchmarks = service(offline)
    first = await benchmarks.record(ID, FOUND)
    registered = offline.repository.find_checkpoint(ID)
    assert first.checkpoint == registered.ref
    assert first.create_time_s == offline.clock.now_s()
    offline.clock.at_s += 60.0
    assert await benchmarks.record(ID, replace(FOUND, id="mine", subject="somebody else")) == first
    other = await benchmarks.record(ID, replace(FOUND, settings={"limit": "5"}))
    assert await service(offline).all(ID) == [other, first]
    assert [key.split("/")[0] for key in offline.store.objects] == ["evaluations"] * 2


async def test_another_checkpoint_than_the_registered_one_is_refused(offline: Offline) -> None:
    for bad in (
        replace(FOUND, checkpoint=CheckpointRef(manifest_sha256="0" * 64)),
        replace(FOUND, harness=""),
        replace(FOUND, tasks=()),
        replace(FOUND, tasks=(replace(TASK, metrics=()),)),
    ):
        with pytest.raises(InvalidInput):
            await service(offline).record(ID, bad)
    with pytest.raises(NotFound):
        await service(offline).record("imported/none", FOUND)
    assert offline.store.objects == {}


async def test_one_that_was_changed_in_the_store_hides_no_other(offline: Offline) -> None:
    kept = await service(offline).record(ID, FOUND)
    other = await service(offline).record(ID, replace(FOUND, settings={"limit": "5"}))
    (key,) = [key for key in offline.store.objects if kept.id in key]
    offline.store.put_bytes(key, b"{")
    assert await service(offline).all(ID) == [other]


async def test_who_may_not_see_the_checkpoint_sees_no_benchmark(offline: Offline) -> None:
    await service(offline).record(ID, FOUND)
    stranger = Principal(subject="eve", kind=Kind.USER, roles=frozenset({Role.OPERATOR}), projects=frozenset({"other"}))
    set_current_principal(stranger)
    for call in (service(offline).all(ID), service(offline).record(ID, FOUND)):
        with pytest.raises((NotFound, FailedPrecondition)):
            await call


async def test_figures_that_are_no_numbers_do_not_come_through(offline: Offline) -> None:
    """The server's limits refuse NaN before a handler sees it; what is kept is JSON of numbers."""
    kept = await service(offline).record(ID, FOUND)
    assert math.isfinite(kept.tasks[0].metrics[0].figure)
    assert b"NaN" not in b"".join(offline.store.objects.values())
