"""`general: self://...`: what is filled in, what is refused, what the plan says of it."""

from dataclasses import replace

import pytest

from retain.values import (
    DurationSpec,
    ForgettingSpec,
    LoraSpec,
    ModelSpec,
    PenaltySpec,
    PipelineSpec,
    SamplingSpec,
    StageData,
    TokenizerSpec,
)
from services.orchestrator.domain.spec.defaults import fill
from services.orchestrator.domain.spec.model_size import sizes_of_preset
from services.orchestrator.domain.spec.needs.stage_needs import needs_of
from services.orchestrator.domain.spec.plan import plan
from services.orchestrator.domain.spec.policy_told import policy_told
from services.orchestrator.domain.spec.teacher import Memory
from services.orchestrator.domain.spec.validation.validate import validate
from tests.unit.services.orchestrator.specs import FINETUNE, MIDTRAIN, PRETRAIN, spec

BOS = StageData(domain="sample://code", general="self://bos")
ADAPT = replace(MIDTRAIN, data=BOS, duration=DurationSpec(tokens=4_000_000))


def adapted(*stages: object, **changes: object) -> PipelineSpec:
    """A public model that is taught code, then to answer."""
    model = ModelSpec(huggingface="s3://bucket/model", context=1024)
    given = {"model": model, "tokenizer": TokenizerSpec(), "stages": stages or (ADAPT, FINETUNE)}
    return spec(**{**given, **changes})


def faults(asked: PipelineSpec) -> dict[str, str]:
    return {fault.field: fault.description for fault in validate(asked)}


def test_defaults_are_filled_in_once_and_later_stages_have_the_same_text() -> None:
    filled = fill(adapted())
    assert validate(adapted()) == ()
    # A tenth of 4 million tokens is replayed.
    expected = SamplingSpec(tokens=400_000, temperature=1.0, top_p=1.0)
    assert [stage.data.sampling for stage in filled.stages] == [expected, expected]
    assert [stage.data.general for stage in filled.stages] == ["self://bos", "self://bos"]
    assert [one.sources["general"] for one in plan(filled)] == ["self://bos", "self://bos"]
    assert fill(filled) == filled


@pytest.mark.parametrize(
    ("duration", "tokens"),
    [
        (DurationSpec(tokens=100_000), 20_000),  # a tenth would be 10,000
        (DurationSpec(tokens=10**9), 1_000_000),
        (DurationSpec(steps=200), 327_680),  # 200 steps of 16 rows of 1,024 tokens, a tenth of them
        (DurationSpec(epochs=2), 1_000_000),
    ],
)
def test_as_much_is_written_as_is_replayed_within_bounds(duration: DurationSpec, tokens: int) -> None:
    sampling = fill(adapted(replace(ADAPT, duration=duration))).stages[0].data.sampling
    assert sampling is not None
    assert sampling.tokens == tokens


def test_real_text_needs_no_settings() -> None:
    real = replace(MIDTRAIN, data=StageData(domain="sample://code", general="sample://docs"))
    assert fill(adapted(real)).stages[0].data.sampling is None
    asked = replace(real, data=replace(real.data, sampling=SamplingSpec(tokens=100_000)))
    assert faults(adapted(asked)) == {
        "stages[0].data.sampling": "got settings beside general: sample://docs; expected none without general: "
        "self://bos or self://chat"
    }


def test_there_must_be_a_parent_that_can_write() -> None:
    random = adapted(ADAPT, model=ModelSpec(preset="nano"), tokenizer=spec().tokenizer)
    assert "random weights know nothing" in faults(random)["stages[0].data.general"]
    behind = adapted(replace(PRETRAIN, data=StageData(general="sample://docs")), ADAPT)
    assert "behind a PRETRAIN stage" in faults(behind)["stages[1].data.general"]
    target = adapted(replace(PRETRAIN, data=StageData(general="self://bos")))
    assert "teaches it nothing new" in faults(target)["stages[0].data.general"]
    other = adapted(replace(ADAPT, data=replace(BOS, general="self://eos")))
    assert faults(other) == {"stages[0].data.general": "got 'self://eos'; expected self://bos or self://chat"}
    domain = adapted(replace(ADAPT, data=StageData(domain="self://bos", general="sample://docs")))
    assert "stages[0].data.domain" in faults(domain)


@pytest.mark.parametrize(
    ("sampling", "field"),
    [
        (SamplingSpec(tokens=4_999), "tokens"),
        (SamplingSpec(tokens=100_000_001), "tokens"),
        (SamplingSpec(tokens=-1), "tokens"),
        (SamplingSpec(temperature=0.0), "temperature"),
        (SamplingSpec(temperature=2.1), "temperature"),
        (SamplingSpec(temperature=float("nan")), "temperature"),
        (SamplingSpec(top_p=0.0), "top_p"),
        (SamplingSpec(top_p=1.1), "top_p"),
    ],
)
def test_settings_out_of_range_are_refused(sampling: SamplingSpec, field: str) -> None:
    assert f"stages[0].data.sampling.{field}" in faults(adapted(replace(ADAPT, data=replace(BOS, sampling=sampling))))


