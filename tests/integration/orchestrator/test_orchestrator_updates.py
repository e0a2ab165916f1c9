"""UpdatePipelineRun on a real orchestrator: what changes while a run trains, what does not, and what the trail says."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from retain.orchestrator.v1 import orchestrator_service_pb2 as pb
from retain.orchestrator.v1 import resources_pb2 as res
from retain.types.v1 import spec_pb2
from services.orchestrator.application.audit import AuditFilter
from tests.fakes.platform import demo_spec
from tests.integration.orchestrator.harness import Client, orchestrator, status_of, without_forgetting

pytestmark = pytest.mark.integration
USABLE = (res.CHECKPOINT_STATE_LIVE, res.CHECKPOINT_STATE_ACCEPTED)


async def update(client: Client, run_id: str, spec: spec_pb2.PipelineSpec, *paths: str, etag: str = "") -> Any:
    request = pb.UpdatePipelineRunRequest(run_id=run_id, spec=spec, update_mask=FieldMask(paths=paths), etag=etag)
    return (await client.runs.UpdatePipelineRun(request, timeout=10)).run


def promising(budget: float) -> spec_pb2.PipelineSpec:
    """A run that forgets a little, and is held at the end of a stage unless that was promised."""
    spec = without_forgetting()
    spec.forgetting.budget, spec.forgetting.max_retries = budget, 0
    return spec


async def test_a_budget_that_is_raised_while_a_run_trains_is_what_its_stages_are_held_to(tmp_path: Path) -> None:
    async with orchestrator(tmp_path) as client:
        held, raised = await client.create(promising(1e-6)), await client.create(promising(1e-6))
        asked = spec_pb2.PipelineSpec()
        asked.forgetting.budget = 0.1
        changed = await update(client, raised.id, asked, "forgetting.budget")
        assert changed.spec.forgetting.budget == 0.1
        assert changed.sequence > raised.sequence
        assert changed.etag != raised.etag
        assert (await client.end(raised.id)).status.state == res.RUN_STATE_SUCCEEDED
        waits = await client.until(held.id, lambda run: run.status.state == res.RUN_STATE_SUSPENDED)
        assert "budget" in waits.status.message


async def test_retention_that_is_lowered_after_the_end_deletes_files_at_once(tmp_path: Path) -> None:
    async with orchestrator(tmp_path) as client:
        spec = without_forgetting()
        spec.checkpoints.keep_last = 50
        run = await client.end((await client.create(spec)).id)
        before = [c.ref.uri for c in await client.lineage(run.id) if c.state in USABLE]
        await update(client, run.id, spec_pb2.PipelineSpec(checkpoints={"keep_last": 1}), "checkpoints.keep_last")
        after = [c.ref.uri for c in await client.lineage(run.id) if c.state in USABLE]
        assert len(after) < len(before)
        assert {stage.accepted.uri for stage in run.status.stages} <= set(after), "what was accepted stays"
        for _ in range(400):
            states = {c.state for c in await client.lineage(run.id)}
            if res.CHECKPOINT_STATE_PRUNING not in states:
                break
            await asyncio.sleep(0.05)
        assert states <= {*USABLE, res.CHECKPOINT_STATE_PRUNED}


async def test_what_is_fixed_what_is_late_and_what_is_old_is_refused_and_all_of_it_is_in_the_trail(
    tmp_path: Path,
) -> None:
    async with orchestrator(tmp_path) as client:
        run = await client.create(without_forgetting())
        asked = demo_spec(budget=0.15, stop=0.5)
        asked.labels["owner"] = "ada"
        code, said = await status_of(update(client, run.id, asked, "labels.owner", "forgetting.stop"))
        assert (code, "forgetting.budget" in said) == (grpc.StatusCode.INVALID_ARGUMENT, True)
        code, _ = await status_of(update(client, run.id, asked, "labels.owner", etag="old"))
        assert code is grpc.StatusCode.ABORTED
        assert (await client.get(run.id)).spec.labels == {}, "nothing of a refused change happened"
        await update(client, run.id, asked, "labels.owner", "forgetting.budget")
        await client.end(run.id)
        code, said = await status_of(update(client, run.id, asked, "forgetting.budget"))
        assert (code, "SUCCEEDED" in said) == (grpc.StatusCode.FAILED_PRECONDITION, True)
        asked.labels["owner"] = "x" * 1025
        code, said = await status_of(update(client, run.id, asked, "labels.owner"))
        assert (code, "up to 1024 characters" in said) == (grpc.StatusCode.INVALID_ARGUMENT, True)
        code, _ = await status_of(update(client, "no-such-run", asked, "labels.b"))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        page = await client.platform.orchestrator.auditor.page(AuditFilter(resource=run.id), limit=20)
        trail = [(e.outcome, e.before, e.after) for e in reversed(page.items) if e.action == "UpdatePipelineRun"]
        assert [outcome for outcome, _, _ in trail] == [
            "INVALID_ARGUMENT", "ABORTED", "OK", "FAILED_PRECONDITION", "INVALID_ARGUMENT",
        ]  # fmt: skip
        done = trail[2]
        assert done[1].endswith("; labels.owner: None; forgetting.budget: 0.1")
        assert done[2].endswith("; labels.owner: ada; forgetting.budget: 0.15")
