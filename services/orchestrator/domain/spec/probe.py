"""When a fine-tuning is asked the probe, and with which settings."""

from retain.values import ForgettingSpec, ModelSpec, PipelineSpec, ProbeRequest, ProbeSpec, StageKind
from services.orchestrator.domain.policy.probe import BUDGET
from services.orchestrator.domain.spec.model_size import PRESET_SIZES

ANSWER_TOKENS = 40
MOST_SECONDS = 900.0
READ_TOKENS = 7_300  # of all choices and prompts (model/probe), for a vocabulary of 4,096; a larger one needs fewer
ANSWERS = 80
# An answer's token is computed alone and not in rows: at 135M parameters on two cores it took 26 to 29 times as long.
ALONE = 27


def fill_probe(given: ProbeSpec, *, model: ModelSpec, mitigate: bool) -> ProbeSpec:
    """The settings with every default. Off for presets without a vocabulary of their own: they have a few million
    weights, learn what a run shows them, and know nothing else that could be lost. Who only measures promises nothing.
    """
    sizes = PRESET_SIZES.get(model.preset or "")
    knows_nothing = sizes is not None and not sizes.vocabulary
    if given.off or (given.off is None and knows_nothing):
        return ProbeSpec(off=True) if given.off is None else given
    budget = given.budget if given.budget is not None or not mitigate else BUDGET
    return ProbeSpec(
        off=False,
        budget=budget,
        every=given.every,
        answer_tokens=given.answer_tokens or ANSWER_TOKENS,
        most_seconds=MOST_SECONDS if given.most_seconds is None else given.most_seconds,
    )


def probe_budget(rules: ForgettingSpec) -> float:
    """The largest loss that was promised; infinite where none was. A spec from before there was a probe has none."""
    probe = rules.probe
    return float("inf") if probe is None or probe.budget is None else probe.budget


def probe_at(spec: PipelineSpec, stage_index: int, *, boundary: int, boundaries: int) -> ProbeRequest | None:
    """What is asked at a boundary of a stage; None where nothing is."""
    probe = spec.forgetting.probe
    if probe is None or probe.off is not False or spec.stages[stage_index].kind is not StageKind.FINETUNE:
        return None
    if boundary < boundaries and not (probe.every and boundary % probe.every == 0):
        return None
    seconds = MOST_SECONDS if probe.most_seconds is None else probe.most_seconds
    return ProbeRequest(answer_tokens=probe.answer_tokens or ANSWER_TOKENS, most_seconds=seconds)


def probe_tokens(request: ProbeRequest) -> int:
    """What asking one model costs at most, in tokens of a set: the items read, and every answer at its full length."""
    return READ_TOKENS + ANSWERS * request.answer_tokens * ALONE


def probes_before_end(spec: PipelineSpec, boundaries: int) -> int:
    """Boundaries before the last of a stage that is asked the probe at which it is asked too."""
    probe = spec.forgetting.probe
    return (boundaries - 1) // probe.every if probe is not None and probe.every else 0
