"""The orchestrator over real gRPC, with a real database, fake workers and a fake evaluator: what users see."""

import asyncio
import hashlib
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from prometheus_client import generate_latest

from retain.orchestrator.v1 import checkpoint_service_pb2 as ck
from retain.orchestrator.v1 import orchestrator_service_pb2 as pb
from retain.orchestrator.v1 import resources_pb2 as res
from retain.types.v1 import spec_pb2
from tests.fakes.platform import demo_spec
from tests.fakes.simulated_training import SimulatedTraining
from tests.integration.orchestrator.harness import Client, orchestrator, status_of, without_forgetting


async def test_a_run_goes_through_its_stages_and_the_gate_keeps_it_within_bounds(tmp_path: Path) -> None:
    spec = demo_spec()
    spec.stages[2].data.replay["general"] = spec.stages[2].data.replay["domain"] = 0.3
    async with orchestrator(tmp_path, simulated=SimulatedTraining(strength=0.03)) as client:
        created = await client.create(spec)
        assert created.status.state == res.RUN_STATE_PENDING
        assert created.spec.stages[1].learning_rate == 1e-5
        seen = []
        request = pb.WatchPipelineRunRequest(run_id=created.id)
        async for update in client.runs.WatchPipelineRun(request, timeout=60):
            seen.append(update.run)
        assert seen[-1].status.state == res.RUN_STATE_SUCCEEDED
        sequences = [run.sequence for run in seen]
        assert sequences == sorted(set(sequences))
        assert len({run.etag for run in seen}) == len(seen)
        for stage in seen[-1].status.stages:
            assert stage.state == res.STAGE_STATE_COMPLETE
            assert stage.accepted.step == stage.total_steps
        middle = seen[-1].status.stages[1]
        assert middle.retries >= 1, "2 % of general text is too little: the gate had to act"
        assert middle.forgetting < 0.10
        assert {s.set.use for s in middle.report_results} == {2}
        decisions = await client.decisions(created.id)
        assert [d.number for d in decisions] == list(range(1, len(decisions) + 1))
        assert {d.verdict for d in decisions} >= {
            res.VERDICT_CONTINUE, res.VERDICT_ADJUST, res.VERDICT_ROLL_BACK, res.VERDICT_ACCEPT,
        }  # fmt: skip
        adjusted = next(d for d in decisions if d.verdict == res.VERDICT_ADJUST)
        assert adjusted.forgetting >= 0.10
        assert adjusted.shares["general"] == 0.3
        assert any("LOWER learning rate" in line for line in adjusted.recommendations)
        await _the_lineage_is_whole(client, created.id)
        _metrics_tell_the_run(client, created.id)


async def _the_lineage_is_whole(client: Client, run_id: str) -> None:
    lineage = await client.lineage(run_id)
    accepted = [c for c in lineage if c.state == res.CHECKPOINT_STATE_ACCEPTED]
    assert [c.stage for c in accepted] == ["finetune", "midtrain/code", "pretrain"]
    manifests = {c.ref.manifest_sha256 for c in lineage}
    assert all(c.parent in manifests for c in lineage if c.parent)
    pruned = [c for c in lineage if c.state == res.CHECKPOINT_STATE_PRUNED]
    assert pruned, "more than keep_last checkpoints were made"
    keys = client.platform.store.objects
    for checkpoint in pruned:
        prefix = checkpoint.ref.uri.removeprefix("s3://retain/")
        assert [k for k in keys if k.startswith(prefix)] == [f"{prefix}/manifest.json"]
    export = await client.checkpoints.ExportCheckpoint(
        ck.ExportCheckpointRequest(checkpoint_id=accepted[0].ref.manifest_sha256[:8])
    )
    assert [f.path for f in export.files] == ["model/config.json"]
    key = f"{accepted[0].ref.uri}/model/config.json".removeprefix("s3://retain/")
    assert hashlib.sha256(keys[key]).hexdigest() == export.files[0].sha256
    keys[f"{accepted[0].ref.uri}/manifest.json".removeprefix("s3://retain/")] = b"{}"
    code, _ = await status_of(
        client.checkpoints.ExportCheckpoint(ck.ExportCheckpointRequest(checkpoint_id=accepted[0].id))
    )
    assert code is grpc.StatusCode.DATA_LOSS


def _metrics_tell_the_run(client: Client, run_id: str) -> None:
    text = generate_latest(client.platform.orchestrator.registry).decode()
    assert 'retain_pipeline_runs{state="SUCCEEDED"} 1.0' in text
    assert 'retain_pipeline_runs{state="PENDING"} 0.0' in text
    assert 'retain_decisions_total{decision="ROLL_BACK"}' in text
    assert f'retain_train_tokens_total{{run="{run_id}",stage="pretrain"}} {100 * 8 * 256:.1f}' in text
    assert "retain_stage_running{" not in text, "no stage runs any more"


