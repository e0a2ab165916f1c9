"""From the wire to the torch core: what the orchestrator filled in, and no defaults beside it."""

import pytest

from model.data.roles import domain_options, role_options
from model.dataloader.curriculum import Strategy
from model.errors import BadConfig
from model.training.acceleration import Acceleration
from model.training.job import Verdict
from model.training.lr_schedule import ScheduleKind
from retain.mapper import to_message, to_value
from retain.orchestrator.v1 import resources_pb2
from retain.orchestrator.v1 import stage_control_service_pb2 as pb
from retain.types.v1 import spec_pb2
from retain.values import PipelineSpec
from services.orchestrator.domain.spec.defaults import fill
from services.worker.attempt import convert
from services.worker.main import parse
from services.worker.preparation.data_sources import stage_text


def stage(kind: int, **fields) -> spec_pb2.StageSpec:
    return spec_pb2.StageSpec(kind=kind, learning_rate=1e-3, **fields)


def filled(said: spec_pb2.StageSpec) -> spec_pb2.StageSpec:
    """As a worker gets it: with the orchestrator's defaults."""
    made = fill(to_value(spec_pb2.PipelineSpec(stages=[said]), PipelineSpec))
    return to_message(made, spec_pb2.PipelineSpec).stages[0]


PRETRAIN, MIDTRAIN = spec_pb2.STAGE_KIND_PRETRAIN, spec_pb2.STAGE_KIND_MIDTRAIN


def test_a_zero_that_was_said_is_a_zero() -> None:
    said = spec_pb2.ScheduleSpec(kind=spec_pb2.SCHEDULE_KIND_WSD, warmup=0.0, floor=0.0, decay=0.5)
    made = convert.schedule(stage(PRETRAIN, schedule=said), 100)
    assert (made.kind, made.warmup, made.floor, made.decay) == (ScheduleKind.WSD, 0.0, 0.0, 0.5)
    plain = stage(PRETRAIN, optimizer=spec_pb2.OptimizerSpec(weight_decay=0.0))
    assert convert.optimizer(filled(plain)).weight_decay == 0.0


def test_what_the_orchestrator_filled_in_is_taken_as_it_is() -> None:
    first, later = filled(stage(PRETRAIN)), filled(stage(MIDTRAIN, domain=spec_pb2.DOMAIN_MATH))
    shapes = [convert.schedule(one, 100) for one in (first, later)]
    assert [(one.kind, one.warmup, one.floor, one.decay) for one in shapes] == [
        (ScheduleKind.COSINE, 0.05, 0.1, 0.2),
        (ScheduleKind.LINEAR, 0.05, 0.0, 0.2),
    ]
    adam = convert.optimizer(first)
    assert (adam.weight_decay, adam.beta1, adam.beta2, adam.clip) == (0.1, 0.9, 0.95, 1.0)
    assert convert.rows(first) == 16
    assert convert.lora_alpha(filled(stage(MIDTRAIN, lora=spec_pb2.LoraSpec(rank=4)))) == 8


def test_what_is_missing_is_an_error_and_has_no_second_default() -> None:
    bare = stage(MIDTRAIN, curriculum=spec_pb2.CurriculumSpec(strategy=spec_pb2.CURRICULUM_STRATEGY_STAGED))
    shape = spec_pb2.ScheduleSpec(kind=spec_pb2.SCHEDULE_KIND_COSINE, warmup=0.1, floor=0.1)
    half = stage(MIDTRAIN, schedule=shape, optimizer=spec_pb2.OptimizerSpec(weight_decay=0.1, beta1=0.9, beta2=0.95))
    for field, made in (
        ("schedule.kind", lambda: convert.schedule(bare, 100)),
        ("schedule.decay", lambda: convert.schedule(half, 100)),
        ("optimizer.weight_decay", lambda: convert.optimizer(bare)),
        ("optimizer.clip", lambda: convert.optimizer(half)),
        ("batch.sequences", lambda: convert.rows(bare)),
        ("curriculum.levels", lambda: convert.curriculum(bare)),
        ("lora.alpha", lambda: convert.lora_alpha(bare)),
    ):
        with pytest.raises(BadConfig, match=field):
            made()


def test_curricula() -> None:
    assert convert.curriculum(stage(MIDTRAIN)) is None
    staged = spec_pb2.CurriculumSpec(strategy=spec_pb2.CURRICULUM_STRATEGY_STAGED)
    made = convert.curriculum(filled(stage(MIDTRAIN, curriculum=staged)))
    assert made is not None
    assert (made.strategy, made.levels) == (Strategy.STAGED, 3)


