"""Faults of `general: self://...` and of how its text is written."""

from retain.values import PipelineSpec, StageKind
from retain.values.faults import mismatch
from services.orchestrator.domain.spec.self_replay import LEAST_ASKED, MOST_ASKED, PROMPTS, is_self
from services.orchestrator.domain.spec.validation.checks import Faults


def check_self_replay(faults: Faults, given: PipelineSpec, filled: PipelineSpec, index: int) -> None:
    """Faults of one stage: the parent can write, what is asked of it is bounded, and no two settings contradict."""
    stage, said, path = filled.stages[index], given.stages[index].data.sampling, f"stages[{index}].data"
    _check_alone(faults, given, filled, index)
    if not is_self(stage.data.general):
        if said is not None:
            got = f"settings beside general: {stage.data.general or 'none'}"
            faults.add(f"{path}.sampling", mismatch(got, f"none without general: {' or '.join(PROMPTS)}"))
        return
    _check_parent(faults, filled, index, f"{path}.general")
    sampling = stage.data.sampling
    if sampling is None:
        return
    within = LEAST_ASKED <= sampling.tokens <= MOST_ASKED
    faults.expect(within, f"{path}.sampling.tokens", sampling.tokens, f"{LEAST_ASKED:,} to {MOST_ASKED:,}, or 0")
    faults.positive(f"{path}.sampling.temperature", sampling.temperature or 0.0)
    faults.positive(f"{path}.sampling.top_p", sampling.top_p or 0.0)
    most = stage.data.max_tokens
    if 0 < most < sampling.tokens:
        got = f"{sampling.tokens:,} tokens to be written, of which max_tokens lets {most:,} in"
        faults.add(f"{path}.sampling.tokens", mismatch(got, "at most max_tokens"))
    first = next(one for one in filled.stages if one.data.general == stage.data.general)
    if first.data.sampling != sampling:
        got = f"other settings than {first.name}'s, whose text this is"
        faults.add(f"{path}.sampling", mismatch(got, f"none: the text is written once, for {first.name}"))


def _check_alone(faults: Faults, given: PipelineSpec, filled: PipelineSpec, index: int) -> None:
    """The parent's word in place of the tokens: only of text that a model wrote, and only where it is asked."""
    asked, field = given.stages[index].penalty, f"stages[{index}].penalty.distill_alone"
    if not asked.distill_alone:
        return
    general = filled.stages[index].data.general
    if not is_self(general):
        got = f"true beside general: {general or 'none'}"
        faults.add(field, mismatch(got, f"false, or text that the model writes: {' or '.join(PROMPTS)}"))
    elif asked.distill == 0:
        faults.add(field, mismatch("true with distill: 0", "a strength above 0, or distill left out"))


def _check_parent(faults: Faults, filled: PipelineSpec, index: int, field: str) -> None:
    stage, uri = filled.stages[index], filled.stages[index].data.general
    faults.expect(uri in PROMPTS, field, uri, " or ".join(PROMPTS))
    if stage.kind is StageKind.PRETRAIN:
        faults.add(field, mismatch(f"{uri} in PRETRAIN", "a source: what a model writes teaches it nothing new"))
    elif filled.model.preset is not None:
        got = f"{uri} with model.preset, whose random weights know nothing"
        faults.add(field, mismatch(got, "a parent: model.huggingface or model.checkpoint"))
    elif any(one.kind is StageKind.PRETRAIN for one in filled.stages):
        got = f"{uri} behind a PRETRAIN stage"
        faults.add(
            field, mismatch(got, "that stage's text, or no PRETRAIN stage: the model that the run starts from writes")
        )
