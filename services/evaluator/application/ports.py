"""What the application needs from outside. Every method blocks; the application calls them from threads."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from retain.values import (
    CheckpointRef,
    DataPreview,
    EvalSetRef,
    Evaluation,
    FileResult,
    ForgettingRecord,
    ModelSpec,
    ProbeRequest,
    SampleTextRequest,
    SampleTextResponse,
    StageSpec,
    WritePointRequest,
    WritePointResponse,
)
from services.evaluator.domain.request import Model
from services.evaluator.domain.result import HistoryRow, Measurement, NoiseFloor


class Measurer(Protocol):
    """Measures models on sets. The same request gives the same bits. Raises CheckpointDamaged (files that do not fit
    the manifest, or weights whose digest is not the one that it claims), Corrupt (of a set), NotFound,
    FailedPrecondition (the model cannot be measured on the set), Unavailable (the store is away: try again),
    StorageFull (a disk or the store is full: try again). Long work shows signs of life: see
    services/common/concurrency/heart.py."""

    def identify(self, model: Model) -> str:
        """Digest of the weights, computed from the weights themselves."""
        ...

    def identify_set(self, ref: EvalSetRef) -> str:
        """Digest of everything in a set that changes a measurement, computed from its files: text, tokenizer, windows,
        masks, and what belongs to which unit and document."""
        ...

    def method(self) -> str:
        """Names all but weights and set that changes a bit of a measurement: dtype, device, threads, versions."""
        ...

    def measure(self, model: Model, ref: EvalSetRef) -> Measurement:
        """Sums of the model on the set."""
        ...

    def shape(self, model: Model) -> str:
        """Digest of the sizes and variants of a model: whatever of it, but for its weights, decides how is summed."""
        ...

    def floor_method(self) -> str:
        """`method`, and all else that changes a noise floor: how often is repeated, and on how many cores."""
        ...

    def floor(self, model: Model, ref: EvalSetRef) -> NoiseFloor:
        """The noise floor of scores against this model on the set: its measurement repeated in other ways. Costs a
        bounded number of tokens."""
        ...

    def release(self) -> None:
        """Nothing is to be measured for a while: give memory back."""
        ...

    def make_room(self) -> None:
        """The disk is full: delete what nobody uses."""
        ...


class Prober(Protocol):
    """Asks models the items of the probe. Raises what a Measurer raises, FailedPrecondition (PROBE_TOO_SLOW) where it
    takes too long."""

    def probe_method(self) -> str:
        """Names the items, how they are judged, and all else but weights, tokenizer and settings that may change an
        answer."""
        ...

    def probe(self, model: Model, settings: ProbeRequest, only: Sequence[str] | None) -> Mapping[str, bool]:
        """Whether the model was right, by id of the item; `only` the ones to ask, None for all that it may know."""
        ...


class InterpolationWriter(Protocol):
    """Exports interpolations. Raises what a Measurer raises."""

    def write(self, order: WritePointRequest) -> WritePointResponse:
        """The interpolation as a checkpoint in the store, and its bytes; the same order again writes the same. Raises
        FailedPrecondition (PLACE_TAKEN) when something else lies at its place."""
        ...


class Statistics(Protocol):
    """The intervals of scores."""

    def interval(self, now: Measurement, baseline: Measurement) -> tuple[float, float] | None:
        """95 % interval of the ratio, or None when there are too few units for one."""
        ...

    def paired_interval(self, *, lost: int, gained: int, items: int) -> tuple[float, float]:
        """95 % interval of (lost - gained) / items, both counted on the same items; items from 1 on."""
        ...


@dataclass(frozen=True, kw_only=True)
class ProbeName:
    """What answers were given by: the computed digest of the weights, the settings, the method; `asked` names the items
    where they were chosen."""

    weights_digest: str
    answer_tokens: int
    method: str
    asked: str = ""


class Probes(Protocol):
    """Answers to the probe by name, kept with the measurements of the same weights. What cannot be read is put
    aside, and is none."""

    def get(self, name: ProbeName) -> Mapping[str, bool] | None: ...

    def put(self, name: ProbeName, answers: Mapping[str, bool]) -> None: ...


@dataclass(frozen=True, kw_only=True)
class MeasurementName:
    """What a measurement was made of: the computed digests of the weights and of the set, and the measurer's method."""

    weights_digest: str
    set_digest: str
    method: str


class Measurements(Protocol):
    """Measurements by name, kept for good. One that cannot be read is put aside, and is none."""

    def get(self, name: MeasurementName) -> Measurement | None: ...

    def put(self, name: MeasurementName, measured: Measurement) -> None: ...


@dataclass(frozen=True, kw_only=True)
class FloorName:
    """What a noise floor was measured for: the shape of a model, a set (its own digest, and the one computed of it with
    its units), a device and a way of measuring."""

    shape: str
    set_digest: str
    set_content: str
    method: str