def test_how_a_stage_computes() -> None:
    plain = convert.acceleration(spec_pb2.ComputeSpec(), stage(MIDTRAIN), gpus=True)
    assert plain == Acceleration(precision="auto", sharded=True)
    asked = spec_pb2.ComputeSpec(precision=spec_pb2.PRECISION_BF16, compile=True, activation_checkpointing=True)
    held = stage(MIDTRAIN, penalty=spec_pb2.PenaltySpec(l2_sp=0.1))
    wanted = Acceleration(precision="bf16", compile=True, activation_checkpointing=True)
    assert convert.acceleration(asked, held, gpus=True) == wanted
    distilled = stage(MIDTRAIN, penalty=spec_pb2.PenaltySpec(distill=1.0))
    assert convert.acceleration(asked, distilled, gpus=True) == wanted
    assert convert.acceleration(asked, stage(MIDTRAIN), gpus=False) == wanted


def test_on_whose_text_the_parents_word_stands_alone() -> None:
    own = spec_pb2.PenaltySpec(distill=4.0, distill_alone=True)
    assert convert.alone(stage(MIDTRAIN, penalty=own)) == ("general",)
    assert convert.alone(stage(MIDTRAIN, penalty=spec_pb2.PenaltySpec(distill=4.0))) == ()


def test_directives() -> None:
    plain = convert.directive(pb.GetDirectiveResponse(verdict=resources_pb2.VERDICT_CONTINUE))
    assert (plain.verdict, plain.shares, plain.lr_scale) == (Verdict.CONTINUE, None, None)
    changed = pb.GetDirectiveResponse(verdict=resources_pb2.VERDICT_ADJUST, shares={"general": 0.3}, lr_scale=0.5)
    assert convert.directive(changed).shares == {"general": 0.3}
    with pytest.raises(BadConfig, match=r"directive\.verdict"):
        convert.directive(pb.GetDirectiveResponse())


def test_every_stage_draws_another_order_and_every_attempt_the_same() -> None:
    spec = spec_pb2.PipelineSpec(seed=7)
    seeds = {convert.stream_seed(spec, index) for index in range(20)}
    assert len(seeds) == 20
    assert convert.stream_seed(spec, 3) == convert.stream_seed(spec_pb2.PipelineSpec(seed=7), 3)
    assert convert.stream_seed(spec_pb2.PipelineSpec(seed=8), 3) not in seeds


def test_the_digest_of_a_spec_follows_its_content() -> None:
    one, two = (spec_pb2.PipelineSpec(labels={"a": "1", "b": "2"}), spec_pb2.PipelineSpec(labels={"b": "2", "a": "1"}))
    assert convert.spec_digest(one) == convert.spec_digest(two)
    assert convert.spec_digest(spec_pb2.PipelineSpec(seed=1)) != convert.spec_digest(one)


def test_what_a_stage_says_of_its_text() -> None:
    said = spec_pb2.DomainOptions(difficulty=[2.0, 4.0])
    data = spec_pb2.StageData(domain="sums.jsonl", general="sample://docs", fields={"text": "body"})
    asked = stage(MIDTRAIN, domain=spec_pb2.DOMAIN_MATH, domain_options=said, data=data)
    text = stage_text(asked, "sums.jsonl")
    assert (text.domain, domain_options(text)) == ("math", {"difficulty_range": [2.0, 4.0]})
    assert role_options(text, "math", "sums.jsonl") == {"fields": ["body"]}
    assert role_options(stage_text(asked, "sample://docs"), "general", "sample://docs") == {}
    pretrain = stage(PRETRAIN, data=spec_pb2.StageData(general="a.jsonl", fields={"text": "body"}))
    assert role_options(stage_text(pretrain, "s3://retain/a.jsonl"), "general", "s3://retain/a.jsonl") == {
        "fields": ["body"]
    }
    assert domain_options(stage_text(stage(MIDTRAIN, domain=spec_pb2.DOMAIN_SCIENCE), "x")) == {}
    assert stage_text(stage(PRETRAIN, domain=spec_pb2.DOMAIN_CODE), "x").domain is None


def test_the_command_line() -> None:
    given = parse(["--run", "r1", "--submission", "3", "--workers", "2", "--cpus-per-worker", "0.5"])
    assert (given.run_id, given.submission, given.workers, given.threads) == ("r1", 3, 2, 1)
    with pytest.raises(SystemExit):
        parse(["--run", "r1"])
