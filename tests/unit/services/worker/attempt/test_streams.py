"""The worker that prepares counts what the worker that trains will draw."""

from pathlib import Path

import pytest

from model.dataloader.passes import Passes
from retain.types.v1 import spec_pb2
from services.worker.attempt.streams import measure_length, open_stream
from tests.unit.model.data_helpers import make_shard, numbered

CONTEXT, ROWS = 64, 4


def spec_of(*, curriculum: int = 0, **duration: float) -> spec_pb2.PipelineSpec:
    stage = spec_pb2.StageSpec(
        kind=spec_pb2.STAGE_KIND_MIDTRAIN,
        duration=spec_pb2.DurationSpec(**duration),
        batch=spec_pb2.BatchSpec(sequences=ROWS),
        curriculum=spec_pb2.CurriculumSpec(strategy=curriculum, levels=3),
    )
    return spec_pb2.PipelineSpec(seed=7, model=spec_pb2.ModelSpec(preset="nano", context=CONTEXT), stages=[stage])


@pytest.fixture
def shards(tmp_path: Path):
    lengths = [20 + 7 * i % 40 for i in range(120)]
    chat = make_shard(tmp_path / "chat", numbered(lengths), masks=[[0] * 8 + [1] * (n - 8) for n in lengths])
    text = make_shard(tmp_path / "code", numbered(lengths), difficulties=[1 + i % 40 / 10 for i in range(120)])
    general = make_shard(tmp_path / "general", numbered([30] * 50, start=30_000))
    return {"chat": chat, "code": text, "general": general}


@pytest.mark.parametrize("target", ["chat", "code"])
def test_the_steps_of_epochs_are_those_after_which_the_target_is_through(shards, target) -> None:
    spec, used = spec_of(epochs=2), {name: shards[name] for name in (target, "general")}
    beats: list[int] = []
    steps, passes = measure_length(spec, 0, used, target=target, shares={"general": 0.2}, beat=lambda: beats.append(1))
    assert passes == Passes(least=2, median=2, most=2)
    stream = open_stream(spec, 0, used, target=target, shares={"general": 0.2}, context=CONTEXT)
    for _ in range(steps):
        assert not stream.target_finished
        stream.next_batch()
    assert stream.target_finished


def test_a_curriculum_without_the_promise_has_the_steps_of_random_order_and_tells_its_passes(shards) -> None:
    used = {name: shards[name] for name in ("code", "general")}
    random, whole = measure_length(spec_of(epochs=3), 0, used, target="code", shares={"general": 0.1})
    paced = spec_of(epochs=3, curriculum=spec_pb2.CURRICULUM_STRATEGY_COMPETENCE)
    steps, passes = measure_length(paced, 0, used, target="code", shares={"general": 0.1})
    assert (steps, whole) == (random, Passes(least=3, median=3, most=3))
    assert passes is not None
    assert passes.least < 3 < passes.most
    unknown = spec_of(epochs=3, curriculum=spec_pb2.CURRICULUM_STRATEGY_SELF_PACED)
    assert measure_length(unknown, 0, used, target="code", shares={"general": 0.1}) == (random, None)


def test_without_epochs_there_are_no_steps_to_count(shards) -> None:
    used = {"code": shards["code"]}
    tokens = 60 * CONTEXT * ROWS
    in_tokens = spec_of(tokens=tokens, curriculum=spec_pb2.CURRICULUM_STRATEGY_STAGED)
    in_steps = spec_of(steps=60, curriculum=spec_pb2.CURRICULUM_STRATEGY_STAGED)
    said = measure_length(in_tokens, 0, used, target="code", shares={})
    assert said == measure_length(in_steps, 0, used, target="code", shares={})
    assert said[0] == 0
    assert said[1] is not None
    assert said[1].least <= 60 * CONTEXT * ROWS / used["code"].meta.tokens <= said[1].most
