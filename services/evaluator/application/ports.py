"""What the application needs from outside. Every method blocks; the application calls them from threads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.evaluator.domain.answer import Evaluation, Measurement, Record
from services.evaluator.domain.question import CheckpointRef, Model, PointOrder, SetRef, WrittenPoint


class Measurer(Protocol):
    """Measures models on sets. The same question gives the same bits. Raises Corrupt (hashes do not fit), NotFound,
    FailedPrecondition (the model cannot be measured on the set), Unavailable (the store is away: try again)."""

    def measure(self, model: Model, ref: SetRef) -> Measurement:
        """Sums of the model on the set."""
        ...

    def release(self) -> None:
        """Nothing is to be measured for a while: give memory back."""
        ...


class PointWriter(Protocol):
    """Writes points of lines. Raises what a Measurer raises."""

    def write(self, order: PointOrder) -> WrittenPoint:
        """The point as a checkpoint in the store; the same order again writes the same."""
        ...


class Statistics(Protocol):
    """The interval of a forgetting ratio."""

    def interval(self, now: Measurement, baseline: Measurement) -> tuple[float, float] | None:
        """95 % interval of the ratio, or None when there are too few units for one."""
        ...


class Results(Protocol):
    """Measurements by (digest of the weights, digest of the set), kept for good."""

    def get(self, weights_digest: str, set_digest: str) -> Measurement | None: ...

    def put(self, weights_digest: str, set_digest: str, measured: Measurement) -> None: ...


@dataclass(frozen=True, kw_only=True)
class EvaluationKey:
    """Where an evaluation stands in the list: the newest first, without reading it."""

    id: str
    run: str
    created_ms: int


class Evaluations(Protocol):
    """Evaluations, kept across restarts."""

    def create(self, evaluation: Evaluation) -> Evaluation:
        """Keeps a new one and returns it, or the one that has its id already."""
        ...

    def save(self, evaluation: Evaluation) -> None:
        """Replaces it; an ended one is no longer unfinished."""
        ...

    def load(self, evaluation_id: str) -> Evaluation | None: ...

    def unfinished(self) -> Sequence[Evaluation]:
        """Those that must be taken up again, oldest first."""
        ...

    def keys(self, run: str | None) -> Sequence[EvaluationKey]: ...


class History(Protocol):
    """The forgetting history of each run, oldest first."""

    def append(self, record: Record) -> None:
        """Adds a record unless its evaluation is there already."""
        ...

    def load(self, run: str) -> Sequence[Record]: ...

    def runs(self) -> Sequence[tuple[str, float]]:
        """Every run that has a history, with the Unix time of its last change."""
        ...


class Exporter(Protocol):
    """Shows what was measured to Prometheus."""

    def export(self, record: Record) -> None:
        """Shows a record; it replaces what the run showed before."""
        ...

    def count(self, *, succeeded: bool, duration_s: float) -> None: ...

    def pending(self, count: int) -> None: ...

    def exported_runs(self) -> Sequence[str]: ...

    def run_ended(self, run: str) -> None:
        """The run's series may go, some minutes from now."""
        ...

    def run_goes_on(self, run: str) -> None: ...

    def sweep(self) -> None:
        """Takes away the series that are due to go."""
        ...


class RunStates(Protocol):
    """Whether a run has ended: asked of the orchestrator."""

    def ended(self, run: str) -> bool | None:
        """None when that cannot be known now."""
        ...


class Sampler(Protocol):
    """Generates text."""

    def sample(
        self,
        checkpoint: CheckpointRef,
        *,
        prompt: str,
        max_new_tokens: int,
        temperature: float,
        top_k: int | None,
        seed: int,
        chat: bool,
    ) -> Iterator[str]: ...
