"""After a commit whose reply was lost the queue and the gauges are as if it had come; after an outage nobody hangs."""

import gc
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.common.errors import NotFound, Unavailable
from services.orchestrator.domain.run.events import ProgressReported
from services.orchestrator.domain.run.state import Attempt, PipelineRun, RunState, StagePhase, StageState
from services.orchestrator.domain.step import Step
from tests.unit.services.orchestrator.offline import Offline
from tests.unit.services.orchestrator.specs import spec


@pytest.fixture
async def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Offline]:
    offline = Offline(tmp_path, monkeypatch)
    await offline.app.reconciler.start()
    yield offline
    await offline.close()


async def created(offline: Offline) -> PipelineRun:
    return await offline.app.runs.create(spec(), "", digest="d")


async def training(offline: Offline) -> PipelineRun:
    """A run whose first stage is said to train."""
    state = await created(offline)
    await offline.passed()
    state = await offline.app.run_store.get(state.id)
    before, stage = state, replace(state.stages[0], status=StageState.RUNNING, attempt=Attempt(number=1))
    state = replace(state.with_stage(stage), sequence=state.sequence + 1, phase=StagePhase.TRAINING)
    offline.repository.save(Step(run=state), expected_sequence=before.sequence)
    await offline.passed()
    assert f'retain_stage_running{{kind="PRETRAIN",run="{state.id}",stage="pretrain"}} 1.0' in offline.metrics()
    return state


async def test_a_cancel_whose_reply_was_lost_frees_the_slots_and_ends_the_gauges(offline: Offline) -> None:
    first, second = await training(offline), await created(offline)
    offline.saves.count = 1
    assert (await offline.app.runs.cancel(first.id, "")).status is RunState.CANCELLED
    assert "retain_stage_running{" not in offline.metrics()
    assert 'retain_pipeline_runs{state="CANCELLED"} 1.0' in offline.metrics()
    await offline.passed()  # stops the job
    assert offline.jobs.running == set()
    await offline.passed()
    assert (await offline.app.run_store.get(second.id)).status is RunState.RUNNING


async def test_a_commit_that_nobody_heard_of_is_found_in_the_next_pass(offline: Offline) -> None:
    """The commit is made, its reply is lost, and the database does not answer again until all tries are used up."""
    first, second = await training(offline), await created(offline)
    offline.saves.count, real = 1, offline.repository.save

    def then_away(*args: object, **kwargs: object) -> None:
        try:
            real(*args, **kwargs)
        finally:
            offline.gets.away = True

    offline.repository.save = then_away
    with pytest.raises(Unavailable):
        await offline.app.runs.cancel(first.id, "")
    offline.repository.save, offline.gets.away = real, False
    assert "retain_stage_running{" in offline.metrics(), "nobody was told"
    for _ in range(3):
        await offline.passed()
    assert "retain_stage_running{" not in offline.metrics()
    assert 'retain_pipeline_runs{state="CANCELLED"} 1.0' in offline.metrics()
    assert 'retain_pipeline_runs{state="RUNNING"} 1.0' in offline.metrics()
    assert (await offline.app.run_store.get(second.id)).status is RunState.RUNNING


async def test_a_run_whose_creation_nobody_heard_of_gets_its_turn(offline: Offline) -> None:
    offline.creates.count = 6
    with pytest.raises(Unavailable):
        await offline.app.runs.create(spec(), "one", digest="d")
    await offline.passed()
    await offline.passed()
    assert len(offline.jobs.submitted) == 1
    again = await offline.app.runs.create(spec(), "one", digest="d")
    assert again.status is RunState.RUNNING


async def test_a_run_that_is_gone_or_waits_no_more_keeps_nobody_waiting(offline: Offline) -> None:
    gone, state = await created(offline), await created(offline)
    offline.repository.delete(gone.id, expected_sequence=1, base_prefix="s3://retain/runs/none/", garbage_uris=[])
    await offline.passed()
    assert (await offline.app.run_store.get(state.id)).status is RunState.RUNNING


async def test_after_an_outage_every_group_gets_a_fresh_clock(offline: Offline) -> None:
    state = await training(offline)
    report = ProgressReported(
        now_s=0.0, submission=1, attempt=1, stage_index=0, phase=StagePhase.TRAINING, step=1, tokens=100
    )
    await offline.app.stages.report_progress(state.id, report, 1)
    offline.overviews.away = True
    offline.clock.at_s += 400.0  # far longer than the 45 s after which a silent group counts as hung
    with pytest.raises(Unavailable):
        await offline.passed()
    offline.app.reconciler.failed(Unavailable("away"))
    offline.overviews.away = False
    await offline.passed()
    assert (await offline.app.run_store.get(state.id)).submission == 1
    offline.clock.at_s += 46.0
    await offline.passed()
    assert (await offline.app.run_store.get(state.id)).submission == 2, "a group that stays silent is still found"


async def test_calls_are_noted_also_when_they_could_not_be_written(offline: Offline) -> None:
    state = await training(offline)
    report = ProgressReported(
        now_s=0.0, submission=1, attempt=1, stage_index=0, phase=StagePhase.TRAINING, step=1, tokens=100
    )
    await offline.app.stages.report_progress(state.id, report, 1)
    offline.clock.at_s += 40.0
    offline.gets.away = True
    with pytest.raises(Unavailable):
        await offline.app.stages.report_progress(state.id, replace(report, step=2), 2)
    with pytest.raises(Unavailable):
        await offline.app.stages.report_progress("nobody", report, 1)
    offline.gets.away = False
    offline.clock.at_s += 40.0
    await offline.passed()
    assert (await offline.app.run_store.get(state.id)).submission == 1
    assert set(offline.app.watchdog._groups) == {state.id}


async def test_preparing_that_stands_still_is_a_hang(offline: Offline) -> None:
    state = await created(offline)
    await offline.passed()
    await offline.app.stages.begin_attempt(state.id, 1, "a")
    for beat, hung in ((1, False), (2, False), (2, True)):
        offline.clock.at_s += 30.0
        report = ProgressReported(now_s=0.0, submission=1, attempt=1, stage_index=-1, phase=StagePhase.PREPARING)
        await offline.app.stages.report_progress(state.id, report, beat)
        offline.clock.at_s += 20.0
        await offline.passed()
        replaced = (await offline.app.run_store.get(state.id)).submission == 2
        assert replaced is hung, f"heartbeat {beat}"


async def test_a_run_whose_look_fails_stops_no_other(offline: Offline, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await training(offline)
    reconciler = offline.app.reconciler
    real = reconciler._carry_out

    def broken(state: PipelineRun) -> None:
        if state.id == first.id:
            raise KeyError("unhandled exception")
        real(state)

    monkeypatch.setattr(reconciler, "_carry_out", broken)
    offline.app.queue.slots = 2
    second = await created(offline)
    await offline.passed()
    await offline.passed()
    assert f"retain-{second.id}-1" in offline.jobs.submitted


async def test_nothing_is_kept_of_runs_that_do_not_exist(offline: Offline) -> None:
    for number in range(50):
        with pytest.raises(NotFound):
            await offline.app.runs.cancel(f"nobody-{number}", "")
        with pytest.raises(NotFound):
            await offline.app.run_store.wait_for_change(f"nobody-{number}", 0, 0.01)
    gc.collect()
    assert len(offline.app.run_store._locks) == len(offline.app.run_store._waiters) == 0
