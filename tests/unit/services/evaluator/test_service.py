"""The evaluator's application: measured once, taken up after a restart, patient with the store, never silent."""

import math

import pytest

from retain.values import EvaluationState, SetRole, SetUse
from services.common.errors import AlreadyExists, FailedPrecondition, NotFound, Unavailable
from services.evaluator.adapters.persistence.object_store_repository import measurement_key
from services.evaluator.application.ports import MeasurementName
from tests.unit.services.evaluator.builders import digest, request, set_ref
from tests.unit.services.evaluator.harness import METHOD, Harness, ended


async def test_a_request_is_evaluated_and_its_states_are_seen_in_order(harness: Harness):
    async with harness.serving() as service:
        created = await service.create("e1", request())
        seen = [evaluation.state async for evaluation in service.watch("e1", created.sequence - 1)]
        found = await service.get("e1")
        assert seen[-1] is EvaluationState.SUCCEEDED
        assert found.scores[0].ratio == pytest.approx(0.10)
        assert found.scores[0].ratio_low == pytest.approx(0.10)  # every unit lost the same: no spread
        assert (
            'retain_forgetting_ratio{retention_set="general",run="r1",stage="midtrain/code"} 0.1' in harness.metrics()
        )


async def test_the_baseline_and_the_result_are_measured_once_for_all_requests(harness: Harness):
    async with harness.serving() as service:
        for number in range(3):
            await service.create(f"e{number}", request())
            await ended(service, f"e{number}")
        assert sorted(harness.measurer.measured) == sorted([(digest("now"), "general"), (digest("base"), "general")])


async def test_the_same_id_is_the_same_evaluation_and_another_request_is_refused(harness: Harness):
    async with harness.serving() as service:
        first = await service.create("e1", request())
        assert (await service.create("e1", request())).create_time_s == first.create_time_s
        with pytest.raises(AlreadyExists):
            await service.create("e1", request("good"))
        await ended(service, "e1")
        assert (await service.create("e1", request())).state is EvaluationState.SUCCEEDED
        with pytest.raises(AlreadyExists):
            await service.create("e1", request("good"))
        with pytest.raises(NotFound):
            await service.get("e2")


async def test_what_was_left_unfinished_is_taken_up_by_the_next_process(harness: Harness):
    harness.measurer.gate.clear()
    async with harness.serving() as first:
        before = await first.create("e1", request())
        await first.create("e2", request("good"))
    harness.measurer.gate.set()
    async with harness.serving() as second:
        assert (await ended(second, "e1")).sequence > before.sequence
        assert (await ended(second, "e2")).scores[0].ratio == 0.0
        assert len(await second.history("r1", None)) == 2
    assert not [key for key in harness.store.objects if key.startswith("evaluator/unfinished/")]


async def test_a_store_that_is_away_is_waited_for_and_a_fault_fails_only_its_evaluation(harness: Harness):
    harness.measurer.faults = [Unavailable("away"), Unavailable("away"), FailedPrecondition("no", reason="TOKENIZER")]
    async with harness.serving() as service:
        await service.create("e1", request())
        failed = await ended(service, "e1")
        assert (failed.state, failed.error_reason) == (EvaluationState.FAILED, "TOKENIZER")
        await service.create("e2", request())
        assert (await ended(service, "e2")).state is EvaluationState.SUCCEEDED
        assert 'retain_evaluations_total{outcome="failed"} 1.0' in harness.metrics()


async def test_a_broken_model_is_told_as_infinitely_bad_and_the_history_stays_json(harness: Harness):
    async with harness.serving() as service:
        await service.create("e1", request("nan"))
        found = await ended(service, "e1")
        assert found.state is EvaluationState.SUCCEEDED
        assert found.scores[0].ratio == math.inf
        assert math.isnan(found.results[0].nats)
        assert 'stage="midtrain/code"} +Inf' in harness.metrics()
        assert b"NaN" not in harness.store.objects["history/r1.json"]
        assert (await service.history("r1", None))[0].scores[0].ratio == math.inf


async def test_metrics_show_control_sets_of_the_present_stage_only(harness: Harness):
    async with harness.serving() as service:
        sets = (set_ref("general"), set_ref("general", use=SetUse.REPORT), set_ref("code", SetRole.TARGET))
        await service.create("e1", request(sets=sets))
        await service.create("e2", request("good", sets=sets, stage="finetune"))
        await service.create("e3", request(run="r2", export=False))
        await service.create("e4", request(run="r3", weight=0.0))
        for name in ("e1", "e2", "e3", "e4"):
            await ended(service, name)
        text = harness.metrics()
        assert 'retain_perplexity{role="target",run="r1",set="code",stage="finetune"}' in text
        assert 'run="r1",stage="midtrain/code"' not in text
        assert 'run="r2"' not in text
        assert await service.history("r3", None) == []  # a point of a line is no part of the history


async def test_gauges_return_after_a_restart_and_go_some_minutes_after_the_run(harness: Harness):
    async with harness.serving() as service:
        await service.create("e1", request())
        await service.create("e2", request(run="gone"))
        await ended(service, "e1")
        await ended(service, "e2")
    harness.service()  # a new process
    retention = harness.retention(r1=False, gone=True)
    retention.restore()
    line = 'retain_forgetting_ratio{retention_set="general",run="r1",stage="midtrain/code"}'
    assert line in harness.metrics()
    assert 'run="gone"' not in harness.metrics()
    retention = harness.retention(r1=True)
    retention.sweep()
    assert line in harness.metrics()
    harness.now_s += 601
    retention.sweep()
    assert line not in harness.metrics()


async def test_while_the_orchestrator_is_away_the_gauges_stay_for_a_day(harness: Harness):
    async with harness.serving() as service:
        await service.create("e1", request())
        await ended(service, "e1")
    retention = harness.retention()
    for hours in (0, 23):
        harness.now_s += hours * 3600
        retention.sweep()
    assert 'run="r1"' in harness.metrics()
    harness.now_s += 2 * 3600
    retention.sweep()
    harness.now_s += 601
    retention.sweep()
    assert 'run="r1"' not in harness.metrics()


async def test_a_damaged_result_is_measured_again_and_a_damaged_history_is_put_aside(harness: Harness):
    async with harness.serving() as service:
        name = MeasurementName(weights_digest=digest("now"), set_digest=set_ref("general").digest, method=METHOD)
        harness.store.put_bytes(measurement_key(name), b'{"version": 2}')
        harness.store.put_bytes("history/r1.json", b"not json")
        await service.create("e1", request())
        assert (await ended(service, "e1")).scores[0].ratio == pytest.approx(0.10)
        assert len(await service.history("r1", None)) == 1
    aside = {key: data for key, data in harness.store.objects.items() if key.startswith("evaluator/damaged/")}
    assert sorted(aside.values()) == [b"not json", b'{"version": 2}']
    assert 'retain_evaluator_unreadable_documents_total{kind="history"} 1.0' in harness.metrics()
    assert 'retain_evaluator_unreadable_documents_total{kind="result"} 1.0' in harness.metrics()
