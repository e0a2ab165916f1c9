"""Every score says what its gauge can resolve: measured once for a shape and a set, and never at the verdict's cost."""

import math

import pytest
import torch

from model.evaluation.perplexity import evaluate_set
from retain.values import EvaluationState, SetUse
from services.common.errors import FailedPrecondition, Unavailable
from services.evaluator.domain.request import Model
from tests.unit.services.evaluator.builders import digest, request, set_ref
from tests.unit.services.evaluator.harness import Harness, ended
from tests.unit.services.evaluator.torch_harness import TorchHarness, tiny_model

LINE = 'retain_forgetting_floor_ratio{retention_set="general",run="r1",stage="midtrain/code"}'


async def test_a_score_carries_its_floor_in_its_own_unit(harness: Harness):
    harness.measurer.floor_nats = 0.01
    async with harness.serving() as service:
        await service.create("e1", request())
        score = (await ended(service, "e1")).scores[0]
        assert score.floor_ratio == pytest.approx(0.010050167)  # e ** 0.01 - 1
        assert f"{LINE} 0.01005" in harness.metrics()
        assert (await service.history("r1", None))[0].scores[0].floor_ratio == score.floor_ratio


async def test_it_is_measured_against_the_baseline_once_for_each_set_also_after_a_restart(harness: Harness):
    sets = (set_ref("general"), set_ref("general", use=SetUse.REPORT))
    async with harness.serving() as service:
        for number, model in enumerate(("now", "good", "now")):
            await service.create(f"e{number}", request(model, sets=sets, step=number))
            await ended(service, f"e{number}")
    async with harness.serving() as service:
        await service.create("later", request("good", run="r2", sets=sets))
        await ended(service, "later")
    assert harness.measurer.floors == [(digest("base"), "general")] * 2  # the control and the report set


async def test_the_first_floor_stays_whatever_a_second_measurement_would_say(harness: Harness):
    async with harness.serving() as service:
        await service.create("e1", request())
        first = (await ended(service, "e1")).scores[0].floor_ratio
        harness.measurer.floor_nats = 0.5
        await service.create("e2", request(run="r2"))
        assert (await ended(service, "e2")).scores[0].floor_ratio == first


async def test_a_floor_that_cannot_be_measured_costs_no_verdict(harness: Harness):
    harness.measurer.floor_faults = [FailedPrecondition("no", reason="TOKENIZER")]
    async with harness.serving() as service:
        await service.create("e1", request())
        found = await ended(service, "e1")
        assert (found.state, found.scores[0].floor_ratio) == (EvaluationState.SUCCEEDED, None)
        assert found.scores[0].ratio == pytest.approx(0.10)
        assert LINE not in harness.metrics()
        await service.create("e2", request("good"))
        assert (await ended(service, "e2")).scores[0].floor_ratio == pytest.approx(1e-6, rel=1e-3)
        assert LINE in harness.metrics()


async def test_a_store_that_is_away_is_waited_for(harness: Harness):
    harness.measurer.floor_faults = [Unavailable("away")]
    async with harness.serving() as service:
        await service.create("e1", request())
        assert (await ended(service, "e1")).scores[0].floor_ratio is not None


async def test_a_broken_model_is_no_less_broken_for_its_floor(harness: Harness):
    async with harness.serving() as service:
        await service.create("e1", request("nan"))
        score = (await ended(service, "e1")).scores[0]
        assert score.ratio == math.inf
        assert score.floor_ratio is not None


def test_real_repeats_cover_a_model_that_is_measured_in_another_way(tmp_path):
    here = TorchHarness(tmp_path)
    ref, general = here.put("base", tiny_model(0)), here.put_set("general")
    model = Model(checkpoint=ref)
    threads = torch.get_num_threads()
    floor = here.measurer.floor(model, general)
    assert torch.get_num_threads() == threads
    assert floor == here.measurer.floor(model, general)
    assert 0.0 < floor.ratio < 1e-4
    first = here.measurer.measure(model, general)
    assert here.measurer.measure(model, general) == first  # every bit
    for rows in (1, 2, 3):
        again = evaluate_set(here.measurer.weights(model), here.files.eval_set(general), batch_rows=rows)
        assert abs(math.expm1(again.loss_nats - first.loss_nats)) <= floor.ratio


def test_a_shape_is_that_of_the_sizes_and_not_of_the_weights(tmp_path):
    here = TorchHarness(tmp_path)
    one, two = (Model(checkpoint=here.put(f"m{seed}", tiny_model(seed))) for seed in (0, 1))
    assert here.measurer.shape(one) == here.measurer.shape(two)
    assert here.measurer.identify(one) != here.measurer.identify(two)
    assert here.measurer.method() in here.measurer.floor_method()
