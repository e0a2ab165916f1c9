"""What the controller OP_MIX tries before a stage: `forgetting.op_mix` with its defaults, and what that costs."""

from dataclasses import dataclass

from retain.values import Controller, ForgettingSpec, OpMixSpec, PipelineSpec
from services.orchestrator.domain.spec.plan import PlannedStage

DEFAULT_PART = 0.1  # of a stage, for each of the two runs
DEFAULT_RANK = 8
DEFAULT_RATE_FACTOR = 5.0
DEFAULT_SHARES = (0.0, 0.1, 0.25, 0.5)
LEAST_STEPS = 2


@dataclass(frozen=True, kw_only=True)
class OpMix:
    """Tokens of each run (None: a tenth of the stage's), rank of the adapters, their rate over the stage's, shares."""

    tokens: int | None
    rank: int
    rate_factor: float
    shares: tuple[float, ...]


def op_mix_of(rules: ForgettingSpec) -> OpMix:
    """What a spec says, else the default."""
    given = rules.op_mix or OpMixSpec()
    return OpMix(
        tokens=given.tokens,
        rank=DEFAULT_RANK if given.rank is None else given.rank,
        rate_factor=DEFAULT_RATE_FACTOR if given.rate_factor is None else given.rate_factor,
        shares=given.shares or DEFAULT_SHARES,
    )


def trial_steps(rules: ForgettingSpec, *, tokens_per_step: int, steps: int) -> int:
    """Steps of each of the two runs."""
    tokens = op_mix_of(rules).tokens
    wanted = round(DEFAULT_PART * steps) if tokens is None else -(-tokens // tokens_per_step)
    return max(LEAST_STEPS, wanted)


def tries_mixes(spec: PipelineSpec, stage: PlannedStage) -> bool:
    """Whether mixes are tried before a planned stage: it replays, and something came before it."""
    return spec.forgetting.controller is Controller.OP_MIX and bool(stage.base) and any(stage.shares.values())
