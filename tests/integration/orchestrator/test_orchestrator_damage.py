"""Damaged checkpoints and machines that drain, over the wire: nothing is lost but the work after the last good one."""

from pathlib import Path
from typing import Any

import grpc
import pytest

from retain.orchestrator.v1 import checkpoint_service_pb2 as ck
from retain.orchestrator.v1 import orchestrator_service_pb2 as pb
from retain.orchestrator.v1 import resources_pb2 as res
from tests.fakes.simulated_training import SimulatedTraining
from tests.integration.orchestrator.harness import Client, orchestrator, status_of, without_forgetting


async def undisturbed(folder: Path) -> dict[str, float]:
    """Losses of the result of a run that nothing happened to."""
    async with orchestrator(folder) as client:
        run_id = (await client.create(without_forgetting())).id
        ended = await client.end(run_id)
        return client.platform.simulated.losses_of(ended.status.stages[2].accepted.weights_digest)


async def rows(client: Client, run_id: str, state: Any) -> list[res.Checkpoint]:
    return [c for c in await client.lineage(run_id) if c.state == state]


async def test_a_worker_that_cannot_read_the_newest_checkpoint_continues_from_the_one_before(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    expected = await undisturbed(tmp_path_factory.mktemp("undisturbed"))
    async with orchestrator(tmp_path, simulated=SimulatedTraining(steps_per_s=150.0)) as client:
        run_id = (await client.create(without_forgetting())).id
        run = await client.until(run_id, lambda run: run.status.stages[0].latest.step >= 30)
        bad = run.status.stages[0].latest
        client.platform.launcher.workers[f"retain-{run_id}-1"].killed.set()
        # To workers alone: an evaluator that comes to it first would decide it in their place.
        client.platform.simulated.unreadable_to_workers.add(bad.uri)
        ended = await client.end(run_id)
        assert ended.status.state == res.RUN_STATE_SUCCEEDED
        assert ended.status.submission == 2, "only the killed group was replaced"
        damaged = await rows(client, run_id, res.CHECKPOINT_STATE_DAMAGED)
        assert [c.ref.uri for c in damaged] == [bad.uri]
        assert "is cut" in damaged[0].message
        said = [d for d in await client.decisions(run_id) if d.actor == "worker"]
        assert [d.verdict for d in said] == [res.VERDICT_ROLL_BACK]
        assert said[0].target.step == bad.step - 10
        assert f"resumes from step {bad.step - 10}" in said[0].message
        assert sum(stage.retries for stage in ended.status.stages) == 0
        assert client.platform.simulated.losses_of(ended.status.stages[2].accepted.weights_digest) == expected


async def test_the_evaluator_finds_a_checkpoint_damaged_and_it_is_made_again(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    expected = await undisturbed(tmp_path_factory.mktemp("undisturbed"))
    async with orchestrator(tmp_path) as client:
        simulated, real = client.platform.simulated, client.platform.evaluator.create

        async def once(run_id: str, question: Any) -> Any:
            if question.checkpoint.step == 40 and question.attempt == 1 and question.stage_index == 0:
                simulated.unreadable.add(question.checkpoint.uri)
            return await real(run_id, question)

        client.platform.evaluator.create = once  # type: ignore[method-assign]
        run_id = (await client.create(without_forgetting())).id
        ended = await client.end(run_id)
        assert ended.status.state == res.RUN_STATE_SUCCEEDED
        assert [c.ref.step for c in await rows(client, run_id, res.CHECKPOINT_STATE_DAMAGED)] == [40]
        assert ended.status.stages[0].attempt == 2
        assert ended.status.submission == 1
        assert simulated.losses_of(ended.status.stages[2].accepted.weights_digest) == expected


async def test_a_person_sets_a_checkpoint_aside(tmp_path: Path) -> None:
    async with orchestrator(tmp_path, simulated=SimulatedTraining(steps_per_s=100.0)) as client:
        run_id = (await client.create(without_forgetting())).id
        await client.until(run_id, lambda run: run.status.stages[0].latest.step >= 30)
        await client.runs.CancelPipelineRun(pb.CancelPipelineRunRequest(run_id=run_id))
        newest = (await rows(client, run_id, res.CHECKPOINT_STATE_LIVE))[0]
        request = ck.VoidCheckpointRequest(checkpoint_id=newest.id, reason="its samples are noise")
        for _ in range(2):
            said = (await client.checkpoints.VoidCheckpoint(request)).checkpoint
            assert said.state == res.CHECKPOINT_STATE_DAMAGED
            assert said.message == "set aside by a person: its samples are noise"
        code, _ = await status_of(
            client.checkpoints.ExportCheckpoint(ck.ExportCheckpointRequest(checkpoint_id=newest.id))
        )
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        await client.runs.RetryPipelineRun(pb.RetryPipelineRunRequest(run_id=run_id))
        ended = await client.end(run_id)
        assert ended.status.state == res.RUN_STATE_SUCCEEDED
        assert len([d for d in await client.decisions(run_id) if d.actor == "person"]) == 1
        first = ended.status.stages[0].accepted
        code, message = await status_of(
            client.checkpoints.VoidCheckpoint(ck.VoidCheckpointRequest(checkpoint_id=first.uri))
        )
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert "is the result of pretrain, and midtrain/code of run" in message


async def test_a_machine_that_drains_costs_neither_work_nor_a_restart(tmp_path: Path) -> None:
    async with orchestrator(tmp_path, simulated=SimulatedTraining(steps_per_s=60.0)) as client:
        run_id = (await client.create(without_forgetting())).id
        for group in (1, 2, 3):
            await client.until(
                run_id,
                lambda run, group=group: run.status.submission == group and run.status.stages[0].step >= 12 * group,
            )
            client.platform.launcher.workers[f"retain-{run_id}-{group}"].leave.set()
        run = await client.until(run_id, lambda run: run.status.submission == 4)
        assert run.status.reason == "WORKERS_INTERRUPTED"
        assert "the machine drains" in run.status.message
        client.platform.simulated.steps_per_s = 400.0
        ended = await client.end(run_id)
        assert ended.status.state == res.RUN_STATE_SUCCEEDED
        assert ended.status.submission == 4
        interim = [c for c in await client.lineage(run_id) if c.interim]
        assert interim
        assert all(c.state == res.CHECKPOINT_STATE_PRUNED for c in interim)
        assert len(await client.decisions(run_id)) == 24, "what was taken on leaving was never decided on"
