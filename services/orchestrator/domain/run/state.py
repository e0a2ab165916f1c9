"""State of a run: everything the pure core needs to decide, and nothing else.

A run's state is one frozen tree. `step(state, event)` makes the next one; the repository stores it as it is. What must
be done is never stored as a queue of orders: `due(state)` derives it, so that after a crash a look at the state is
enough to continue.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from retain.values import (
    CheckpointRef,
    CheckpointState,
    Domain,
    ForgettingScore,
    LinePoint,
    MixPoint,
    PipelineSpec,
    PointKind,
    PreparedData,
    ProbeReport,
    RunState,
    SetResult,
    Severity,
    StageKind,
    StagePhase,
    StageState,
    Verdict,
)
from services.orchestrator.domain.policy.ladder import Mix
from services.orchestrator.domain.policy.projection import Scored
from services.orchestrator.domain.spec.plan import PlannedStage
from services.orchestrator.domain.values import Measurement

DEFAULT_PROJECT = "default"  # of everything that was stored before there were projects


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A registered checkpoint. `severity` is None until the gate has decided on it; `measurement` waits for that.
    `point`: where it lies between parent (0) and result (1), with its kind and the manifest of the end other than the
    result; None for one that was trained. `effective_shares`: of
    replay, for each set (domain/policy/anticipation.py). `evaluation_tries` failed since a person last resumed the run,
    `evaluations_failed` in all (a name is never used twice); `evaluation_pause_s` before the next. `interim`: taken
    between two boundaries because the workers were told to leave. `message`: why it was set aside. `project`: that of
    its run, as the database holds it."""

    id: str
    run_id: str
    stage_index: int
    stage: str
    kind: StageKind
    domain: Domain
    attempt: int
    boundary: int
    ref: CheckpointRef
    parent: str
    status: CheckpointState = CheckpointState.LIVE
    bytes: int = 0
    train_loss_nats: float = 0.0
    forgetting: float | None = None
    severity: Severity | None = None
    target_loss_nats: float | None = None
    measurement: Measurement | None = None
    evaluation_tries: int = 0
    evaluations_failed: int = 0
    evaluation_pause_s: float = 0.0
    created_s: float = 0.0
    point: float | None = None
    point_kind: PointKind = PointKind.SEGMENT
    other_end: str = ""
    effective_shares: Mapping[str, float] = field(default_factory=dict)
    interim: bool = False
    message: str = ""
    project: str = DEFAULT_PROJECT

    @property
    def good(self) -> bool:
        """A finite verdict below `action`: what a rollback may go back to."""
        return self.severity in (Severity.OK, Severity.MINOR, Severity.UNRESOLVED)


@dataclass(frozen=True, kw_only=True)
class Directive:
    """What workers are told on a boundary: the verdict on it, and the mix that holds from there on. Once stored it is
    never changed in its branch."""

    boundary: int
    verdict: Verdict
    mix: Mix
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Rollback:
    """A rollback that was decided: the boundary to go back to (0: the stage's start) and the mix from there on."""

    boundary: int
    mix: Mix


@dataclass(frozen=True, kw_only=True)
class MixFrom:
    """The mix that held from a boundary on."""

    boundary: int
    mix: Mix


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """The attempt that is under way, or was last: which one, and where it began. `reached` is the last boundary that it
    has reached. From boundary `cut` on its work does not count: its checkpoint was set aside without a verdict."""

    number: int = 0
    request_id: str = ""
    resume: CheckpointRef | None = None
    resume_boundary: int = 0
    reached: int = 0
    cut: int | None = None