async def test_the_same_request_makes_one_run(tmp_path: Path) -> None:
    async with orchestrator(tmp_path, slots=1) as client:
        copies = await asyncio.gather(*(client.create(request_id="one") for _ in range(8)))
        assert len({run.id for run in copies}) == 1
        code, _ = await status_of(client.create(demo_spec("other"), request_id="one"))
        assert code is grpc.StatusCode.ALREADY_EXISTS
        listed = await client.runs.ListPipelineRuns(pb.ListPipelineRunsRequest())
        assert len(listed.runs) == 1


async def test_every_fault_of_a_spec_in_one_answer(tmp_path: Path) -> None:
    faulty = demo_spec("Bad Name", action=0.01)
    faulty.stages[0].data.general = "gopher://x"
    faulty.stages[1].kind = 77  # type: ignore[assignment]
    faulty.stages[2].learning_rate = -1.0
    async with orchestrator(tmp_path) as client:
        answer = await client.runs.ValidatePipelineSpec(pb.ValidatePipelineSpecRequest(spec=faulty))
        fields = {v.field for v in answer.violations}
        assert fields >= {
            "name", "forgetting.action", "stages[0].data.general", "stages[1].kind", "stages[2].learning_rate",
        }  # fmt: skip
        faulty.stages[2].learning_rate = float("nan")  # nothing is computed of it
        answer = await client.runs.ValidatePipelineSpec(pb.ValidatePipelineSpecRequest(spec=faulty))
        assert {v.field for v in answer.violations} >= {"stages[1].kind", "stages[2].learning_rate"}
        faulty.stages[2].learning_rate = -1.0
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.create(faulty)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        status = rpc_status.from_call(caught.value)
        details = error_details_pb2.BadRequest()
        assert any(detail.Unpack(details) for detail in status.details)
        assert {v.field for v in details.field_violations} == fields
        fine = await client.runs.ValidatePipelineSpec(pb.ValidatePipelineSpecRequest(spec=demo_spec()))
        assert [stage.name for stage in fine.plan.stages] == ["pretrain", "midtrain/code", "finetune"]
        gauges = ["gauge-encyclopaedic", "gauge-narrative", "gauge-code", "gauge-conversation"]
        assert list(fine.plan.stages[2].retention_sets) == ["general", "code", *gauges]
        assert list(fine.plan.stages[2].never_replayed) == gauges
        assert fine.plan.parameters > 0
        assert fine.plan.stages[0].boundary_cost.checkpoint_bytes == 12 * fine.plan.parameters


async def test_runs_wait_in_line_and_are_told_their_place(tmp_path: Path) -> None:
    async with orchestrator(tmp_path, slots=1, simulated=SimulatedTraining(steps_per_s=300.0)) as client:
        runs = [await client.create(without_forgetting()) for _ in range(3)]
        places = [(await client.get(run.id)).status.queue_position for run in runs]
        assert places in ([0, 1, 2], [1, 2, 3])
        await client.until(runs[0].id, lambda run: run.status.state == res.RUN_STATE_RUNNING)
        assert [(await client.get(run.id)).status.queue_position for run in runs] == [0, 1, 2]
        code, _ = await status_of(client.runs.DeletePipelineRun(pb.DeletePipelineRunRequest(run_id=runs[0].id)))
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        await client.runs.CancelPipelineRun(pb.CancelPipelineRunRequest(run_id=runs[0].id))
        await client.until(runs[1].id, lambda run: run.status.state == res.RUN_STATE_RUNNING)
        assert (await client.get(runs[2].id)).status.queue_position == 1
        for run in runs[1:]:
            assert (await client.end(run.id)).status.state == res.RUN_STATE_SUCCEEDED


async def test_an_old_etag_is_aborted_and_lists_keep_their_pages(tmp_path: Path) -> None:
    async with orchestrator(tmp_path, slots=1) as client:
        runs = [await client.create(demo_spec(f"run-{n}")) for n in range(5)]
        await client.until(runs[0].id, lambda run: run.status.state == res.RUN_STATE_RUNNING)
        request = pb.CancelPipelineRunRequest(run_id=runs[0].id, etag=runs[0].etag)
        assert (await status_of(client.runs.CancelPipelineRun(request)))[0] is grpc.StatusCode.ABORTED
        request = pb.CancelPipelineRunRequest(run_id=runs[4].id, etag=runs[4].etag)
        assert (await client.runs.CancelPipelineRun(request)).run.status.state == res.RUN_STATE_CANCELLED
        page = await client.runs.ListPipelineRuns(pb.ListPipelineRunsRequest(page_size=2))
        assert [run.id for run in page.runs] == [runs[4].id, runs[3].id]
        rest = await client.runs.ListPipelineRuns(
            pb.ListPipelineRunsRequest(page_size=500, page_token=page.next_page_token)
        )
        assert [run.id for run in rest.runs] == [run.id for run in runs[2::-1]]
        assert rest.next_page_token == ""
        for bad in (
            pb.ListPipelineRunsRequest(page_size=-1),
            pb.ListPipelineRunsRequest(page_token="x"),
            pb.ListPipelineRunsRequest(page_token=page.next_page_token, states=[res.RUN_STATE_FAILED]),
            pb.ListPipelineRunsRequest(states=[res.RUN_STATE_UNSPECIFIED]),
        ):
            code, _ = await status_of(client.runs.ListPipelineRuns(bad))
            assert code is grpc.StatusCode.INVALID_ARGUMENT
        code, _ = await status_of(client.get("nobody"))
        assert code is grpc.StatusCode.NOT_FOUND


