"""ListRunMetrics on a real orchestrator: what is kept as a run trains, in pages, and how it goes with the run."""

import time
from pathlib import Path
from typing import Any

import grpc
import pytest
import sqlalchemy as sa

from retain.orchestrator.v1 import orchestrator_service_pb2 as pb
from retain.orchestrator.v1 import resources_pb2 as res
from services.orchestrator.adapters.tables import metric_points
from services.orchestrator.domain.metrics.points import BUCKETS
from tests.fakes.platform import demo_spec
from tests.fakes.simulated_training import SimulatedTraining
from tests.integration.orchestrator.harness import Client, orchestrator, status_of

pytestmark = pytest.mark.integration


async def listed(client: Client, run_id: str, **asked: Any) -> dict[tuple[str, str, str], res.MetricSeries]:
    """Every series, by (stage, name, set), page by page."""
    found: dict[tuple[str, str, str], res.MetricSeries] = {}
    request = pb.ListRunMetricsRequest(run_id=run_id, **asked)
    while True:
        page = await client.runs.ListRunMetrics(request, timeout=20)
        found |= {(one.stage, one.name, one.set): one for one in page.series}
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def test_the_figures_of_a_run_are_there_while_it_trains_after_a_rollback_and_until_it_is_deleted(
    tmp_path: Path,
) -> None:
    # So much is forgotten that the code stage goes back, and its curve with it.
    async with orchestrator(tmp_path, simulated=SimulatedTraining(strength=0.03)) as client:
        spec = demo_spec("figures")
        spec.stages[2].data.replay["general"] = spec.stages[2].data.replay["domain"] = 0.3
        run_id = (await client.create(spec)).id
        await client.until(run_id, lambda run: run.status.stages[0].step > 10)
        early = await listed(client, run_id)
        assert ("pretrain", "train_loss_nats", "") in early
        run = await client.end(run_id)
        assert run.status.stages[1].attempt > 1, "the gate went back"
        found = await listed(client, run_id)
        names = {stage: {(name, of) for s, name, of in found if s == stage} for stage in ("pretrain", "midtrain/code")}
        progress = {("train_loss_nats", ""), ("tokens_per_second", ""), ("learning_rate", "")}
        assert progress | {("perplexity", "general")} == names["pretrain"]
        assert progress | {("share", "general"), ("perplexity", "code"), ("forgetting", "general"),
                           ("baseline_perplexity", "general")} <= names["midtrain/code"]  # fmt: skip
        for series in found.values():
            columns = (series.steps, series.tokens, series.unix_seconds, series.attempts, series.values)
            assert {len(column) for column in columns} == {series.stored_points}
            assert list(series.steps) == sorted(series.steps)
            assert list(series.attempts) == sorted(series.attempts), "nothing of what was given up is left"
        forgetting = found["midtrain/code", "forgetting", "general"]
        assert list(forgetting.steps) == list(range(10, 101, 10))
        assert forgetting.values[-1] == run.status.stages[1].forgetting
        perplexity = found["midtrain/code", "perplexity", "general"].values[-1]
        baseline = found["midtrain/code", "baseline_perplexity", "general"].values[-1]
        assert perplexity / baseline - 1 == pytest.approx(forgetting.values[-1])
        await client.delete(run_id)
        code, _ = await status_of(listed(client, run_id))
        assert code is grpc.StatusCode.NOT_FOUND
        with client.platform.repository._engine.connect() as connection:
            assert connection.execute(sa.select(sa.func.count()).select_from(metric_points)).scalar_one() == 0


async def test_series_come_in_pages_with_as_many_points_as_were_asked_for(tmp_path: Path) -> None:
    async with orchestrator(tmp_path) as client:
        spec = demo_spec("pages")
        del spec.stages[1:]
        run = await client.end((await client.create(spec)).id)
        whole = await listed(client, run.id)
        paged = await listed(client, run.id, page_size=1)
        assert paged == whole
        few = await listed(client, run.id, max_points=4, names=["train_loss_nats", "perplexity"])
        loss = few["pretrain", "train_loss_nats", ""]
        assert {name for _, name, _ in few} == {"train_loss_nats", "perplexity"}
        assert (len(loss.steps), loss.stored_points) == (4, whole["pretrain", "train_loss_nats", ""].stored_points)
        for asked, said in (
            ({"names": ["loss"]}, "got 'loss'; expected train_loss_nats"),
            ({"stage": "finetune"}, "got 'finetune'; expected pretrain"),
            ({"max_points": -1}, "got -1; expected 0 to 2000"),
            ({"page_token": "x"}, "next_page_token"),
        ):
            code, told = await status_of(listed(client, run.id, **asked))
            assert (code, said in told) == (grpc.StatusCode.INVALID_ARGUMENT, True), told


async def test_the_most_points_that_are_kept_are_told_soon(tmp_path: Path) -> None:
    """The most that is kept of the reports of three stages."""
    async with orchestrator(tmp_path) as client:
        run = await client.end((await client.create(demo_spec("long"))).id)
        rows = [
            {
                "run_id": run.id, "stage_index": stage, "bucket": bucket, "slot": slot, "attempt": 99,
                "step": bucket * 50 + slot, "tokens": bucket, "time_s": float(bucket),
                "figures": '{"train_loss_nats":2.5,"learning_rate":1e-4,"tokens_per_second":900.0,"share/general":0.1}',
            }
            for stage in range(3) for bucket in range(BUCKETS) for slot in range(2)
        ]  # fmt: skip
        with client.platform.repository._engine.begin() as connection:
            connection.execute(metric_points.delete().where(metric_points.c.slot < 2))
            connection.execute(metric_points.insert(), rows)
        begun_s = time.monotonic()
        found = await listed(client, run.id)
        took_s = time.monotonic() - begun_s
        loss = found["midtrain/code", "train_loss_nats", ""]
        assert (loss.stored_points, len(loss.values)) == (2 * BUCKETS, 500)
        print(f"{3 * 2 * BUCKETS:,} points kept, {len(found)} series told in {took_s:.3f} s")
        assert took_s < 5, "on a loaded machine"
