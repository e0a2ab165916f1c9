"""A stage that replays what its base writes: a real object store, the keys of its run, down to the lineage."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from model.checkpointing.checkpoint import Manifest
from model.self_replay import writing
from model.training.distillation import Distillation
from retain.mapper import to_message, to_value
from retain.types.v1 import spec_pb2
from retain.values import PipelineSpec
from services.common.store.object_store import key_of
from services.orchestrator.domain.spec.defaults import fill
from services.worker.attempt import build_job
from tests.contract.object_store_servers import Server, minio_server, running
from tests.fakes.stage_control import FakeStageControl, StagePlan
from tests.integration.worker.harness import CONTEXT, connect, orchestrator, point_worker_at, work

pytestmark = pytest.mark.integration
BUCKET = "retain"


@pytest.fixture(scope="module")
def server(shared_tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(minio_server(tmp_path_factory.mktemp("minio"), shared_tools)) as server:
        yield server


def adapted(model: Path) -> spec_pb2.PipelineSpec:
    """A model of stories that is taught mathematics, and replays stories of its own."""
    spec = spec_pb2.PipelineSpec(name="adapted")
    spec.model.huggingface, spec.model.context = str(model), CONTEXT
    spec.evaluation.tokens_per_set = 1_000
    stage = spec.stages.add(kind=spec_pb2.STAGE_KIND_MIDTRAIN, domain=spec_pb2.DOMAIN_MATH, learning_rate=1e-3)
    stage.data.domain, stage.data.general = "sample://math?documents=400", "self://bos"
    stage.duration.steps, stage.batch.sequences = 8, 4
    filled = to_message(fill(to_value(spec, PipelineSpec)), spec_pb2.PipelineSpec)
    filled.stages[0].data.sampling.tokens = 3_000
    # As it is filled in where the memory of the workers is known.
    filled.stages[0].penalty.distill, filled.stages[0].penalty.distill_alone = 4.0, True
    return filled


def test_what_the_base_writes_is_trained_on_and_named_in_the_manifest(
    server: Server, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "BLOCK", 16)
    teachers = list[dict[str, Any]]()
    monkeypatch.setattr(
        build_job, "Distillation", lambda parent, **how: teachers.append(how) or Distillation(parent, **how)
    )
    store = connect(server, BUCKET)
    sources = {"math": "sample://math?documents=400", "general": "self://bos"}
    plan = StagePlan(name="midtrain/math", target="math", sources=sources, shares={"general": 0.25})
    control = FakeStageControl(adapted(shared_data / "models" / "stories260K-hf"), [plan])
    with orchestrator(control):
        work(point_worker_at(monkeypatch, endpoint=server.endpoint, bucket=BUCKET, control=control, cache=tmp_path))
    assert not control.failed, control.ended
    assert teachers == [{"strength": 4.0, "alone": ("general",)}]
    assert control.prepared is not None
    (told,) = control.prepared.sampled
    assert told.tokens >= 3_000
    assert told.parent == control.prepared.base.weights_digest
    lines = [info.key for info in store.list(f"{key_of(store, told.uri)}/") if info.key.endswith(".jsonl")]
    stories = [json.loads(line)["text"] for key in lines for line in store.get_bytes(key).decode().splitlines()]
    assert sum("once upon a time" in story.lower() for story in stories) > len(stories) / 4
    assert len(control.checkpoints[0]) == 2
    last = Manifest.from_bytes(store.get_bytes(f"{key_of(store, control.accepted(0).uri)}/manifest.json"))
    (named,) = last.sampled
    assert (named["digest"], named["prompts"], named["temperature"]) == (told.digest, "bos", 1.0)