async def test_a_suspended_run_frees_its_workers_and_continues_when_approved(tmp_path: Path) -> None:
    strict = demo_spec("strict", minor=0.01, action=0.02, stop=0.03, budget=0.02, max_retries=0, settle=0.0)
    async with orchestrator(tmp_path, slots=1) as client:
        run_id = (await client.create(strict)).id
        held = await client.until(run_id, lambda run: run.status.state == res.RUN_STATE_SUSPENDED)
        assert held.status.reason == "RETRIES_USED_UP"
        other = await client.create(without_forgetting())
        assert (await client.end(other.id)).status.state == res.RUN_STATE_SUCCEEDED, "the worker slot is free"
        bad = pb.ApprovePipelineRunRequest(run_id=run_id)
        assert (await status_of(client.runs.ApprovePipelineRun(bad)))[0] is grpc.StatusCode.INVALID_ARGUMENT
        accept = pb.ApprovePipelineRunRequest(run_id=run_id, action=pb.APPROVE_ACTION_ACCEPT, comment="good enough")
        await client.runs.ApprovePipelineRun(accept)
        after = await client.until(
            run_id, lambda run: run.status.stages[1].state == res.STAGE_STATE_COMPLETE and run.status.submission == 2
        )
        assert after.status.stages[1].accepted.step < 100
        person = next(d for d in await client.decisions(run_id) if d.actor == "user")
        assert "good enough" in person.message
        code, _ = await status_of(client.runs.RetryPipelineRun(pb.RetryPipelineRunRequest(run_id=run_id)))
        assert code is grpc.StatusCode.FAILED_PRECONDITION


async def test_a_fault_of_the_data_ends_the_run_and_a_retry_continues(tmp_path: Path) -> None:
    async with orchestrator(tmp_path) as client:
        client.platform.launcher.fail_prepare = ("SOURCE_EMPTY", "stages[0].data.general: no documents")
        run_id = (await client.create(without_forgetting())).id
        failed = await client.end(run_id)
        assert (failed.status.reason, failed.status.message) == (
            "SOURCE_EMPTY", "stages[0].data.general: no documents",
        )  # fmt: skip
        client.platform.launcher.fail_prepare = None
        await client.runs.RetryPipelineRun(pb.RetryPipelineRunRequest(run_id=run_id))
        done = await client.end(run_id)
        assert (done.status.state, done.status.submission) == (res.RUN_STATE_SUCCEEDED, 2)
        pieces = [p async for p in client.runs.StreamLogs(pb.StreamLogsRequest(run_id=run_id, follow=True), timeout=60)]
        assert {p.submission for p in pieces} == {1, 2}
        assert "work: prepare" in pieces[0].text


async def test_a_deleted_run_is_gone_with_its_files(tmp_path: Path) -> None:
    async with orchestrator(tmp_path) as client:
        run_id = (await client.create(without_forgetting())).id
        await client.end(run_id)
        await client.delete(run_id)
        assert (await status_of(client.get(run_id)))[0] is grpc.StatusCode.NOT_FOUND
        for _ in range(100):
            if not any(key.startswith(f"runs/{run_id}/") for key in client.platform.store.objects):
                break
            await asyncio.sleep(0.05)
        assert not [key for key in client.platform.store.objects if key.startswith(f"runs/{run_id}/")]


async def test_any_client_works_by_reflection_and_health_tells_each_service(tmp_path: Path) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    async with orchestrator(tmp_path) as client:
        stub = reflection_pb2_grpc.ServerReflectionStub(client.channel)
        asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        async for reply in stub.ServerReflectionInfo(asked):
            names = {service.name for service in reply.list_services_response.service}
        ours = {f"retain.orchestrator.v1.{n}Service" for n in ("Orchestrator", "StageControl", "Checkpoint")}
        assert names >= ours
        health = health_pb2_grpc.HealthStub(client.channel)
        for name in ours:
            reply = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert reply.status == health_pb2.HealthCheckResponse.SERVING


async def test_lag_one_ends_the_same_way(tmp_path: Path) -> None:
    spec = demo_spec("lagging")
    spec.evaluation.decision_lag = 1
    spec.stages[1].data.general_share = 0.05
    spec.stages[2].data.replay["general"] = 0.3
    async with orchestrator(tmp_path) as client:
        ended = await client.end((await client.create(spec)).id)
        assert ended.status.state == res.RUN_STATE_SUCCEEDED
        assert all(stage.forgetting < 0.10 for stage in ended.status.stages[1:])
        assert spec_pb2.PipelineSpec.FromString(ended.spec.SerializeToString()).evaluation.decision_lag == 1
