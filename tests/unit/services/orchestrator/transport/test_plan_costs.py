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
from services.orchestrator.adapters.codec import dumps
from services.orchestrator.domain.run.state import Costs, LastFigures
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
