"""Defaults, validation, plan and smart locking of a spec."""

import math
from dataclasses import replace

import pytest

from retain.values import (
    BatchSpec,
    ComputeSpec,
    CurriculumSpec,
    CurriculumStrategy,
    Domain,
    DomainOptions,
    DurationSpec,
    EvaluationSpec,
    ForgettingSpec,
    IntervalSpec,
    LoraSpec,
    ModelSpec,
    OptimizerSpec,
    PenaltySpec,
    ScheduleKind,
    ScheduleSpec,
    StageData,
    StageKind,
    TokenizerSpec,
    TrainTokenizer,
)
from services.orchestrator.domain.spec.defaults import fill
from services.orchestrator.domain.spec.locking import missing_base
from services.orchestrator.domain.spec.plan import plan, slots_of, steps_of_epochs
from services.orchestrator.domain.spec.presets import PRESETS
from services.orchestrator.domain.spec.validation.validate import validate
from tests.unit.services.orchestrator.specs import FINETUNE, MIDTRAIN, PRETRAIN, spec


def fields(faulty, **options) -> dict[str, str]:
    return {v.field: v.description for v in validate(faulty, **options)}


def test_presets_are_those_of_the_model_with_their_context() -> None:
    from model.nn import config

    assert dict(PRESETS) == {name: config.preset(name).context for name in config.PRESETS}


def test_architectures_are_those_that_the_model_can_load() -> None:
    from model.checkpointing import hf_config
    from model.families.names import FAMILIES
    from services.orchestrator.domain.spec.huggingface import ARCHITECTURES

    families = {family.architecture for family in FAMILIES.values()}
    assert set(ARCHITECTURES) == set(hf_config.CLASSES.values()) | families


def test_the_spec_of_the_contracts_is_valid_and_gets_the_ladder_of_learning_rates() -> None:
    assert validate(spec()) == ()
    filled = fill(spec())
    assert [stage.learning_rate for stage in filled.stages] == [3e-4, 1e-5, 1e-6]
    assert [stage.schedule.kind for stage in filled.stages] == [
        ScheduleKind.COSINE, ScheduleKind.LINEAR, ScheduleKind.LINEAR,
    ]  # fmt: skip
    assert dict(filled.stages[1].data.replay) == {"general": 0.1}
    assert dict(filled.stages[2].data.replay) == {"general": 0.05, "code": 0.05}
    assert filled.stages[2].data.general == "sample://docs"
    rules = filled.forgetting
    assert (rules.minor, rules.action, rules.stop, rules.budget, rules.settle) == (0.05, 0.10, 0.20, 0.10, 0.2)
    assert (rules.confirm, rules.mitigate, rules.max_retries) == (0, True, 2)
    assert (rules.controller, rules.stop_on) == ("ANTICIPATE", "PROJECTED")
    assert filled.model.context == 256
    assert validate(filled) == ()


def test_shares_written_as_domain_stand_for_every_earlier_domain() -> None:
    math_stage = replace(MIDTRAIN, domain=Domain.MATH, data=StageData(domain="sample://math"))
    chat = replace(FINETUNE, data=replace(FINETUNE.data, replay={"general": 0.2, "domain": 0.15}))
    filled = fill(spec(stages=(PRETRAIN, MIDTRAIN, math_stage, chat)))
    assert dict(filled.stages[2].data.replay) == {"general": 0.1, "code": 0.05}
    assert dict(filled.stages[3].data.replay) == {"general": 0.2, "code": 0.15, "math": 0.15}


