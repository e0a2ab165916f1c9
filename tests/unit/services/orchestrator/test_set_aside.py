"""One stored run that cannot be read, or shown, stops and hides nobody else; what a deleted run left is thrown away."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from retain.orchestrator.v1 import orchestrator_service_pb2 as pb
from retain.orchestrator.v1 import resources_pb2 as res
from services.common.errors import Corrupt, FailedPrecondition, InvalidTransition, Unavailable
from services.orchestrator.adapters.upcast import CURRENT
from services.orchestrator.application.checkpoint_service import CheckpointService
from services.orchestrator.application.projects.scope import ScopedRunStore
from services.orchestrator.domain.run.state import CheckpointState, PipelineRun
from services.orchestrator.domain.step import Step
from services.orchestrator.transport.orchestrator_servicer import OrchestratorServicer
from tests.contract.test_repository import checkpoint
from tests.unit.services.orchestrator.offline import Offline
from tests.unit.services.orchestrator.specs import spec


@pytest.fixture
async def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Offline]:
    offline = Offline(tmp_path, monkeypatch, slots=2)
    await offline.app.reconciler.start()
    yield offline
    await offline.close()


async def three(offline: Offline) -> list[PipelineRun]:
    return [await offline.app.runs.create(spec(), "", digest="d") for _ in range(3)]


async def ended(offline: Offline, state: PipelineRun) -> PipelineRun:
    """The run cancelled, and its workers gone."""
    await offline.app.runs.cancel(state.id, "")
    for _ in range(3):
        await offline.passed()
    return await offline.app.run_store.get(state.id)


def servicer(offline: Offline) -> OrchestratorServicer:
    return OrchestratorServicer(offline.app.runs, *[None] * 4)  # type: ignore[arg-type]  # nobody asks the others


async def listed(offline: Offline) -> dict[str, res.PipelineRun]:
    reply = await servicer(offline).ListPipelineRuns(pb.ListPipelineRunsRequest(), None)
    return {run.id: run for run in reply.runs}


async def test_a_server_starts_lists_and_works_on_beside_a_run_that_it_cannot_read(offline: Offline) -> None:
    bad, good, last = await three(offline)
    await offline.passed()
    offline.spoil(bad.id)
    await offline.app.reconciler.start()
    await offline.passed()
    await offline.passed()
    assert f"retain-{last.id}-1" in offline.jobs.submitted, "the set-aside run holds nobody up"
    runs = await listed(offline)
    assert set(runs) == {bad.id, good.id, last.id}
    assert runs[good.id].status.state == res.RUN_STATE_RUNNING
    assert (runs[bad.id].status.state, runs[bad.id].status.reason) == (res.RUN_STATE_RUNNING, "BAD_BODY")
    assert "cannot be read" in runs[bad.id].status.message
    got = await servicer(offline).GetPipelineRun(pb.GetPipelineRunRequest(run_id=bad.id), None)
    assert got.run == runs[bad.id]
    assert 'retain_unreadable_records{kind="run"} 1.0' in offline.metrics()
    with pytest.raises(Corrupt, match=f"{bad.id} is set aside"):
        await offline.app.runs.cancel(bad.id, "")
    with pytest.raises(InvalidTransition):
        await offline.app.runs.delete(bad.id, "")


async def test_hangs_are_found_beside_a_run_that_cannot_be_read(offline: Offline) -> None:
    bad, good, _ = await three(offline)
    await offline.passed()
    offline.spoil(bad.id)
    await offline.app.stages.begin_attempt(good.id, 1, "a")
    offline.clock.at_s += 46.0
    await offline.passed()
    assert (await offline.app.run_store.get(good.id)).submission == 2


async def test_a_run_of_a_newer_program_is_told_and_is_whole_again_with_it(offline: Offline) -> None:
    run, *_ = await three(offline)
    with offline.database.begin() as connection:
        body = connection.exec_driver_sql("SELECT body FROM runs WHERE id = ?", (run.id,)).scalar_one()
    newer = CURRENT + 1
    offline.spoil(run.id, body.replace(f'"version":{CURRENT}', f'"version":{newer}'))
    shown = (await listed(offline))[run.id]
    assert shown.status.reason == "WRITTEN_BY_A_NEWER_VERSION"
    assert f"version {newer}" in shown.status.message
    offline.spoil(run.id, body)
    assert (await listed(offline))[run.id].spec.name == "code-model"


async def test_a_run_with_numbers_that_no_message_takes_hides_no_other(offline: Offline) -> None:
    """As it was stored before numbers had bounds: more tokens than fit into 64 bits."""
    bad, good, last = await three(offline)
    state = await offline.app.run_store.get(bad.id)
    stage = replace(state.stages[0], plan=replace(state.stages[0].plan, tokens=2**70))
    offline.repository.save(
        Step(run=replace(state.with_stage(stage), sequence=state.sequence + 1)), expected_sequence=1
    )
    runs = await listed(offline)
    assert set(runs) == {bad.id, good.id, last.id}
    assert runs[bad.id].status.reason == "CANNOT_BE_SHOWN"
    assert runs[good.id].spec.name == "code-model"


async def test_an_ended_run_that_cannot_be_read_can_be_deleted(offline: Offline) -> None:
    bad, *_ = await three(offline)
    await ended(offline, bad)
    offline.spoil(bad.id)
    await offline.app.runs.delete(bad.id, "")
    assert bad.id not in await listed(offline)


async def test_what_a_deleted_run_left_is_thrown_away_past_what_cannot_be_now(
    offline: Offline, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, _ = await three(offline)
    real = offline.store.list

    def failing(prefix: str):
        if first.id in prefix:
            raise Unavailable("the object store fails on this prefix")
        return real(prefix)

    monkeypatch.setattr(offline.store, "list", failing)
    for run in (first, second):
        offline.store.put_bytes(f"runs/{run.id}/pretrain/attempt-1/step-000000001/manifest.json", b"{}")
        await ended(offline, run)
        await offline.app.runs.delete(run.id, "")
    for _ in range(3):
        await offline.passed()
    assert offline.repository.garbage() == (f"s3://retain/runs/{first.id}",)
    assert sorted(offline.evaluator.deleted) == sorted([first.id, second.id])
    assert [key for key in offline.store.objects if second.id in key] == []
    monkeypatch.setattr(offline.store, "list", real)
    await offline.passed()
    assert offline.repository.garbage() != (), "it waits before it tries again"
    offline.clock.at_s += 301.0
    await offline.passed()
    assert offline.repository.garbage() == ()
    assert offline.store.objects == {}


async def test_a_parent_is_not_deleted_under_a_cancelled_child(offline: Offline) -> None:
    parent, *_ = await three(offline)
    base = replace(checkpoint(parent.id, 1), status=CheckpointState.ACCEPTED)
    offline.repository.put_checkpoint(base)
    code = replace(spec().stages[1], data=replace(spec().stages[1].data, general="sample://docs"))
    given = spec(stages=(code,), tokenizer=replace(spec().tokenizer, train=None))
    given = replace(given, model=replace(given.model, preset=None, checkpoint=base.ref.uri, context=64))
    child = await offline.app.runs.create(given, "", digest="d")
    for run in (parent, child):
        await ended(offline, run)
    with pytest.raises(FailedPrecondition, match="may still continue or be retried"):
        await offline.app.runs.delete(parent.id, "")
    await offline.app.runs.delete(child.id, "")
    await offline.app.runs.delete(parent.id, "")
    with pytest.raises(FailedPrecondition):
        await offline.app.runs.create(given, "", digest="d")


async def test_a_checkpoint_that_a_run_builds_on_is_not_voided_and_an_imported_one_that_is_void_is_no_base(
    offline: Offline,
) -> None:
    checkpoints = CheckpointService(ScopedRunStore(offline.app.run_store), offline.store, offline.app.projects)
    base = replace(checkpoint("", 1), id="imported/1", status=CheckpointState.ACCEPTED)
    offline.repository.put_checkpoint(base)
    code = replace(spec().stages[1], data=replace(spec().stages[1].data, general="sample://docs"))
    given = spec(stages=(code,), tokenizer=replace(spec().tokenizer, train=None))
    given = replace(given, model=replace(given.model, preset=None, checkpoint=base.ref.uri, context=64))
    child = await offline.app.runs.create(given, "", digest="d")
    with pytest.raises(FailedPrecondition, match=f"run {child.id} builds on"):
        await checkpoints.void(base.id, "")
    await ended(offline, child)
    await offline.app.runs.delete(child.id, "")
    for _ in range(2):
        assert (await checkpoints.void(base.id, "bad")).status is CheckpointState.DAMAGED
    with pytest.raises(FailedPrecondition):
        await offline.app.runs.create(given, "", digest="d")
