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
from services.orchestrator.domain.run.state import CheckpointStatus, PipelineRun
from services.orchestrator.domain.step import Step
from services.orchestrator.transport.orchestrator_servicer import OrchestratorServicer
from tests.contract.test_repository import checkpoint
from tests.unit.services.orchestrator.offline import Offline
from tests.unit.services.orchestrator.specs import spec


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Offline]:
    offline = Offline(tmp_path, monkeypatch, slots=2)
    await offline.app.reconciler.start()
    yield offline
    await offline.close()


async def three(world: Offline) -> list[PipelineRun]:
    return [await world.app.runs.create(spec(), "", digest="d") for _ in range(3)]


async def ended(world: Offline, state: PipelineRun) -> PipelineRun:
    """The run cancelled, and its workers gone."""
    await world.app.runs.cancel(state.id, "")
    for _ in range(3):
        await world.passed()
    return await world.app.engine.get(state.id)


def servicer(world: Offline) -> OrchestratorServicer:
    return OrchestratorServicer(world.app.runs, None, None)  # type: ignore[arg-type]  # neither is asked here


async def listed(world: Offline) -> dict[str, res.PipelineRun]:
    reply = await servicer(world).ListPipelineRuns(pb.ListPipelineRunsRequest(), None)
    return {run.id: run for run in reply.runs}


async def test_a_server_starts_lists_and_works_on_beside_a_run_that_it_cannot_read(world: Offline) -> None:
    bad, good, last = await three(world)
    await world.passed()
    world.spoil(bad.id)
    await world.app.reconciler.start()
    await world.passed()
    await world.passed()
    assert f"retain-{last.id}-1" in world.jobs.submitted, "the set-aside run holds nobody up"
    runs = await listed(world)
    assert set(runs) == {bad.id, good.id, last.id}
    assert runs[good.id].status.state == res.RUN_STATE_RUNNING
    assert (runs[bad.id].status.state, runs[bad.id].status.reason) == (res.RUN_STATE_RUNNING, "BAD_BODY")
    assert "cannot be read" in runs[bad.id].status.message
    got = await servicer(world).GetPipelineRun(pb.GetPipelineRunRequest(run_id=bad.id), None)
    assert got.run == runs[bad.id]
    assert 'retain_unreadable_records{kind="run"} 1.0' in world.metrics()
    with pytest.raises(Corrupt, match=f"{bad.id} is set aside"):
        await world.app.runs.cancel(bad.id, "")
    with pytest.raises(InvalidTransition):
        await world.app.runs.delete(bad.id, "")


async def test_hangs_are_found_beside_a_run_that_cannot_be_read(world: Offline) -> None:
    bad, good, _ = await three(world)
    await world.passed()
    world.spoil(bad.id)
    await world.app.stages.begin_attempt(good.id, 1, "a")
    world.clock.at_s += 46.0
    await world.passed()
    assert (await world.app.engine.get(good.id)).submission == 2


async def test_a_run_of_a_newer_program_is_told_and_is_whole_again_with_it(world: Offline) -> None:
    run, *_ = await three(world)
    with world.database.begin() as connection:
        body = connection.exec_driver_sql("SELECT body FROM runs WHERE id = ?", (run.id,)).scalar_one()
    newer = CURRENT + 1
    world.spoil(run.id, body.replace(f'"version":{CURRENT}', f'"version":{newer}'))
    shown = (await listed(world))[run.id]
    assert shown.status.reason == "WRITTEN_BY_A_NEWER_VERSION"
    assert f"version {newer}" in shown.status.message
    world.spoil(run.id, body)
    assert (await listed(world))[run.id].spec.name == "code-model"