def test_every_fault_is_reported_at_once_with_its_path() -> None:
    faulty = spec(
        name="Not A Name",
        model=ModelSpec(preset="giant"),
        stages=(
            replace(PRETRAIN, data=StageData(general="ftp://somewhere"), learning_rate=-1.0),
            replace(MIDTRAIN, domain=Domain.UNSPECIFIED, data=replace(MIDTRAIN.data, general_share=1.5)),
            replace(FINETUNE, duration=DurationSpec()),
        ),
        forgetting=ForgettingSpec(minor=0.2, action=0.1, stop=0.05),
        evaluation=EvaluationSpec(decision_lag=2),
        compute=ComputeSpec(workers=-1),
    )
    found = fields(faulty)
    assert set(found) >= {
        "name",
        "model.preset",
        "stages[0].data.general",
        "stages[0].learning_rate",
        "stages[1].domain",
        "stages[1].data.general_share",
        "stages[2].duration",
        "forgetting.action",
        "forgetting.stop",
        "evaluation.decision_lag",
        "compute.workers",
    }
    assert "'giant'" in found["model.preset"]
    assert "nano" in found["model.preset"]
    assert "-1.0" in found["stages[0].learning_rate"]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_is_not_finite_is_refused_wherever_it_stands(value: float) -> None:
    cases = {
        "stages[0].learning_rate": spec(stages=(replace(PRETRAIN, learning_rate=value),)),
        "stages[1].data.general_share": spec(
            stages=(PRETRAIN, replace(MIDTRAIN, data=replace(MIDTRAIN.data, general_share=value)))
        ),
        "stages[2].data.replay[general]": spec(
            stages=(PRETRAIN, MIDTRAIN, replace(FINETUNE, data=replace(FINETUNE.data, replay={"general": value})))
        ),
        "forgetting.action": spec(forgetting=ForgettingSpec(action=value)),
        "compute.cpus_per_worker": spec(compute=ComputeSpec(cpus_per_worker=value)),
        "stages[2].duration.epochs": spec(
            stages=(PRETRAIN, MIDTRAIN, replace(FINETUNE, duration=DurationSpec(epochs=value)))
        ),
    }
    for field, faulty in cases.items():
        assert field in fields(faulty), field


@pytest.mark.parametrize(
    ("field", "faulty"),
    [
        ("stages", spec(stages=())),
        ("stages[1].kind", spec(stages=(MIDTRAIN, PRETRAIN))),
        ("stages[2]", spec(stages=(PRETRAIN, MIDTRAIN, MIDTRAIN))),
        ("model", spec(model=ModelSpec(preset="nano", huggingface="/m"))),
        ("model.context", spec(model=ModelSpec(huggingface="/m"), tokenizer=TokenizerSpec())),
        ("tokenizer.train", spec(model=ModelSpec(huggingface="/m", context=64))),
        ("tokenizer.train.vocab_size", spec(tokenizer=TokenizerSpec())),
        ("tokenizer.train.vocab_size", spec(tokenizer=TokenizerSpec(train=TrainTokenizer(vocab_size=100)))),
        ("stages[0].data.general", spec(stages=(replace(PRETRAIN, data=StageData(general="sample://poems")),))),
        ("stages[0].data.chat", spec(stages=(replace(PRETRAIN, data=StageData(general="a.txt", chat="b.jsonl")),))),
        ("stages[0].data.general", spec(stages=(replace(MIDTRAIN, data=StageData(domain="x")),))),
        ("stages[0].duration", spec(stages=(replace(PRETRAIN, duration=DurationSpec(tokens=1, steps=1)),))),
        ("stages[0].duration.tokens", spec(stages=(replace(PRETRAIN, duration=DurationSpec(tokens=0)),))),
        ("stages[1].domain_options.difficulty",
         spec(stages=(PRETRAIN, replace(MIDTRAIN, domain=Domain.MATH,
                                        domain_options=DomainOptions(difficulty=(4.0, 2.0)))))),
        ("stages[1].domain_options.fields",
         spec(stages=(PRETRAIN, replace(MIDTRAIN, domain_options=DomainOptions(fields=("physics",)))))),
        ("stages[0].curriculum.levels",
         spec(stages=(replace(PRETRAIN, curriculum=CurriculumSpec(strategy=CurriculumStrategy.STAGED, levels=9)),))),
        ("stages[0].batch.sequences",
         spec(stages=(replace(PRETRAIN, batch=BatchSpec(sequences=5)),), compute=ComputeSpec(workers=2))),
        ("stages[2].data.replay[poems]",
         spec(stages=(PRETRAIN, MIDTRAIN, replace(FINETUNE, data=replace(FINETUNE.data, replay={"poems": 0.1}))))),
        ("stages[2].data.replay",
         spec(stages=(PRETRAIN, MIDTRAIN,
                      replace(FINETUNE, data=replace(FINETUNE.data, replay={"general": 0.5, "code": 0.5}))))),
        ("forgetting.retention[code]", spec(forgetting=ForgettingSpec(retention={"code": "sample://code"}))),
        ("forgetting.budget", spec(forgetting=ForgettingSpec(budget=0.5))),
        ("forgetting.settle", spec(forgetting=ForgettingSpec(settle=1.0))),
        ("forgetting.suspicious_below", spec(forgetting=ForgettingSpec(suspicious_below=0.0))),
        ("forgetting.suspicious_below", spec(forgetting=ForgettingSpec(suspicious_below=-1.01))),
        ("evaluation.every", spec(evaluation=EvaluationSpec(every=IntervalSpec(tokens=0)))),
        ("stages[1].penalty.distill", spec(stages=(PRETRAIN, replace(MIDTRAIN, penalty=PenaltySpec(distill=-1))))),
        ("stages[0].penalty.distill", spec(stages=(replace(PRETRAIN, penalty=PenaltySpec(distill=1)),))),
        ("stages[0].penalty.ewc", spec(stages=(replace(PRETRAIN, penalty=PenaltySpec(ewc=1)),))),
        ("stages[0].penalty.l2_sp", spec(stages=(replace(PRETRAIN, penalty=PenaltySpec(l2_sp=1)),))),
        ("stages[1].penalty.l2_sp",
         spec(stages=(PRETRAIN, replace(MIDTRAIN, penalty=PenaltySpec(l2_sp=1), lora=LoraSpec(rank=4))))),
    ],
)  # fmt: skip
def test_a_single_fault_is_found(field: str, faulty) -> None:
    assert field in fields(faulty)


