"""A run that was deleted leaves nothing behind; a start costs what is at work, not what ever was."""

import pytest

from retain.values import EvaluationState
from services.common.errors import InvalidInput, NotFound, Unavailable
from tests.unit.services.evaluator.builders import request
from tests.unit.services.evaluator.harness import Harness, ended, until


def records_of(harness: Harness, run: str) -> list[str]:
    places = (f"history/{run}.json", f"evaluator/runs/{run}/", f"evaluator/shown/{run}")
    return [key for key in harness.store.objects if key.startswith(places)]


async def test_deleting_a_run_takes_evaluations_history_and_series_and_again_is_no_error(harness: Harness):
    async with harness.serving() as service:
        for run in ("gone", "stays"):
            await service.create(f"{run}-1", request(run=run))
            await ended(service, f"{run}-1")
        assert len(records_of(harness, "gone")) == 3
        for _ in range(2):
            await service.delete_run("gone")
        assert records_of(harness, "gone") == []
        assert "evaluator/evaluations/gone-1.json" not in harness.store.objects
        assert 'run="gone"' not in harness.metrics()
        assert 'run="stays"' in harness.metrics()
        assert len(records_of(harness, "stays")) == 3
        with pytest.raises(NotFound):
            await service.get("gone-1")
        assert await service.history("gone", None) == []
        assert [key.id for key in await service.keys(None)] == ["stays-1"]


async def test_what_waits_or_is_measured_is_dropped_and_keeps_nothing(harness: Harness):
    harness.measurer.gate.clear()
    async with harness.serving() as service:
        await service.create("gone-1", request(run="gone"))
        await service.create("gone-2", request("good", run="gone"))
        await service.create("stays-1", request(run="stays"))
        await until(lambda: service.loop.live.get("gone-1").state is EvaluationState.RUNNING)
        await service.delete_run("gone")
        harness.measurer.gate.set()
        assert (await ended(service, "stays-1")).state is EvaluationState.SUCCEEDED
        assert records_of(harness, "gone") == []
        assert not [key for key in harness.store.objects if "gone" in key]
        assert "retain_evaluations_pending 0.0" in harness.metrics()


async def test_who_watches_an_evaluation_of_a_deleted_run_is_told(harness: Harness):
    harness.measurer.gate.clear()
    async with harness.serving() as service:
        await service.create("gone-1", request(run="gone"))
        with pytest.raises(NotFound):
            async for _ in service.watch("gone-1"):
                await service.delete_run("gone")
        harness.measurer.gate.set()


async def test_a_deletion_that_is_cut_off_at_any_call_is_finished_by_the_next(harness: Harness):
    async with harness.serving() as service:
        cut_at = 0
        while True:
            await service.create("gone-1", request(run="gone"))
            await ended(service, "gone-1")
            harness.store.fail_after(cut_at)
            try:
                await service.delete_run("gone")
                break
            except Unavailable:
                harness.store.fail_after(None)
                await service.delete_run("gone")
                assert not [key for key in harness.store.objects if "gone" in key], f"cut at call {cut_at}"
                cut_at += 1
        harness.store.fail_after(None)
    assert cut_at >= 5  # a list, mark, evaluation, name, history, series


@pytest.mark.parametrize("name", ["", "../r1", "a/b", "-"])
async def test_only_names_of_runs_are_deleted(harness: Harness, name: str):
    async with harness.serving() as service:
        with pytest.raises(InvalidInput, match="run_id"):
            await service.delete_run(name)


async def test_a_start_asks_the_store_for_what_is_at_work_only(harness: Harness):
    async with harness.serving() as service:
        for number in range(30):
            await service.create(f"e{number}", request(run=f"r{number}"))
            await ended(service, f"e{number}")
    harness.service()
    states = {f"r{number}": True for number in range(30)} | {"r7": False}
    harness.retention(**states).restore()  # the others ended: their marks go
    harness.service()
    harness.store.calls.clear()
    harness.retention(**states).restore()
    assert 'run="r7"' in harness.metrics()
    assert [key for name, key in harness.store.calls if name == "get_bytes"] == ["history/r7.json"]
    assert len(harness.store.calls) == 3  # is the list of marks complete, the list, one history


async def test_an_installation_without_marks_gets_them_from_one_listing(harness: Harness):
    async with harness.serving() as service:
        await service.create("e1", request())
        await ended(service, "e1")
    for key in [key for key in harness.store.objects if key.startswith("evaluator/shown")]:
        del harness.store.objects[key]
    harness.service()
    harness.retention(r1=False).restore()
    assert 'run="r1"' in harness.metrics()
    assert "evaluator/shown/r1" in harness.store.objects