async def test_a_run_with_numbers_that_no_message_takes_hides_no_other(world: Offline) -> None:
    """As it was stored before numbers had bounds: more tokens than fit into 64 bits."""
    bad, good, last = await three(world)
    state = await world.app.engine.get(bad.id)
    stage = replace(state.stages[0], plan=replace(state.stages[0].plan, tokens=2**70))
    world.repository.save(Step(run=replace(state.with_stage(stage), sequence=state.sequence + 1)), expected_sequence=1)
    runs = await listed(world)
    assert set(runs) == {bad.id, good.id, last.id}
    assert runs[bad.id].status.reason == "CANNOT_BE_SHOWN"
    assert runs[good.id].spec.name == "code-model"


async def test_an_ended_run_that_cannot_be_read_can_be_deleted(world: Offline) -> None:
    bad, *_ = await three(world)
    await ended(world, bad)
    world.spoil(bad.id)
    await world.app.runs.delete(bad.id, "")
    assert bad.id not in await listed(world)


async def test_what_a_deleted_run_left_is_thrown_away_past_what_cannot_be_now(
    world: Offline, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, _ = await three(world)
    real = world.store.list

    def failing(prefix: str):
        if first.id in prefix:
            raise Unavailable("the object store fails on this prefix")
        return real(prefix)

    monkeypatch.setattr(world.store, "list", failing)
    for run in (first, second):
        world.store.put_bytes(f"runs/{run.id}/pretrain/attempt-1/step-000000001/manifest.json", b"{}")
        await ended(world, run)
        await world.app.runs.delete(run.id, "")
    for _ in range(3):
        await world.passed()
    assert world.repository.garbage() == (f"s3://retain/runs/{first.id}",)
    assert sorted(world.evaluator.deleted) == sorted([first.id, second.id])
    assert [key for key in world.store.objects if second.id in key] == []
    monkeypatch.setattr(world.store, "list", real)
    await world.passed()
    assert world.repository.garbage() != (), "it waits before it tries again"
    world.clock.at_s += 301.0
    await world.passed()
    assert world.repository.garbage() == ()
    assert world.store.objects == {}


async def test_a_parent_is_not_deleted_under_a_cancelled_child(world: Offline) -> None:
    parent, *_ = await three(world)
    base = replace(checkpoint(parent.id, 1), status=CheckpointStatus.ACCEPTED)
    world.repository.put_checkpoint(base)
    code = replace(spec().stages[1], data=replace(spec().stages[1].data, general="sample://docs"))
    given = spec(stages=(code,), tokenizer=replace(spec().tokenizer, train=None))
    given = replace(given, model=replace(given.model, preset=None, checkpoint=base.ref.uri, context=64))
    child = await world.app.runs.create(given, "", digest="d")
    for run in (parent, child):
        await ended(world, run)
    with pytest.raises(FailedPrecondition, match="may still go on or be retried"):
        await world.app.runs.delete(parent.id, "")
    await world.app.runs.delete(child.id, "")
    await world.app.runs.delete(parent.id, "")
    with pytest.raises(FailedPrecondition):
        await world.app.runs.create(given, "", digest="d")


async def test_a_checkpoint_that_a_run_builds_on_is_not_voided_and_an_imported_one_that_is_void_is_no_base(
    world: Offline,
) -> None:
    library = CheckpointService(world.app.engine, world.store)
    base = replace(checkpoint("", 1), id="imported/1", status=CheckpointStatus.ACCEPTED)
    world.repository.put_checkpoint(base)
    code = replace(spec().stages[1], data=replace(spec().stages[1].data, general="sample://docs"))
    given = spec(stages=(code,), tokenizer=replace(spec().tokenizer, train=None))
    given = replace(given, model=replace(given.model, preset=None, checkpoint=base.ref.uri, context=64))
    child = await world.app.runs.create(given, "", digest="d")
    with pytest.raises(FailedPrecondition, match=f"run {child.id} builds on"):
        await library.void(base.id, "")
    await ended(world, child)
    await world.app.runs.delete(child.id, "")
    for _ in range(2):
        assert (await library.void(base.id, "bad")).status is CheckpointStatus.DAMAGED
    with pytest.raises(FailedPrecondition):
        await world.app.runs.create(given, "", digest="d")
