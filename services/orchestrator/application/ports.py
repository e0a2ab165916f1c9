"""What the application needs from outside. Adapters and fakes subclass these."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, NewType, Protocol, TypeVar

from retain.values import CheckpointRef, ComputeSpec, Decision
from services.common.errors import Corrupt
from services.orchestrator.application.logs.stream import LogStream
from services.orchestrator.domain.metrics.points import Point
from services.orchestrator.domain.policy.garbage import References
from services.orchestrator.domain.run.commands import Evaluate, WritePoint
from services.orchestrator.domain.run.state import DEFAULT_PROJECT, Checkpoint, CheckpointState, PipelineRun, RunState
from services.orchestrator.domain.spec.model_size import Sizes
from services.orchestrator.domain.step import Step
from services.orchestrator.domain.values import Measurement

Item = TypeVar("Item")
# Projects that somebody may see: None for all of them.
Projects = frozenset[str] | None
RECORDS = "records:"  # in front of a run's name: what the evaluator keeps of it


# A run as the database holds it. The repository alone makes one, so that what is done for a run (`CommandExecutor`) and
# told of it (`Observer`) is never done or told before its state and records are durable: mypy refuses a `Step.run`.
StoredRun = NewType("StoredRun", PipelineRun)


@dataclass(frozen=True, kw_only=True)
class NewRun:
    """A run to be stored, with the request that asked for it."""

    state: PipelineRun
    request_id: str | None
    request_digest: str
    base_uri: str | None = None


@dataclass(frozen=True, kw_only=True)
class StoredRequest:
    """A request id that was answered: with which run, for which body."""

    run_id: str
    request_digest: str


@dataclass(frozen=True, kw_only=True)
class UnreadableRun:
    """A run whose stored body this program cannot read: set aside, shown as that, and in nobody's way."""

    id: str
    sequence: int
    status: RunState
    reason: str
    why: str
    project: str = DEFAULT_PROJECT


class RunUnreadable(Corrupt):
    """There is such a run, and its body cannot be read."""

    def __init__(self, run: UnreadableRun) -> None:
        super().__init__(f"run {run.id} is set aside: {run.why}", reason=run.reason, metadata={"run_id": run.id})
        self.run = run


@dataclass(frozen=True, kw_only=True)
class Page(Generic[Item]):
    """A part of a list. `next_number` continues it; None at its end. `total`: on all parts, where it is counted."""

    items: tuple[Item, ...]
    next_number: int | None
    total: int | None = None


@dataclass(frozen=True, kw_only=True)
class CheckpointFilter:
    """Which checkpoints; empty is all. `stage`: the kind or the name of a stage, or `imported`."""

    run_id: str = ""
    stage: str = ""
    statuses: tuple[CheckpointState, ...] = ()


EVERY = CheckpointFilter()


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A run that waits for its turn."""

    run_id: str
    queue_number: int


@dataclass(frozen=True, kw_only=True)
class Overview:
    """What the reconcile loop, the queue and the gauges are made from, as of one moment.

    Runs that cannot be read are in none of the lists; `unreadable` counts what was found so far, by kind of record.
    """

    counts: Mapping[RunState, int]
    attention: tuple[StoredRun, ...]
    waiting: tuple[Waiting, ...]
    unreadable: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A file that a client was given an upload URL for, last at `asked_s` (Unix seconds)."""

    folder: str
    file_name: str
    sha256: str
    bytes: int
    asked_s: float = 0.0
    project: str = DEFAULT_PROJECT


