"""The history of a stage begins with the base before training, measured once, whatever happens in between."""

import pytest

from retain.values import EvaluationState, SetRole, SetUse
from services.common.errors import CheckpointDamaged, FailedPrecondition, Unavailable
from tests.unit.services.evaluator.builders import digest, request, set_ref
from tests.unit.services.evaluator.harness import Harness, ended

SETS = (set_ref("general"), set_ref("code", SetRole.TARGET), set_ref("general", use=SetUse.REPORT))


async def test_the_first_row_is_the_base_for_target_and_retained_sets(harness: Harness):
    async with harness.serving() as service:
        for step, model in ((50, "now"), (100, "good")):
            await service.create(f"e{step}", request(model, sets=SETS, base="base", step=step))
            await ended(service, f"e{step}")
        rows = await service.history("r1", None)
    assert [(row.baseline, row.step) for row in rows] == [(True, 0), (False, 50), (False, 100)]
    first = rows[0]
    assert [(r.set.name, r.set.use, r.loss_nats) for r in first.results] == [
        ("general", SetUse.CONTROL, pytest.approx(1.5)),
        ("code", SetUse.CONTROL, pytest.approx(1.5)),
    ]
    assert [(s.retention_set, s.ratio) for s in first.scores] == [("general", 0.0)]
    assert not harness.history.load("r1")[0].exported
    asked = [name for weights, name in harness.measurer.measured if weights == digest("base")]
    assert sorted(asked) == ["code", "general", "general"]  # once for each set: control twice, the report's baseline


async def test_each_stage_has_one_also_after_a_restart_and_a_rollback(harness: Harness):
    for number, (stage, attempt) in enumerate((("midtrain/code", 1), ("midtrain/code", 2), ("finetune", 1))):
        async with harness.serving() as service:
            asked = request("good", stage=stage, base="base", attempt=attempt, step=10)
            await service.create(f"e{number}", asked)
            await ended(service, f"e{number}")
            rows = await service.history("r1", None)
    assert [(row.stage, row.baseline, row.attempt) for row in rows] == [
        ("midtrain/code", True, 1),
        ("midtrain/code", False, 1),
        ("midtrain/code", False, 2),
        ("finetune", True, 1),
        ("finetune", False, 1),
    ]


async def test_a_history_of_before_gets_it_at_its_stages_beginning(harness: Harness):
    async with harness.serving() as service:
        await service.create("e1", request(step=10))
        await ended(service, "e1")
        await service.create("e2", request("good", base="base", step=20))
        await ended(service, "e2")
        assert [row.step for row in await service.history("r1", None)] == [0, 10, 20]


@pytest.mark.parametrize("fault", [FailedPrecondition("another tokenizer"), CheckpointDamaged("cut")])
async def test_a_base_that_cannot_be_measured_costs_no_verdict(harness: Harness, fault: Exception):
    harness.measurer.faults = [fault]
    async with harness.serving() as service:
        await service.create("e1", request(base="nan-base", baseline="base"))
        assert (await ended(service, "e1")).state is EvaluationState.SUCCEEDED
        assert [row.baseline for row in await service.history("r1", None)] == [False]


async def test_a_store_that_is_away_meanwhile_costs_a_wait_and_no_row(harness: Harness):
    harness.measurer.faults = [Unavailable("away")]
    async with harness.serving() as service:
        await service.create("e1", request(base="base"))
        await ended(service, "e1")
        assert [row.baseline for row in await service.history("r1", None)] == [True, False]


async def test_the_base_is_no_other_request_and_no_interpolation_has_one(harness: Harness):
    async with harness.serving() as service:
        await service.create("e1", request())
        await service.create("e1", request(base="base"))
        await service.create("e2", request(weight=0.5, base="base", run="r2", export=False))
        harness.measurer.losses[(await ended(service, "e1")).request.checkpoint.weights_digest] = 1.5
        await ended(service, "e2")
        assert await service.history("r2", None) == []