@dataclass(frozen=True, kw_only=True)
class Branch:
    """The chain of checkpoints that counts. It starts at `start_boundary` with `start_mix` (the stage's start, or the
    target of the last rollback) and continues over job restarts; `verdicts` are those of this branch, `mix` the newest
    decided one.

    `checkpoints` are those whose files are there. Those in `pruning` (being deleted), in `voided` (given up, to be
    deleted) and in `damaged` (set aside; their files stay as they are) are chosen by no rule. `interim` was taken after
    the newest boundary by workers that had to leave. `trail` are the mixes that held before the branch's start, for an
    attempt that has to begin there. `pending_rollback` ends it: the next attempt begins another one.
    """

    start_boundary: int = 0
    start_mix: Mix = field(default_factory=Mix)
    mix: Mix = field(default_factory=Mix)
    verdicts: tuple[Directive, ...] = ()
    checkpoints: tuple[Checkpoint, ...] = ()
    interim: Checkpoint | None = None
    voided: tuple[Checkpoint, ...] = ()
    pruning: tuple[Checkpoint, ...] = ()
    damaged: tuple[Checkpoint, ...] = ()
    trail: tuple[MixFrom, ...] = ()
    pending_rollback: Rollback | None = None

    @property
    def newest(self) -> Checkpoint | None:
        """The newest checkpoint that counts."""
        return self.checkpoints[-1] if self.checkpoints else None

    @property
    def newest_trained(self) -> Checkpoint | None:
        """The newest checkpoint that training can resume from."""
        return next((c for c in reversed(self.checkpoints) if c.point is None), None)

    @property
    def resume_point(self) -> Checkpoint | None:
        """What the next attempt resumes from: the newest checkpoint, or the interim one that was taken after it."""
        newest, interim = self.newest_trained, self.interim
        if interim is not None and (newest is None or interim.ref.step > newest.ref.step):
            return interim
        return newest

    @property
    def registered(self) -> tuple[Checkpoint, ...]:
        """Every checkpoint that was reported and is remembered, whatever became of it."""
        interim = (self.interim,) if self.interim is not None else ()
        return (*self.checkpoints, *interim, *self.voided, *self.pruning, *self.damaged)

    @property
    def decided_boundary(self) -> int:
        """The last boundary of this branch that has a verdict."""
        return self.verdicts[-1].boundary if self.verdicts else self.start_boundary

    def known_at(self, boundary: int) -> Checkpoint | None:
        """The checkpoint at a boundary, also when its files are not used any more."""
        here = (c for c in (*reversed(self.damaged), *reversed(self.pruning)) if c.boundary == boundary)
        return self.at_boundary(boundary) or next((c for c in here if not c.interim), None)

    def at_boundary(self, boundary: int) -> Checkpoint | None:
        """The checkpoint that counts at a boundary."""
        return next((c for c in self.checkpoints if c.boundary == boundary), None)

    def with_checkpoint(self, checkpoint: Checkpoint) -> "Branch":
        """The branch with one of its checkpoints as it is now, known by its id."""
        return replace(self, checkpoints=tuple(checkpoint if c.id == checkpoint.id else c for c in self.checkpoints))


@dataclass(frozen=True, kw_only=True)
class GateMemory:
    """What the gate and the controllers remember from one boundary to the next. The mix was changed last at
    `adjusted_step`; a score that spans a threshold was let pass `watched` times; `retries` rollbacks were made, to
    `rollback_steps`, and a person granted `extra_retries`; `held_rollback` waits for a person. `recent` are the last
    boundaries under the present rung, `constants` the last estimates of c of each set (nats), `guarded` those of sets
    that nothing replays, by the share of general text. `finite`: every loss and score of the last control sets was a
    finite number, and there was one."""

    adjusted_step: int = -1
    watched: int = 0
    retries: int = 0
    extra_retries: int = 0
    rollback_steps: tuple[int, ...] = ()
    held_rollback: Rollback | None = None
    recent: tuple[Scored, ...] = ()
    constants: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    guarded: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    finite: bool = False


@dataclass(frozen=True, kw_only=True)
class Interpolation:
    """What was measured between a stage's parent and its result, and the point `chosen` to be written in the result's
    place. `tries`, `failed` and `pause_s` are for its points what a checkpoint has for its evaluation."""

    points: tuple[LinePoint, ...] = ()
    chosen: float | None = None
    tries: int = 0
    failed: int = 0
    pause_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class LastFigures:
    """The last figures, shown to people and never decided by. `tokens_per_second` is 0 while nothing moves, `pace` the
    last rate that was measured."""

    step: int = 0
    tokens: int = 0
    train_loss_nats: float = 0.0
    learning_rate: float = 0.0
    tokens_per_second: float = 0.0
    pace: float = 0.0
    curriculum_level: int = 0
    upload_failures: int = 0
    checkpoint_count: int = 0
    forgetting: float | None = None
    worst_set: str = ""
    scores: tuple[ForgettingScore, ...] = ()
    results: tuple[SetResult, ...] = ()
    report_scores: tuple[ForgettingScore, ...] = ()
    report_results: tuple[SetResult, ...] = ()
    probe: ProbeReport | None = None


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What the boundaries of a stage took, for people and for what later plans say. Waited for verdicts and uploads,
    stood still for copies, trained: in this attempt, and in those before it (seconds). Uploads and evaluations are
    summed over all attempts."""

    wait_s: float = 0.0
    stall_s: float = 0.0
    train_s: float = 0.0
    earlier_wait_s: float = 0.0
    earlier_stall_s: float = 0.0
    earlier_train_s: float = 0.0
    upload_s: float = 0.0
    upload_bytes: int = 0
    evaluation_s: float = 0.0
    evaluation_tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class MixTrial:
    """The trial of mixes that a stage's shares were chosen by, what it cost, and the choice in words."""

    points: tuple[MixPoint, ...]
    tokens: int = 0
    seconds: float = 0.0
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class StageRun:
    """How one stage stands, by concern. `accepted` is its result; `interpolation` is None before a point between its
    parent and its result was measured, `trial` before mixes were tried."""

    plan: PlannedStage
    status: StageState = StageState.LOCKED
    attempt: Attempt = field(default_factory=Attempt)
    branch: Branch = field(default_factory=Branch)
    gate: GateMemory = field(default_factory=GateMemory)
    interpolation: Interpolation | None = None
    trial: MixTrial | None = None
    last: LastFigures = field(default_factory=LastFigures)
    costs: Costs = field(default_factory=Costs)
    accepted: CheckpointRef | None = None
    started_s: float = 0.0
    ended_s: float = 0.0

    @property
    def gives_up(self) -> bool:
        """Whether what the present attempt makes does not count any more: the next one begins elsewhere."""
        return self.branch.pending_rollback is not None or self.attempt.cut is not None

    @property
    def known_interpolation(self) -> Interpolation:
        """What is known of the points between parent and result; nothing before one was measured."""
        return self.interpolation or Interpolation()

    @property
    def without_interpolation(self) -> Interpolation | None:
        """The interpolation given up: what is remembered is how often it failed, for a name is never used twice."""
        return Interpolation(failed=self.known_interpolation.failed) if self.known_interpolation.failed else None