class Repository(Protocol):
    """The database. All methods block and are atomic; Unavailable may come after the effect (a lost reply)."""

    def create(self, run: NewRun) -> StoredRun:
        """Insert a run; the same run again is no error. Raises AlreadyExists when the request id is taken, and
        FailedPrecondition when its base is not there any more: it is looked at in the same transaction."""
        ...

    def request(self, request_id: str, *, project: str = DEFAULT_PROJECT) -> StoredRequest | None:
        """What a request id of a project was answered with."""
        ...

    def get(self, run_id: str) -> StoredRun:
        """One run. Raises NotFound, and RunUnreadable for one whose body cannot be read."""
        ...

    def save(self, step: Step, *, expected_sequence: int) -> StoredRun:
        """Write a run with its new records, all or nothing. Raises Stale when the stored sequence is another than
        expected."""
        ...

    def delete(self, run_id: str, *, expected_sequence: int, base_prefix: str, garbage_uris: Sequence[str]) -> None:
        """Delete a run with its rows, and remember what is to be thrown away. Again is no error.

        Raises Stale when the stored sequence is another than expected, and FailedPrecondition while a run that has not
        succeeded starts from a checkpoint below `base_prefix`: it may continue, or be resumed by a person.
        """
        ...

    def building_on(self, uri: str) -> tuple[str, ...]:
        """Ids of runs that start from this checkpoint and have not succeeded: they may continue, or be resumed."""
        ...

    def list_runs(
        self,
        *,
        limit: int,
        below_number: int | None = None,
        statuses: Sequence[RunState] = (),
        projects: Projects = None,
        words: str = "",
    ) -> Page[StoredRun | UnreadableRun]:
        """Runs of these projects, newest first; with `words` those that have every one, in id, name or labels."""
        ...

    def overview(self) -> Overview:
        """Number of runs in each state, the runs that the reconcile loop must look at, and those that wait."""
        ...

    def pending(self) -> tuple[StoredRun, ...]:
        """Runs that wait and can be read, in the order of the queue."""
        ...

    def list_decisions(self, run_id: str, *, limit: int, after_number: int = 0) -> Page[Decision]:
        """Decisions of a run, oldest first."""
        ...

    def decision(self, run_id: str, number: int) -> Decision | None:
        """One decision."""
        ...

    def list_points(self, run_id: str) -> tuple[tuple[int, Point], ...]:
        """The kept figures of a run, each with the index of its stage: by stage, by step."""
        ...

    def list_checkpoints(
        self,
        *,
        limit: int,
        wanted: CheckpointFilter = EVERY,
        below_number: int | None = None,
        projects: Projects = None,
    ) -> Page[Checkpoint]:
        """Checkpoints of these projects or shared with them, newest first, and how many there are."""
        ...

    def find_checkpoint(self, key: str, *, projects: Projects = None) -> Checkpoint:
        """By id, URI, or the first 8 or more digits of the manifest's digest, among those of these projects and those
        that are shared with them. Raises NotFound, InvalidInput."""
        ...

    def put_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Insert or overwrite the row of an imported checkpoint."""
        ...

    def put_upload(self, upload: Upload) -> None:
        """Remember an upload."""
        ...

    def uploads(self, folder: str) -> tuple[Upload, ...]:
        """Uploads of a folder."""
        ...

    def run_references(
        self, *, limit: int, after_number: int = 0, only_at_work: bool = False
    ) -> tuple[References, int | None]:
        """What the next runs (with `only_at_work` those that the reconcile loop looks at) after a number refer to, and
        the number of the last one; None at the end. Raises RunUnreadable: what such a run refers to nobody can tell."""
        ...

    def checkpoint_references(self, *, limit: int, after_number: int = 0) -> tuple[References, int | None]:
        """What the next checkpoints after a number are and refer to. Raises Corrupt for one that cannot be read."""
        ...

    def upload_references(self, *, asked_since_s: float) -> References:
        """Folders that a client asked to upload to since then (Unix seconds)."""
        ...

    def forget_uploads(self, folder: str) -> None:
        """The files of a folder are gone."""
        ...

    def fact(self, name: str, value: str) -> str:
        """A fact about this installation: what is stored under a name, or this value from now on."""
        ...

    def garbage(self) -> tuple[str, ...]:
        """What is to be thrown away: prefixes of the store, and RECORDS with the name of a run."""
        ...

    def forget_garbage(self, uri: str) -> None:
        """A prefix was emptied."""
        ...


class JobState(StrEnum):
    """Where a job is, as its server says."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    ENDED = "ENDED"
    NOT_FOUND = "NOT_FOUND"


