"""What would each mix do? Simulated from the model that is to be trained (OP-Mix, arXiv:2605.15220).

Two short runs with low-rank adapters start from the present model: one reads nothing but the target, one nothing but
the old text. Both ends lie near their common start, where the change of a mix is about the mix of the changes: with the
share s of old text, (1 - s) of the first and s of the second. So the line between the two merged models simulates every
mix, and each point of it costs a measurement and no training.

When not: a model that adapters cannot be put beside. And what is simulated is a short run: how much the whole stage
forgets is more or less than that, and a controller measures on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from model.errors import BadConfig
from model.nn.causal_lm import CausalLM
from model.nn.interpolation import interpolate
from model.nn.lora import add_lora, has_lora
from model.training.acceleration import Acceleration
from model.training.job import Directive, Interruption, Snapshot, StageJob, StepProgress, Stream, Verdict
from model.training.loop import train_stage
from model.training.lr_schedule import Schedule, ScheduleKind
from model.training.optimizer import OptimizerSettings
from model.training.process_group import ProcessGroup

ALPHA_PER_RANK = 2
WARMUP = 0.05


class TrialInterrupted(Exception):
    """The workers were told to leave, or the attempt is not theirs any more: nothing was chosen."""

    def __init__(self, why: Interruption) -> None:
        super().__init__(f"a trial of mixes was interrupted: {why.name}")
        self.why = why


@dataclass(frozen=True, kw_only=True)
class MixTrial:
    """Steps of each of the two runs, its peak learning rate (it then falls in a straight line to 0), the adapters' rank
    and seed, and how it is computed. `interrupted` is asked at every step, `beat` told of every bit of work."""

    steps: int
    learning_rate: float
    rank: int = 8
    seed: int = 0
    micro_rows: int = 0
    acceleration: Acceleration = field(default_factory=Acceleration)
    interrupted: Callable[[], Interruption] = lambda: Interruption.NONE
    beat: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise BadConfig("mix trial: steps", self.steps, "a positive number")
        if self.acceleration.sharded:
            raise BadConfig("mix trial", "weights in pieces", "adapters, which are not sharded")


def simulated(
    start: Callable[[], CausalLM], target: Stream, old: Stream, trial: MixTrial, group: ProcessGroup | None = None
) -> tuple[CausalLM, CausalLM] | None:
    """The model after the target alone and after old text alone, adapters merged; `start` makes the present one. The
    same call on every rank; None on all but the first. Raises BadConfig where no adapters can be put,
    TrialInterrupted."""
    ends = [_trained(start(), stream, trial, group or ProcessGroup()) for stream in (target, old)]
    return (ends[0], ends[1]) if ends[0] is not None and ends[1] is not None else None


def mixes(ends: tuple[CausalLM, CausalLM], shares: tuple[float, ...]) -> Iterator[tuple[float, CausalLM]]:
    """Each share of old text with the model that simulates it."""
    for share in shares:
        yield share, interpolate(*ends, share)


def _trained(model: CausalLM, stream: Stream, trial: MixTrial, group: ProcessGroup) -> CausalLM | None:
    if has_lora(model) or not model.lora_targets:
        raise BadConfig("mix trial", "a model without room for adapters", "a model with matrices in its layers")
    add_lora(model, rank=trial.rank, alpha=ALPHA_PER_RANK * trial.rank, seed=trial.seed)
    ports = _Ports(trial)
    job = StageJob(
        model=model,
        stream=stream,
        schedule=Schedule(kind=ScheduleKind.LINEAR, total_steps=trial.steps, warmup=WARMUP),
        optimizer=OptimizerSettings(learning_rate=trial.learning_rate),
        steps_per_boundary=trial.steps,
        micro_rows=trial.micro_rows,
        shares={},
        acceleration=trial.acceleration,
    )
    outcome = train_stage(job, ports, group)
    if outcome.directive is None:
        raise TrialInterrupted(outcome.interruption)
    return ports.made


class _Ports:
    """A run of which only the last model is kept."""

    def __init__(self, trial: MixTrial) -> None:
        self._trial = trial
        self.made: CausalLM | None = None

    def beat(self) -> None:
        self._trial.beat()

    def interrupted(self) -> Interruption:
        return self._trial.interrupted()

    def progress(self, progress: StepProgress) -> None:
        self._trial.beat()

    def publish(self, snapshot: Snapshot) -> None:
        self.made = snapshot.model

    def directive(self, boundary: int) -> Directive:
        return Directive(verdict=Verdict.ACCEPT)

    def leave(self, snapshot: Snapshot | None) -> None:
        """What is left in the midst is begun again."""
