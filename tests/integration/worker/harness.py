"""A worker's surroundings for tests: a small pipeline, a real object store, a scripted orchestrator, a cache folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from retain.mapper import to_message, to_value
from retain.types.v1 import spec_pb2
from retain.values import PipelineSpec
from services.common.store.minio_store import OWN_KEYS, MinioStore
from services.common.store.narrow_access import NarrowAccess
from services.common.store.policies import run_policy
from services.orchestrator.domain.spec.defaults import fill
from services.worker import leaving
from services.worker.assignment_loop import WorkerConfig, work_loop
from tests.contract.object_store_servers import ACCESS_KEY, SECRET_KEY, Server
from tests.fakes.stage_control import FakeStageControl, StagePlan

CONTEXT, SEQUENCES = 64, 4


def small_spec(*, stages: int = 2, seed: int = 0) -> spec_pb2.PipelineSpec:
    """Pre-training on science texts, mid-training on mathematics with general replay; nano, a few steps each."""
    spec = spec_pb2.PipelineSpec(name="small", seed=seed)
    spec.model.preset, spec.model.context = "nano", CONTEXT
    spec.tokenizer.train.vocab_size = 512
    spec.evaluation.tokens_per_set = 2_000
    first = spec.stages.add(kind=spec_pb2.STAGE_KIND_PRETRAIN, learning_rate=3e-3)
    first.data.general = "sample://science"
    second = spec.stages.add(kind=spec_pb2.STAGE_KIND_MIDTRAIN, domain=spec_pb2.DOMAIN_MATH, learning_rate=1e-3)
    second.data.domain, second.data.general = "sample://math", "sample://science"
    filled = fill(to_value(spec, PipelineSpec))
    for stage, defaults in zip(spec.stages, filled.stages, strict=True):
        stage.batch.sequences = SEQUENCES
        stage.data.max_tokens = 60_000
        # A worker takes what the orchestrator filled in and has no defaults of its own.
        stage.schedule.CopyFrom(to_message(defaults.schedule, spec_pb2.ScheduleSpec))
        stage.optimizer.CopyFrom(to_message(defaults.optimizer, spec_pb2.OptimizerSpec))
    del spec.stages[stages:]
    return spec


def small_stages(count: int = 2) -> list[StagePlan]:
    general = {"general": "sample://science"}
    both = {"math": "sample://math", **general}
    return [
        StagePlan(name="pretrain", target="general", sources=general),
        StagePlan(name="midtrain/math", target="math", sources=both, shares={"general": 0.25}),
    ][:count]


def connect(server: Server, bucket: str) -> MinioStore:
    store = MinioStore(server.endpoint, bucket, access_key=ACCESS_KEY, secret_key=SECRET_KEY, patience_s=60)
    store.ensure_bucket()
    return store


@contextmanager
def orchestrator(control: FakeStageControl) -> Iterator[FakeStageControl]:
    control.start()
    try:
        yield control
    finally:
        control.stop()


def point_worker_at(
    monkeypatch: pytest.MonkeyPatch, *, endpoint: str, bucket: str, control: FakeStageControl, cache: Path
) -> WorkerConfig:
    """Set the environment that a worker reads, and give it its configuration. It has keys of its run alone."""
    access = NarrowAccess(endpoint, access_key=ACCESS_KEY, secret_key=SECRET_KEY)
    control.issue_keys = lambda: access.issue(run_policy(bucket, "r1"), "r1")
    for name in OWN_KEYS:
        monkeypatch.delenv(name, raising=False)
    environment = {
        "RETAIN_S3_ENDPOINT": endpoint,
        "RETAIN_S3_BUCKET": bucket,
        "RETAIN_SERVER": f"127.0.0.1:{control.port}",
        "RETAIN_CACHE": str(cache),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return WorkerConfig(run_id="r1", submission=control.submission, threads=1, token="t" * 43, cache=cache)


def work(config: WorkerConfig) -> None:
    """The train function, in this process and without Ray. What was told to leave before is forgotten."""
    leaving.PROCESS.reset()
    work_loop(config.as_dict())