class JobStatus(StrEnum):
    """Where a worker group's Ray job is, as far as we know."""

    WANTED = "WANTED"
    SUBMITTED = "SUBMITTED"


@dataclass(frozen=True, kw_only=True)
class Job:
    """A Ray job that is wanted or may still live. `submit_after_s`: a pause before it is submitted. `stop_after_s`: how
    long it may take to end by itself, from when that is first seen; None while it is to run. `told_to_leave`: by its
    machine (drain, spot, preemption). `excused`: it found a damaged checkpoint, and its end is no restart."""

    submission: int
    status: JobStatus = JobStatus.WANTED
    submit_after_s: float = 0.0
    stop_after_s: float | None = None
    told_to_leave: bool = False
    excused: bool = False


@dataclass(frozen=True, kw_only=True)
class PipelineRun:
    """How a run stands. Times are Unix seconds; `store_uri` is the bucket's URI, `s3://retain`. `restarts` counts
    groups that ended, `interruptions` those that were told to leave, both without a new checkpoint between them.
    `evaluations_wait`: what evaluations wait for, by their names. `queued_s`: since when it waits for its turn (it did
    before it was written down: 0); `priority` moves it among those of its `project`."""

    id: str
    spec: PipelineSpec
    store_uri: str
    status: RunState = RunState.PENDING
    reason: str = ""
    message: str = ""
    stages: tuple[StageRun, ...] = ()
    base: CheckpointRef | None = None
    queue_number: int = 0
    submission: int = 0
    jobs: tuple[Job, ...] = ()
    restarts: int = 0
    interruptions: int = 0
    workers_wait_for: str = ""
    evaluations_wait: Mapping[str, str] = field(default_factory=dict)
    used_requests: tuple[str, ...] = ()
    phase: StagePhase = StagePhase.UNSPECIFIED
    prepare_attempt: int = 0
    prepare_request_id: str = ""
    prepare_progress: float = 0.0
    prepared: PreparedData | None = None
    decisions: int = 0
    annotated: int = 0
    sequence: int = 0
    created_s: float = 0.0
    updated_s: float = 0.0
    ended_s: float = 0.0
    project: str = DEFAULT_PROJECT
    priority: int = 0
    queued_s: float = 0.0

    @property
    def etag(self) -> str:
        """Changes with every change."""
        return f"{self.id}.{self.sequence}"

    @property
    def waiting_for(self) -> str:
        """What the run waits for, for people; empty while nothing is waited for."""
        if self.status.ended:
            return ""
        said = (self.workers_wait_for, *self.evaluations_wait.values())
        return "; ".join(dict.fromkeys(filter(None, said)))

    @property
    def current(self) -> StageRun | None:
        """The first stage that is not complete, or None when all are."""
        return next((stage for stage in self.stages if stage.status is not StageState.COMPLETE), None)

    def with_stage(self, stage: StageRun) -> "PipelineRun":
        """The state with one stage replaced."""
        index = stage.plan.index
        return replace(self, stages=(*self.stages[:index], stage, *self.stages[index + 1 :]))
