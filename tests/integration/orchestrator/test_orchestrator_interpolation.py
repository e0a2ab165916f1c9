"""Interpolation at a stage's end through the whole orchestrator: what users see, and what survives lost replies."""

import asyncio
from pathlib import Path

from retain.orchestrator.v1 import resources_pb2 as res
from retain.types.v1 import spec_pb2
from tests.fakes.evaluator import FakeEvaluator
from tests.fakes.launcher import FakeLauncher
from tests.fakes.object_store import FakeObjectStore
from tests.fakes.platform import Platform, demo_spec
from tests.fakes.simulated_training import SimulatedTraining
from tests.identity import aio_channel
from tests.integration.orchestrator.harness import Client, orchestrator

POINTS = [0.2, 0.4, 0.7]


def forgetful_spec() -> spec_pb2.PipelineSpec:
    """Nothing acts before the last boundary, at which the code stage has forgotten about half: only the line helps."""
    spec = demo_spec("line", settle=0.95, stop=0.5)
    spec.forgetting.interpolation.points.extend(POINTS)
    spec.forgetting.interpolation.least_gain_nats = 0.05
    return spec


async def test_the_accepted_checkpoint_is_a_point_within_the_budget_with_every_point_as_evidence(
    tmp_path: Path,
) -> None:
    async with orchestrator(tmp_path, simulated=SimulatedTraining(strength=0.03)) as client:
        run_id = (await client.create(forgetful_spec())).id
        client.platform.evaluator.lose_reply_of_next_point()
        ended = await client.end(run_id)
        assert ended.status.state == res.RUN_STATE_SUCCEEDED, ended.status
        await _the_code_stage_ended_on_its_line(client, run_id, ended)
        first = client.platform.evaluator.written
        assert first[0] == first[1], "asked again after the lost reply, under the same name"


async def _the_code_stage_ended_on_its_line(client: Client, run_id: str, ended: res.PipelineRun) -> None:
    stage = ended.status.stages[1]
    assert stage.retries == 0
    assert stage.accepted.uri.endswith("/step-000000100-point-0.4")
    assert stage.forgetting < 0.10
    assert all(score.ratio < 0.10 for score in stage.report_scores)
    kinds = ("code", "conversation", "encyclopaedic", "narrative")
    names = sorted(score.retention_set for score in stage.report_scores)
    assert names == [*(f"gauge-{kind}" for kind in kinds), "general"]
    choice = next(d for d in await client.decisions(run_id) if d.verdict == res.VERDICT_INTERPOLATE)
    assert (choice.stage, choice.step) == ("midtrain/code", 100)
    assert choice.forgetting > 0.4, "the result's raw score"
    assert 0 < choice.projected < choice.threshold == 0.10
    assert [p.point for p in choice.points] == [0.0, *POINTS, 1.0]
    assert not choice.points[0].HasField("forgetting"), "of the parent only the target is asked"
    losses = [p.target_loss_nats for p in choice.points]
    assert losses == sorted(losses, reverse=True)
    assert "0.4 is taken" in choice.message
    accept = next(d for d in await client.decisions(run_id) if d.number > choice.number)
    assert (accept.verdict, accept.stage) == (res.VERDICT_ACCEPT, "midtrain/code")
    lineage = {c.ref.manifest_sha256: c for c in await client.lineage(run_id)}
    accepted = lineage[stage.accepted.manifest_sha256]
    assert accepted.state == res.CHECKPOINT_STATE_ACCEPTED
    assert lineage[accepted.parent].id.endswith("/step-000000100")
    chat = next(c for c in lineage.values() if c.stage == "finetune" and c.ref.step == 10)
    assert chat.parent == stage.accepted.manifest_sha256, "the next stage grows from the point"


async def test_an_orchestrator_that_dies_between_choice_and_checkpoint_continues_there(tmp_path: Path) -> None:
    database, store, simulated = (
        f"sqlite:///{tmp_path / 'retain.db'}",
        FakeObjectStore(),
        SimulatedTraining(strength=0.03),
    )
    evaluator, port = FakeEvaluator(simulated), 0
    launcher = FakeLauncher(lambda: f"127.0.0.1:{port}", simulated, store)
    first = Platform(database, simulated=simulated, store=store, launcher=launcher, evaluator=evaluator)
    port = await first.start()
    evaluator.refuse_points = True
    async with aio_channel(f"127.0.0.1:{port}") as channel:
        client = Client(first, channel)
        run_id = (await client.create(forgetful_spec())).id
        for _ in range(2000):
            verdicts = [d.verdict for d in await client.decisions(run_id)]
            if res.VERDICT_INTERPOLATE in verdicts:
                break
            await asyncio.sleep(0.02)
        before = len(verdicts)
    await first.stop(workers=False)
    evaluator.refuse_points = False
    second = Platform(
        database, simulated=simulated, store=store, launcher=launcher, evaluator=evaluator, bind=f"127.0.0.1:{port}"
    )
    await second.start()
    async with aio_channel(f"127.0.0.1:{port}") as channel:
        client = Client(second, channel)
        ended = await client.end(run_id)
        assert ended.status.state == res.RUN_STATE_SUCCEEDED
        await _the_code_stage_ended_on_its_line(client, run_id, ended)
        choices = [d for d in await client.decisions(run_id) if d.verdict == res.VERDICT_INTERPOLATE]
        assert choices[0].number == before, "chosen once, and not again after the restart"
        assert len({d.stage for d in choices}) == len(choices)
    await second.stop()