def test_settings_that_contradict_each_other_are_refused() -> None:
    capped = replace(BOS, max_tokens=60_000, sampling=SamplingSpec(tokens=80_000))
    assert faults(adapted(replace(ADAPT, data=capped))) == {
        "stages[0].data.sampling.tokens": "got 80,000 tokens to be written, of which max_tokens lets 60,000 in; "
        "expected at most max_tokens"
    }
    again = replace(FINETUNE, data=replace(FINETUNE.data, general="self://bos", sampling=SamplingSpec(temperature=0.7)))
    assert "written once, for midtrain/code" in faults(adapted(ADAPT, again))["stages[1].data.sampling"]


def test_the_plan_says_how_much_is_written_and_what_it_takes_once() -> None:
    filled = fill(adapted())
    sizes = sizes_of_preset("135m", vocabulary=49_152)
    assert sizes is not None
    told = [line for line in policy_told(filled) if "writes itself" in line]
    assert told == [
        "midtrain/code replays what the model writes itself (self://bos): 400,000 tokens of s3://bucket/model, at "
        "temperature 1, written once while the data is prepared"
    ]
    first, second = needs_of(filled, plan(filled), sizes, Memory())
    assert (first.sampled_tokens, second.sampled_tokens, second.sampling_flops) == (400_000, 0, 0)
    # Two operations for each weight of a product and token, and attention beside them.
    assert first.sampling_flops == pytest.approx(2 * 400_000 * sizes.parameters, rel=0.35)


ROOM = {"parameters": 1_000_000, "memory": Memory(slot_bytes=10**9)}  # the parent fits beside the model


def held(first: PenaltySpec, **changes: object) -> list[tuple[float | None, bool | None]]:
    """(strength, whether the parent's word stands alone) of both stages, as a run gets them."""
    filled = fill(adapted(replace(ADAPT, penalty=first), FINETUNE, **changes), **ROOM)
    assert fill(filled, **ROOM) == filled
    return [(stage.penalty.distill, stage.penalty.distill_alone) for stage in filled.stages]


def test_the_parents_word_stands_in_place_of_its_own_draws_where_it_wrote_them() -> None:
    """The later stage's parent is what the first one trained: the text is not its own."""
    assert held(PenaltySpec()) == [(4.0, True), (1.0, False)]
    told = [line for line in policy_told(fill(adapted(), **ROOM), **ROOM) if " distils " in line]
    assert told[0].startswith(
        "midtrain/code distils with strength 4, in place of the tokens where the model wrote them itself: there is"
    )
    assert told[1].startswith("finetune distils with strength 1: there is")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (PenaltySpec(distill=1.0), (1.0, False)),  # as it was before there was the choice
        (PenaltySpec(distill=2.5, distill_alone=True), (2.5, True)),
        (PenaltySpec(distill_alone=False), (1.0, False)),
        (PenaltySpec(distill=0.0), (0.0, False)),
        (PenaltySpec(ewc=0.1), (0.0, False)),
    ],
)
def test_what_a_spec_says_of_the_parents_word_stays(said: PenaltySpec, expected: tuple[float, bool]) -> None:
    assert held(said)[0] == expected


def test_without_a_teacher_the_tokens_count() -> None:
    only_measured = fill(adapted(forgetting=ForgettingSpec(mitigate=False)), **ROOM).stages[0].penalty
    unknown = fill(adapted()).stages[0].penalty
    adapters = fill(adapted(replace(ADAPT, lora=LoraSpec(rank=4))), **ROOM).stages[0].penalty
    assert [(one.distill, one.distill_alone) for one in (only_measured, unknown, adapters)] == [(0.0, False)] * 3


def test_beside_replayed_text_of_other_origin_nothing_changes() -> None:
    """One strength holds for all that is replayed."""
    letters = ForgettingSpec(retention={"letters": "sample://docs"})
    assert held(PenaltySpec(), forgetting=letters)[0] == (1.0, False)
    measured = replace(ADAPT, data=replace(BOS, replay={"letters": 0.0}))
    filled = fill(adapted(measured, FINETUNE, forgetting=letters), **ROOM)
    assert (filled.stages[0].penalty.distill, filled.stages[0].penalty.distill_alone) == (4.0, True)
    real = replace(MIDTRAIN, data=StageData(domain="sample://code", general="sample://docs"))
    assert fill(adapted(real), **ROOM).stages[0].penalty == PenaltySpec(distill=1.0)


def test_the_parents_word_alone_needs_its_own_text_and_a_strength() -> None:
    real = replace(MIDTRAIN, data=StageData(domain="sample://code", general="sample://docs"))
    asked = PenaltySpec(distill=1.0, distill_alone=True)
    assert faults(adapted(replace(real, penalty=asked))) == {
        "stages[0].penalty.distill_alone": "got true beside general: sample://docs; expected false, or text that the "
        "model writes: self://bos or self://chat"
    }
    off = PenaltySpec(distill=0.0, distill_alone=True)
    assert faults(adapted(replace(ADAPT, penalty=off))) == {
        "stages[0].penalty.distill_alone": "got true with distill: 0; expected a strength above 0, or distill left out"
    }
    assert faults(adapted(replace(ADAPT, penalty=asked))) == {}