@dataclass(frozen=True, kw_only=True)
class JobView:
    """A job's state and what its server says about it."""

    state: JobState
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class JobRequest:
    """A worker group to be started."""

    run_id: str
    submission: int
    compute: ComputeSpec
    labels: Mapping[str, str] = field(default_factory=dict)
    join_code: str = ""  # good once and for minutes; the group redeems it for its token

    @property
    def job_id(self) -> str:
        """Our own name of the job: a repeated submission is recognized by it."""
        return job_id(self.run_id, self.submission)


def job_id(run_id: str, submission: int) -> str:
    """Name of a worker group's job."""
    return f"retain-{run_id}-{submission}"


class JobLauncher(Protocol):
    """The job server. All methods block, may be repeated, and raise Unavailable when it does not answer."""

    def submit(self, request: JobRequest) -> None:
        """Start a job; one that exists already is a success."""
        ...

    def status(self, job: str) -> JobView:
        """Where a job is."""
        ...

    def stop(self, job: str) -> None:
        """Ask a job to end; an unknown or ended one is a success."""
        ...

    def log(self, job: str, *, last_lines: int | None = None, follow: bool = False) -> LogStream:
        """What a job has printed, or its last lines; with `follow` also what it prints from now on, without an end.
        Empty for a job that is unknown or has printed nothing yet."""
        ...


class EvaluationProgress(StrEnum):
    """Where an evaluation is."""

    UNDER_WAY = "UNDER_WAY"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


@dataclass(frozen=True, kw_only=True)
class EvaluationView:
    """An evaluation as the evaluator tells it. `damaged`: the checkpoint (asked about, a baseline or a parent) whose
    files are not those of its manifest; `waiting_for`: what it waits for while it is under way, for people."""

    progress: EvaluationProgress
    measurement: Measurement | None = None
    error_reason: str = ""
    error: str = ""
    damaged: CheckpointRef | None = None
    waiting_for: str = ""


class EvaluatorPort(Protocol):
    """The evaluator. Raises Unavailable when it does not answer, NotFound when it does not know an evaluation."""

    async def create(self, run_id: str, command: Evaluate) -> EvaluationView:
        """Request an evaluation; the same again is a success."""
        ...

    async def get(self, evaluation_id: str) -> EvaluationView:
        """The evaluation, as far as it is known."""
        ...

    async def write_point(self, order: WritePoint) -> tuple[CheckpointRef, int]:
        """Write an interpolation as a checkpoint; its name and its bytes. The same again writes the same. Raises
        CheckpointDamaged when one of its two ends is not what its manifest says."""
        ...

    async def delete_run_records(self, run_id: str) -> None:
        """Delete evaluations, history and series of a run that was deleted. Again is no error."""
        ...


class Leadership(Protocol):
    """Who of several orchestrators on one database leads. All methods block."""

    def take(self) -> bool:
        """Take the lead if nobody has it; whether this process has it now. Raises Unavailable."""
        ...

    def held(self) -> bool:
        """Whether this process still has it."""
        ...

    def give_back(self) -> None:
        """Let somebody else lead."""
        ...


class GarbageMeter(Protocol):
    """Counts what was thrown away."""

    def freed(self, kind: str, freed_bytes: int) -> None:
        """An item of a kind is gone."""
        ...


class Notifier(Protocol):
    """Shows decisions to people where they look at graphs. Blocks; raises Unavailable."""

    def annotate(self, decision: Decision) -> None:
        """Draw one decision; drawing it twice must do no harm."""
        ...


class NoNotifier(Notifier):
    """Annotations are off."""

    def annotate(self, decision: Decision) -> None:
        """Draws nothing."""


class BaseReader(Protocol):
    """Reads the config.json of a model that a spec names. Blocks."""

    def context_of(self, uri: str) -> int | None:
        """Longest sequence of the model in tokens, or None when this server cannot read it."""
        ...

    def sizes_of(self, uri: str) -> Sizes | None:
        """Sizes of the model, or None when this server cannot read it or they do not say all."""
        ...