@pytest.mark.parametrize(
    ("kind", "faults"),
    [(ScheduleKind.COSINE, {}), (ScheduleKind.LINEAR, {}), (ScheduleKind.CONSTANT, {}), (ScheduleKind.WSD, 1)],
)
def test_decay_counts_beside_the_warm_up_for_the_shape_that_has_one(kind: ScheduleKind, faults) -> None:
    stage = replace(PRETRAIN, schedule=ScheduleSpec(kind=kind, warmup=1.0))
    found = fields(fill(spec(stages=(stage,))))
    if faults:
        assert found == {"stages[0].schedule.warmup": "got 1.0; expected up to 1 together with decay (0.2)"}
    else:
        assert found == {}


KEPT = OptimizerSpec(keep_state=True)


def test_optimizer_state_is_kept_only_between_stages_that_train_the_same_parameters() -> None:
    """Moments of adapters fit no full training, and the other way round: refused before anything is trained."""
    adapted = replace(MIDTRAIN, lora=LoraSpec(rank=4))
    for before, after in (
        (MIDTRAIN, replace(FINETUNE, optimizer=KEPT, lora=LoraSpec(rank=4))),
        (adapted, replace(FINETUNE, optimizer=KEPT)),
        (adapted, replace(FINETUNE, optimizer=KEPT, lora=LoraSpec(rank=8))),
    ):
        found = fields(spec(stages=(PRETRAIN, before, after)))
        assert list(found) == ["stages[2].optimizer.keep_state"]
        ranks = f"lora.rank {after.lora.rank} after midtrain/code with lora.rank {before.lora.rank}"
        assert ranks in found["stages[2].optimizer.keep_state"]
    assert not fields(spec(stages=(PRETRAIN, MIDTRAIN, replace(FINETUNE, optimizer=KEPT))))
    assert not fields(spec(stages=(PRETRAIN, adapted, replace(FINETUNE, optimizer=KEPT, lora=LoraSpec(rank=4)))))


def test_there_is_no_optimizer_state_to_keep_without_a_parent_that_was_trained_here() -> None:
    first = replace(PRETRAIN, optimizer=KEPT)
    assert "stages[0].optimizer.keep_state" in fields(spec(stages=(first,)))
    other = {"model": ModelSpec(checkpoint="s3://retain/runs/r/pretrain/attempt-1/step-1", context=64)}
    kept = replace(MIDTRAIN, optimizer=KEPT, data=StageData(domain="sample://code", general="sample://docs"))
    assert not fields(spec(stages=(kept,), tokenizer=TokenizerSpec(), **other))
    adapted = replace(kept, lora=LoraSpec(rank=4))
    assert "stages[0].optimizer.keep_state" in fields(spec(stages=(adapted,), tokenizer=TokenizerSpec(), **other))


