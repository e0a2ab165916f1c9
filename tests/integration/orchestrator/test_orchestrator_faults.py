"""The orchestrator does not lose work: lost replies at every port, crashes, hangs, restarts."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest

from retain.orchestrator.v1 import resources_pb2 as res
from retain.orchestrator.v1 import stage_control_service_pb2 as sc
from retain.orchestrator.v1 import stage_control_service_pb2_grpc as sc_grpc
from services.common.errors import FailedPrecondition, Refused, Unavailable
from services.common.identity.tokens import new_token
from services.orchestrator.application.reconciler import Timing
from tests.fakes.evaluator import FakeEvaluator
from tests.fakes.platform import Platform, demo_spec
from tests.fakes.simulated_training import SimulatedTraining
from tests.identity import aio_channel, bearer
from tests.integration.orchestrator.harness import Client, orchestrator, without_forgetting


async def test_jobs_and_evaluations_whose_reply_was_lost_are_done_once(tmp_path: Path) -> None:
    async with orchestrator(tmp_path) as client:
        client.platform.launcher.lose_reply_of_next(2)
        client.platform.evaluator.lose_reply_of_next(3)
        run_id = (await client.create(without_forgetting())).id
        ended = await client.end(run_id)
        assert ended.status.state == res.RUN_STATE_SUCCEEDED
        assert client.platform.launcher.submissions == [f"retain-{run_id}-1"]
        created = client.platform.evaluator.created
        assert len(created) == len(set(created)) == 10 + 10 + 4


async def test_commits_whose_reply_was_lost_are_done_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fifth commit takes effect and then fails, from the first to the last of a run."""
    async with orchestrator(tmp_path) as client:
        repository, count = client.platform.repository, 0

        def losing(real: Any) -> Any:
            def call(*args: Any, **kwargs: Any) -> Any:
                nonlocal count
                result = real(*args, **kwargs)
                count += 1
                if count % 5 == 0:
                    raise Unavailable("the reply was lost")
                return result

            return call

        monkeypatch.setattr(repository, "save", losing(repository.save))
        monkeypatch.setattr(repository, "create", losing(repository.create))
        runs = [await client.create(without_forgetting(), request_id=f"r{n}") for n in range(2)]
        for run in runs:
            ended = await client.end(run.id, within_s=90)
            assert ended.status.state == res.RUN_STATE_SUCCEEDED
            decisions = await client.decisions(run.id)
            assert [d.number for d in decisions] == list(range(1, 25))
        assert len(client.platform.launcher.submissions) == 2


