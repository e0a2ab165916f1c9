"""`general: self://bos` and `self://chat`: the model that a run starts from writes the text that is replayed.

Nobody who adapts a public model has its pre-training text (Marek et al. 2026, arXiv:2605.26097). It is written once,
before the first stage, by the weights that the run starts from, whichever stage replays it: they are what must not be
forgotten. What is filled in here is what the worker takes.
"""

from retain.values import PipelineSpec, SamplingSpec, StageKind, StageSpec

SCHEME = "self://"
PROMPTS = ("self://bos", "self://chat")
ROLE = "general"  # of the text that is written
TEMPERATURE, TOP_P = 1.0, 1.0
LEAST_TOKENS, MOST_TOKENS = 20_000, 1_000_000  # of the default; less hardly fills the frozen sets as well
LEAST_ASKED, MOST_ASKED = 5_000, 100_000_000


def is_self(uri: str) -> bool:
    """Whether a source is text that the parent writes."""
    return uri.startswith(SCHEME)


def tokens_written(spec: PipelineSpec, index: int) -> int:
    """Tokens that are written for a stage of a filled spec; 0 for none, and for the text of an earlier stage."""
    data = spec.stages[index].data
    if not is_self(data.general) or data.sampling is None:
        return 0
    return 0 if any(one.data.general == data.general for one in spec.stages[:index]) else data.sampling.tokens


def sampling_of(
    stage: StageSpec, *, general: str, share: float, earlier: tuple[StageSpec, ...], context: int
) -> SamplingSpec | None:
    """How the text of a stage is written, with every default; None where it is not. What an earlier stage with the same
    `general` says holds for a stage that says nothing."""
    given = stage.data.sampling
    if not is_self(general) or stage.kind is StageKind.PRETRAIN:
        return given
    if given is None:
        first = next((one.data.sampling for one in earlier if one.data.general == general), None)
        if first is not None:
            return first
        given = SamplingSpec()
    return SamplingSpec(
        tokens=given.tokens or _replayed_once(stage, share, context),
        temperature=TEMPERATURE if given.temperature is None else given.temperature,
        top_p=TOP_P if given.top_p is None else given.top_p,
    )


def _replayed_once(stage: StageSpec, share: float, context: int) -> int:
    """Tokens of general text that a stage replays, within bounds; the most for epochs, whose length
    only the data tell."""
    tokens = stage.duration.tokens
    if stage.duration.steps is not None:
        tokens = stage.duration.steps * (stage.batch.sequences or 16) * context
    wanted = MOST_TOKENS if tokens is None else round(share * tokens)
    return min(MOST_TOKENS, max(LEAST_TOKENS, wanted))