class Floors(Protocol):
    """Noise floors by name, kept as long as anything names the set. One that cannot be read is put aside, and is
    none."""

    def get(self, name: FloorName) -> NoiseFloor | None: ...

    def put(self, name: FloorName, floor: NoiseFloor) -> None: ...


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

    def load(self, evaluation_id: str) -> Evaluation | None:
        """None also for one that cannot be read: it is put aside."""
        ...

    def unfinished(self) -> Sequence[Evaluation]:
        """Those that must be taken up again, oldest first."""
        ...

    def begin(self, evaluation_id: str) -> int:
        """Counts that a process began to measure it, and returns how many did, this one included."""
        ...

    def leave(self, evaluation_id: str) -> None:
        """The process ends in good order: its beginning does not count."""
        ...

    def keys(self, run: str | None) -> Sequence[EvaluationKey]: ...

    def delete_run(self, run: str) -> None:
        """Deletes every evaluation of a run. Again is no error."""
        ...


class History(Protocol):
    """The forgetting history of each run, oldest first. What cannot be read is put aside."""

    def append(self, row: HistoryRow) -> None:
        """Adds a row unless its evaluation is there already. The base of a stage comes before its other rows."""
        ...

    def load(self, run: str) -> Sequence[HistoryRow]: ...

    def delete(self, run: str) -> None:
        """Again is no error."""
        ...


class ShownRuns(Protocol):
    """Which runs have series, kept across restarts: so many as are at work, however many there ever were."""

    def add(self, run: str) -> None: ...

    def remove(self, run: str) -> None:
        """Again is no error."""
        ...

    def list(self) -> Sequence[tuple[str, float]]:
        """Each run with the Unix time at which it was added."""
        ...


class Exporter(Protocol):
    """Shows what was measured to Prometheus."""

    def export(self, record: ForgettingRecord) -> None:
        """Shows a record; it replaces what the run showed before."""
        ...

    def count(self, *, succeeded: bool, duration_s: float) -> None: ...

    def pending(self, count: int, *, waiting: int) -> None:
        """So many are unfinished, and so many of them wait for something to return."""
        ...

    def drop(self, run: str) -> None:
        """The run was deleted: its series go at once."""
        ...

    def exported_runs(self) -> Sequence[str]: ...

    def run_ended(self, run: str) -> None:
        """The run's series may go, some minutes from now."""
        ...

    def run_continues(self, run: str) -> None: ...

    def sweep(self) -> Sequence[str]:
        """Takes away the series that are due to go, and returns their runs."""
        ...


class RunStates(Protocol):
    """Whether a run has ended: asked of the orchestrator."""

    def ended(self, run: str) -> bool | None:
        """None when that cannot be known now."""
        ...


class Sampler(Protocol):
    """Generates text."""

    def sample(self, order: SampleTextRequest) -> Iterator[SampleTextResponse]:
        """First the numbers of the prompt, then pieces of text. Raises what a Measurer raises."""
        ...


class SourceRules(Protocol):
    """What a run of a project may read."""

    def fault_of(self, uri: str, project: str) -> str | None:
        """Why it may not read this ("got ...; expected ..."), or None. Raises NotFound (no project), Unavailable."""
        ...

    def model_fault(self, place: str, project: str) -> str | None:
        """The same of a folder with a model."""
        ...


class Previewer(Protocol):
    """Reads the beginning of a text."""

    def preview(self, stage: StageSpec, role: str, uri: str, field: str, count: int, model: ModelSpec) -> DataPreview:
        """`count` documents of the text that `field` of the spec names, cut by the tokenizer of `model`; where that has
        none yet (random weights), by one that is trained on the text. Raises InvalidInput for what a run could not read
        either, Unavailable (the store is away)."""
        ...


class Owners(Protocol):
    """Whose runs and checkpoints are. Methods block and raise Unavailable."""

    def of_run(self, run_id: str) -> str | None:
        """The project of a run; None when there is no such run (any more)."""
        ...

    def of_checkpoint(self, ref: CheckpointRef) -> frozenset[str]:
        """The projects that may use a checkpoint; none for one that nobody registered."""
        ...


@dataclass(frozen=True, kw_only=True)
class FileOrder:
    """An uploaded file to be measured: where it is, the digest and the name that its place says, and how."""

    uri: str
    sha256: str
    file_name: str
    context: int | None = None
    documents: int | None = None


@dataclass(frozen=True, kw_only=True)
class FileMeasured:
    """What a model scored on a file, in windows of `context` tokens."""

    measurement: Measurement
    documents: int
    context: int


class FileMeasurer(Protocol):
    """Measures models on uploaded files. Raises what a Measurer raises, and InvalidInput (field `uri`, `context`) for a
    file that cannot be measured."""

    def identify(self, model: Model) -> str:
        """Digest of the weights, computed from the weights themselves."""
        ...

    def file_method(self) -> str:
        """Names all but weights, file and order that changes a measurement."""
        ...

    def measure_file(self, model: Model, order: FileOrder, progress: Callable[[int, int], None]) -> FileMeasured:
        """`progress` is called with (tokens done, tokens of the file)."""
        ...


@dataclass(frozen=True, kw_only=True)
class FileName:
    """What a file was measured with: the computed digest of the weights, the file's own, how it is read, the method."""

    weights_digest: str
    sha256: str
    read_as: str
    context: int
    documents: int
    method: str


class FileResults(Protocol):
    """Results of files by name, kept with the measurements of the same weights. What cannot be read is put aside, and
    is none."""

    def get(self, name: FileName) -> FileResult | None: ...

    def put(self, name: FileName, result: FileResult) -> None: ...
