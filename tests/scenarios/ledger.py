"""What lies around the core in a simulation: the store's checkpoints, jobs, names that were given away. It carries
out what the core orders and checks what must hold whatever happens."""

from dataclasses import dataclass, field

from retain.values import StageWork
from services.orchestrator.domain.due import due
from services.orchestrator.domain.handlers.assignment import work_of
from services.orchestrator.domain.run import events as e
from services.orchestrator.domain.run.commands import (
    Annotate,
    Command,
    Evaluate,
    Prune,
    Record,
    RecordCheckpoint,
    StopJob,
    SubmitJob,
    WritePoint,
    wait_of,
)
from services.orchestrator.domain.run.state import CheckpointState, PipelineRun, RunState, StageState


@dataclass(kw_only=True)
class Ledger:
    """What lies around one run. `answered` are names of evaluations and orders whose failure was told; `waits_s` the
    longest pause that a command asked for."""

    files: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    live_jobs: set[int] = field(default_factory=set)
    submitted: set[int] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)
    prefixes: dict[str, tuple[int, str]] = field(default_factory=dict)
    rows: dict[str, CheckpointState] = field(default_factory=dict)
    waits_s: float = 0.0

    def record(self, record: Record) -> None:
        """A record became durable."""
        if isinstance(record, RecordCheckpoint):
            self.rows[record.checkpoint.id] = record.checkpoint.status

    def carry_out(self, action: Command, now_s: float) -> e.Event | None:
        """Do what needs nobody's answer; what comes of it is the event."""
        self.waits_s = max(self.waits_s, wait_of(action)) if not isinstance(action, StopJob) else self.waits_s
        match action:
            case SubmitJob():
                assert action.submission not in self.submitted, f"job {action.submission} is submitted twice"
                self.submitted.add(action.submission)
                self.live_jobs.add(action.submission)
                return e.JobSubmitted(submission=action.submission, now_s=now_s)
            case StopJob():
                self.live_jobs.discard(action.submission)
                return e.JobEnded(submission=action.submission, now_s=now_s)
            case Prune():
                assert self.rows[action.checkpoint_id] in (CheckpointState.PRUNING, CheckpointState.VOID), (
                    f"{action.checkpoint_id} is deleted before its row says so"
                )
                self.files.discard(action.uri)
                self.deleted.add(action.uri)
                return e.CheckpointPruned(checkpoint_id=action.checkpoint_id, now_s=now_s)
            case Annotate():
                return e.DecisionAnnotated(number=action.number, now_s=now_s)
            case Evaluate():
                assert action.evaluation_id not in self.answered, f"{action.evaluation_id} has been answered before"
            case WritePoint():
                assert action.order_id not in self.answered, f"{action.order_id} has been answered before"
        return None

    def written(self, uri: str) -> None:
        """Files came into the store."""
        assert uri not in self.deleted, f"{uri} is written again after its deletion"
        self.files.add(uri)

    def check(self, state: PipelineRun) -> None:
        """What holds in every state."""
        running = [s for s in state.stages if s.status is StageState.RUNNING]
        assert len(running) <= 1, "one attempt at a time"
        assert state.status is RunState.RUNNING or not running, "only a run at work trains"
        for stage in state.stages:
            numbers = [c.boundary for c in stage.branch.checkpoints]
            assert numbers == sorted(set(numbers)), f"one checkpoint a boundary, in their order: {numbers}"
            for c in stage.branch.checkpoints:
                lost = stage.accepted is not None and c.ref.uri == stage.accepted.uri  # it waits for its restoration
                assert c.status.usable or lost, f"{c.id} is {c.status} and still counts"
                assert c.ref.uri in self.files, f"{c.id} still counts, and its files are gone"
            for rollback in (stage.branch.pending_rollback, stage.gate.held_rollback):
                if rollback is not None and rollback.boundary > 0:
                    # One that was set aside is made again on the way there.
                    there = {c.boundary for c in (*stage.branch.checkpoints, *stage.branch.damaged)}
                    assert rollback.boundary in there, f"nothing is at boundary {rollback.boundary} any more"
            if stage.accepted is not None:
                assert stage.accepted.uri in self.files, "the accepted checkpoint is gone"
        if state.status.ended:
            asked = [effect for effect in due(state) if isinstance(effect, Evaluate | WritePoint | SubmitJob)]
            assert not asked, f"an ended run asks for {asked}"
            assert all(job.stop_after_s is not None for job in state.jobs), "an ended run keeps its jobs"

    def handed_out(self, state: PipelineRun, request: str) -> None:
        """A group was given work: no two attempts write to one place, and what it loads is there."""
        work = work_of(state)
        if not isinstance(work, StageWork):
            return
        key = (state.submission, request)
        assert self.prefixes.setdefault(work.output_uri, key) == key, f"{work.output_uri} is given away twice"
        for ref in (work.resume, work.parent):
            assert ref is None or ref.uri in self.files, f"{ref.uri} is to be loaded, and it is gone"