async def test_every_worker_call_may_come_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a lost reply: each call is made twice, and the run is the same as that of single calls."""
    from tests.fakes.worker import FakeWorker

    real = FakeWorker.call

    def twice(self: FakeWorker, method: Any, request: Any, tries: int = 400) -> Any:
        real(self, method, request, tries)
        return real(self, method, request, tries)

    monkeypatch.setattr(FakeWorker, "call", twice)
    async with orchestrator(tmp_path) as client:
        run_id = (await client.create(without_forgetting())).id
        ended = await client.end(run_id)
        assert ended.status.state == res.RUN_STATE_SUCCEEDED
        assert [stage.attempt for stage in ended.status.stages] == [1, 1, 1]
        assert len(await client.decisions(run_id)) == 24


async def test_an_orchestrator_that_is_killed_picks_its_runs_up_without_a_second_job(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'retain.db'}"
    first = Platform(database, simulated=SimulatedTraining(steps_per_s=120.0))
    port = await first.start()
    async with aio_channel(f"127.0.0.1:{port}") as channel:
        client = Client(first, channel)
        run_id = (await client.create(without_forgetting())).id
        await client.until(run_id, lambda run: run.status.stages[0].step >= 30)
    await first.stop(workers=False)
    await asyncio.sleep(0.5)
    second = Platform(
        database, simulated=first.simulated, store=first.store, evaluator=first.evaluator, launcher=first.launcher,
        bind=f"127.0.0.1:{port}",
    )  # fmt: skip
    await second.start()
    try:
        async with aio_channel(f"127.0.0.1:{port}") as channel:
            ended = await Client(second, channel).end(run_id)
            assert ended.status.state == res.RUN_STATE_SUCCEEDED
            assert first.launcher.submissions == [f"retain-{run_id}-1"]
            assert [stage.attempt for stage in ended.status.stages] == [1, 1, 1]
            assert 'retain_pipeline_runs{state="SUCCEEDED"} 1.0' in _metrics(second)
    finally:
        await second.stop()


def _metrics(platform: Platform) -> str:
    from prometheus_client import generate_latest

    return generate_latest(platform.orchestrator.registry).decode()


async def test_a_killed_group_is_replaced_and_continues_at_its_last_checkpoint(tmp_path: Path) -> None:
    async with orchestrator(tmp_path, simulated=SimulatedTraining(steps_per_s=150.0)) as client:
        run_id = (await client.create(without_forgetting())).id
        await client.until(run_id, lambda run: run.status.stages[0].latest.step >= 30)
        client.platform.launcher.workers[f"retain-{run_id}-1"].killed.set()
        ended = await client.end(run_id)
        assert ended.status.state == res.RUN_STATE_SUCCEEDED
        assert ended.status.submission == 2
        second = client.platform.launcher.workers[f"retain-{run_id}-2"]
        first_step = next(step for name, _, step in second.steps_done if name == "pretrain")
        assert first_step > 30, "it resumed, it did not start again"
        assert len(await client.decisions(run_id)) == 24, "no boundary was decided twice"


async def test_a_group_that_hangs_is_fenced_off_and_can_do_nothing_when_it_wakes_up(tmp_path: Path) -> None:
    timing = Timing(pass_every_s=0.1, job_poll_s=0.1, stall_timeout_s=1.0, start_timeout_s=30.0, max_restarts=3)
    async with orchestrator(tmp_path, simulated=SimulatedTraining(steps_per_s=150.0), timing=timing) as client:
        launcher = client.platform.launcher
        launcher.stop = lambda job: None  # type: ignore[method-assign]  # it cannot be stopped either
        run_id = (await client.create(without_forgetting())).id
        await client.until(run_id, lambda run: run.status.stages[0].latest.step >= 20)
        sleeper = launcher.workers[f"retain-{run_id}-1"]
        sleeper.paused.set()
        await client.until(run_id, lambda run: run.status.submission == 2)
        run = await client.get(run_id)
        assert run.status.reason == "WORKERS_REPLACED"
        sleeper.paused.clear()
        thread = launcher.threads[f"retain-{run_id}-1"]
        await asyncio.to_thread(thread.join, 10)
        assert "ABORTED" in launcher.failures[f"retain-{run_id}-1"]
        assert (await client.end(run_id)).status.state == res.RUN_STATE_SUCCEEDED
        for checkpoint in await client.lineage(run_id):
            assert checkpoint.state != res.CHECKPOINT_STATE_UNSPECIFIED
        del launcher.stop  # type: ignore[method-assign]


async def test_jobs_that_keep_failing_end_the_run_with_the_reason(tmp_path: Path) -> None:
    async with orchestrator(tmp_path) as client:
        launcher = client.platform.launcher

        def broken(name: str, worker: Any) -> None:
            launcher.failures[name] = "ModuleNotFoundError: services.worker"

        launcher._main = broken  # type: ignore[method-assign]
        run_id = (await client.create(without_forgetting())).id
        failed = await client.end(run_id)
        assert failed.status.reason == "JOB_KEEPS_FAILING"
        assert "ModuleNotFoundError" in failed.status.message
        assert failed.status.submission == 4, "one try and three more"


async def test_what_is_refused_ends_the_run_with_the_reason_and_never_hangs(tmp_path: Path) -> None:
    async with orchestrator(tmp_path) as client:
        platform = client.platform

        async def refuse(run_id: str, question: Any) -> Any:
            raise FailedPrecondition("evaluator: INVALID_ARGUMENT: no such set", reason="EVALUATION_REFUSED")

        platform.evaluator.create = refuse  # type: ignore[method-assign]
        failed = await client.end((await client.create(without_forgetting())).id)
        assert failed.status.reason == "EVALUATION_REFUSED"
        assert "no such set" in failed.status.message

        def forbid(request: Any) -> None:
            raise Refused("Ray refused to submit: 403", reason="RAY_REFUSED")

        platform.launcher.submit = forbid  # type: ignore[method-assign]
        failed = await client.end((await client.create(without_forgetting())).id)
        assert failed.status.reason == "JOB_KEEPS_FAILING"
        assert "403" in failed.status.message


async def test_an_evaluator_that_is_away_delays_and_loses_nothing(tmp_path: Path) -> None:
    async with orchestrator(tmp_path) as client:
        client.platform.evaluator.away = True
        run_id = (await client.create(without_forgetting())).id
        await client.until(run_id, lambda run: run.status.phase == res.STAGE_PHASE_WAITING)
        await asyncio.sleep(0.5)
        assert len(await client.decisions(run_id)) == 0
        client.platform.evaluator.away = False
        assert (await client.end(run_id)).status.state == res.RUN_STATE_SUCCEEDED


async def test_a_model_that_cannot_be_measured_is_never_accepted(tmp_path: Path) -> None:
    def nan(evaluation: Any) -> None:
        if evaluation.request.stage == "midtrain/code":
            evaluation.results[0].loss_nats = float("nan")

    simulated = SimulatedTraining()
    evaluator = FakeEvaluator(simulated)
    evaluator.change = nan
    async with orchestrator(tmp_path, simulated=simulated, evaluator=evaluator) as client:
        run_id = (await client.create(demo_spec("nan"))).id
        held = await client.until(run_id, lambda run: run.status.state == res.RUN_STATE_SUSPENDED)
        assert held.status.stages[1].state == res.STAGE_STATE_SUSPENDED
        assert "not a finite number" in held.status.message


async def test_the_fence_refuses_old_callers_over_the_wire(tmp_path: Path) -> None:
    async with orchestrator(tmp_path, simulated=SimulatedTraining(steps_per_s=50.0)) as client:
        run_id = (await client.create(without_forgetting())).id
        await client.until(run_id, lambda run: run.status.stages[0].step > 0)
        stub = sc_grpc.StageControlServiceStub(client.channel)
        identity = client.platform.orchestrator.identity
        tokens = {1: client.platform.launcher.workers[f"retain-{run_id}-1"].token, 0: new_token(), 2: new_token()}
        for submission in (0, 2):
            code = await identity.issue_code(run_id, submission)
            await identity.join(run_id, submission, code, tokens[submission], peer="")
        for submission, attempt in ((0, 1), (1, 0), (2, 1), (1, 2)):
            fence = {"run_id": run_id, "submission": submission, "attempt": attempt, "stage_index": 0}
            for call, request in (
                (stub.ReportProgress, sc.ReportProgressRequest(**fence)),
                (stub.GetDirective, sc.GetDirectiveRequest(**fence, boundary=1)),
                (stub.ReportCheckpoint, sc.ReportCheckpointRequest(**fence, boundary=1)),
                (stub.EndStage, sc.EndStageRequest(**fence, outcome=sc.END_OUTCOME_COMPLETED)),
            ):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call(request, metadata=bearer(tokens[submission]))
                assert caught.value.code() is grpc.StatusCode.ABORTED