def test_the_floor_of_scores_has_a_default_and_may_be_chosen() -> None:
    assert fill(spec()).forgetting.suspicious_below == -0.5
    assert fill(spec(forgetting=ForgettingSpec(suspicious_below=-1.0))).forgetting.suspicious_below == -1.0
    assert not fields(spec(forgetting=ForgettingSpec(suspicious_below=-1.0)))


def test_what_holds_the_parent_is_allowed_where_there_is_one() -> None:
    imported = {"model": ModelSpec(huggingface="/m", context=64), "tokenizer": TokenizerSpec()}
    assert not fields(spec(stages=(replace(PRETRAIN, penalty=PenaltySpec(l2_sp=1)),), **imported))
    distilled = replace(MIDTRAIN, penalty=PenaltySpec(distill=1), lora=LoraSpec(rank=4))
    assert not fields(spec(stages=(PRETRAIN, distilled)))
    held = replace(MIDTRAIN, penalty=PenaltySpec(ewc=1, l2_sp=1, distill=1))
    assert not fields(spec(stages=(PRETRAIN, held)))


def test_a_run_that_could_never_fit_is_refused() -> None:
    assert "compute.workers" in fields(spec(compute=ComputeSpec(workers=4)), slots=2)
    assert fields(spec(compute=ComputeSpec(workers=2)), slots=2) == {}
    assert slots_of(fill(spec(compute=ComputeSpec(workers=3, cpus_per_worker=0.5))).compute) == 2


def test_the_plan_counts_steps_and_boundaries() -> None:
    """2,000,000 tokens in steps of 16 x 256 = 4096 are 489 (488.3 up); 100,000 between boundaries are 24 steps."""
    first, second, third = plan(fill(spec()))
    assert (first.steps, first.steps_per_boundary, first.boundaries) == (489, 24, 21)
    assert first.boundary_step(20) == 480
    assert first.boundary_step(21) == 489
    gauges = ("gauge-encyclopaedic", "gauge-narrative", "gauge-code", "gauge-conversation")
    assert (second.target, second.retention_sets, dict(second.sources)) == (
        "code", ("general", *gauges), {"code": "sample://code", "general": "sample://docs"},
    )  # fmt: skip
    assert third.steps == 0
    assert third.retention_sets == ("general", "code", *gauges)
    assert dict(third.sources) == {"chat": "sample://chat", "general": "sample://docs", "code": "sample://code"}
    assert [stage.base for stage in (first, second, third)] == ["nano (random weights)", "pretrain", "midtrain/code"]


def test_epochs_count_passes_over_the_target() -> None:
    """10,000 target tokens twice at 20 % replay are 25,000 tokens: 25 steps of 1,000. Where half of the target's tokens
    are trained on, the target takes .8/(.8+.2*.5) = 8/9 of all tokens: 22.5 steps."""
    sizes = {"target_tokens": 10_000, "replay_share": 0.2, "tokens_per_step": 1000}
    assert steps_of_epochs(2, target_loss_tokens=10_000, **sizes) == 25
    assert steps_of_epochs(2, target_loss_tokens=5_000, **sizes) == 23
    assert steps_of_epochs(0.001, target_loss_tokens=10_000, **sizes) == 1


def test_smart_locking_names_what_unlocks() -> None:
    assert missing_base(spec(), base_kind=None) is None
    locked = missing_base(spec(stages=(MIDTRAIN,)), base_kind=None)
    assert locked is not None
    assert "PRETRAIN" in locked
    assert missing_base(spec(stages=(MIDTRAIN,)), base_kind=StageKind.PRETRAIN) is None
    assert missing_base(spec(stages=(FINETUNE,)), base_kind=None) is not None
    assert missing_base(spec(stages=(FINETUNE,)), base_kind=StageKind.MIDTRAIN) is None
    assert missing_base(spec(stages=(FINETUNE,)), base_kind=StageKind.FINETUNE) is not None
