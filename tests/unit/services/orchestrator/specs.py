"""A small valid spec for the unit tests."""

from dataclasses import replace

from retain.values import (
    Domain,
    DurationSpec,
    ModelSpec,
    PipelineSpec,
    StageData,
    StageKind,
    StageSpec,
    TokenizerSpec,
    TrainTokenizer,
)

PRETRAIN = StageSpec(
    kind=StageKind.PRETRAIN, data=StageData(general="sample://docs"), duration=DurationSpec(tokens=2_000_000)
)
MIDTRAIN = StageSpec(
    kind=StageKind.MIDTRAIN,
    domain=Domain.CODE,
    data=StageData(domain="sample://code"),
    duration=DurationSpec(tokens=1_000_000),
)
FINETUNE = StageSpec(kind=StageKind.FINETUNE, data=StageData(chat="sample://chat"), duration=DurationSpec(epochs=2))


def spec(**changes: object) -> PipelineSpec:
    """The pipeline of the contracts: pre-train, code, chat."""
    base = PipelineSpec(
        name="code-model",
        model=ModelSpec(preset="nano"),
        tokenizer=TokenizerSpec(train=TrainTokenizer(vocab_size=4096)),
        stages=(PRETRAIN, MIDTRAIN, FINETUNE),
    )
    return replace(base, **changes)  # type: ignore[arg-type]
