"""The plan's costs, from a real database: assumed at first, measured once a run has measured."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from model.nn.config import preset
from retain.mapper import to_message
from retain.orchestrator.v1 import orchestrator_service_pb2 as pb
from retain.orchestrator.v1 import resources_pb2 as res
from retain.types.v1 import spec_pb2
from retain.values import ModelSpec
from services.common.errors import InvalidInput
from services.orchestrator.adapters.codec import dumps
from services.orchestrator.domain.run.state import Costs, LastFigures
from services.orchestrator.domain.spec.teacher import Memory
from services.orchestrator.transport.orchestrator_servicer import OrchestratorServicer
from tests.scenarios.builders import prepared
from tests.unit.services.orchestrator.offline import Offline
from tests.unit.services.orchestrator.specs import MIDTRAIN, spec

PARAMETERS = preset("nano", vocab_size=4096).parameter_count()


@pytest.fixture
async def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Offline]:
    offline = Offline(tmp_path, monkeypatch)
    await offline.app.reconciler.start()
    yield offline
    await offline.close()


async def plan_of(offline: Offline, wanted=None) -> res.PipelinePlan:
    servicer = OrchestratorServicer(offline.app.runs, *[None] * 4)  # type: ignore[arg-type]  # nobody asks the others
    request = pb.ValidatePipelineSpecRequest(spec=to_message(wanted or spec(), spec_pb2.PipelineSpec))
    reply = await servicer.ValidatePipelineSpec(request, None)
    assert not reply.violations
    return reply.plan


async def test_before_any_run_the_plan_names_what_it_assumes(offline: Offline) -> None:
    plan = await plan_of(offline)
    assert plan.parameters == PARAMETERS
    costs = [stage.boundary_cost for stage in plan.stages]
    assert [stage.HasField("boundary_cost") for stage in plan.stages] == [True, True, False]  # epochs: not known yet
    assert costs[0].checkpoint_bytes == 12 * PARAMETERS
    assert any("store assumed" in line for line in costs[0].basis)
    assert costs[1].training_seconds == pytest.approx(costs[0].training_seconds / 2, rel=0.01)  # half of the tokens


async def test_once_a_run_has_measured_the_plan_rests_on_that(offline: Offline) -> None:
    state = await offline.app.runs.create(spec(), "", digest="d")
    state = await offline.app.run_store.get(state.id)
    stage = replace(
        state.stages[0],
        last=LastFigures(pace=1000.0),
        costs=Costs(upload_s=2.0, upload_bytes=4_000_000, evaluation_s=10.0, evaluation_tokens=20_000),
    )
    measured = replace(state.with_stage(stage), prepared=replace(prepared(state), parameters=PARAMETERS))
    offline.spoil(state.id, dumps(measured))
    cost = (await plan_of(offline)).stages[0].boundary_cost
    assert cost.training_seconds == pytest.approx(2000.0, rel=0.002)  # 2 million tokens in whole steps, 1,000 a second
    assert cost.upload_seconds == pytest.approx(12 * PARAMETERS / 2e6)  # 4 MB in 2 s
    assert cost.evaluation_seconds == pytest.approx(cost.evaluation_tokens / 2000)
    assert list(cost.basis)[:3] == [
        "training speed measured in earlier runs",
        "evaluation speed measured in earlier runs",
        "store measured: 2 MB/s",
    ]


async def test_the_size_of_an_imported_model_is_read_from_its_config(offline: Offline, tmp_path: Path) -> None:
    config = {"hidden_size": 576, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3}
    config |= {"intermediate_size": 1536, "vocab_size": 49_152, "tie_word_embeddings": True}
    (tmp_path / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 2048}))
    wanted = spec(model=ModelSpec(huggingface=f"file://{tmp_path}"))
    wanted = replace(
        wanted,
        tokenizer=replace(wanted.tokenizer, train=None),
        stages=(replace(MIDTRAIN, data=replace(MIDTRAIN.data, general="sample://docs")),),
    )
    plan = await plan_of(offline, wanted)
    assert plan.parameters == 134_515_008
    assert plan.stages[0].boundary_cost.checkpoint_bytes == 12 * 134_515_008
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 2048}')
    unknown = await plan_of(offline, wanted)
    assert (unknown.parameters, unknown.stages[0].HasField("boundary_cost")) == (0, False)


async def test_the_plan_says_what_a_stage_needs_and_what_is_not_known(offline: Offline) -> None:
    offline.app.runs.memory = Memory(slot_bytes=8 * 10**9)
    needs = [stage.needs for stage in (await plan_of(offline)).stages]
    assert needs[0].memory.weights_bytes == 4 * PARAMETERS
    assert needs[0].memory_limit_bytes == 8 * 10**9
    assert needs[0].training_flops > needs[1].training_flops > 0
    assert [list(need.unknown) for need in needs[:2]] == [[], []]
    assert "duration.tokens" in needs[2].unknown[0]  # epochs


async def test_what_cannot_fit_is_refused_with_what_would_make_it_fit(offline: Offline) -> None:
    """By validation and by creation alike; an operator who says nothing of memory refuses nothing."""
    wanted = spec(model=ModelSpec(preset="1b"))
    offline.app.runs.memory = Memory(slot_bytes=10**9)
    servicer = OrchestratorServicer(offline.app.runs, *[None] * 4)  # type: ignore[arg-type]  # nobody asks the others
    request = pb.ValidatePipelineSpecRequest(spec=to_message(wanted, spec_pb2.PipelineSpec))
    reply = await servicer.ValidatePipelineSpec(request, None)
    assert not reply.HasField("plan")
    assert [fault.field for fault in reply.violations] == ["stages[0]", "stages[1]", "stages[2]"]
    assert "pretrain needs " in reply.violations[0].description
    assert "a worker has 1.0 GB; it would fit with compute.cpus_per_worker: " in reply.violations[0].description
    with pytest.raises(InvalidInput, match="midtrain/code needs"):
        await offline.app.runs.create(wanted, "", digest="d")
    offline.app.runs.memory = Memory()
    assert (await servicer.ValidatePipelineSpec(request, None)).HasField("plan")
