"""The pure core: `Step = step(state, event)`.

No clock, no network, no database: an event comes in (with the time in it), the next state and what it asks for go out.
An event that is old news changes nothing and asks for nothing, so every event may come twice.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from services.orchestrator.domain.due import due
from services.orchestrator.domain.handlers.checkpoints import (
    on_checkpoint,
    on_evaluation_failed,
    on_evaluation_finished,
)
from services.orchestrator.domain.handlers.choices.mix_trial import on_mix_tried
from services.orchestrator.domain.handlers.damage import on_voided
from services.orchestrator.domain.handlers.interpolation import on_point_written
from services.orchestrator.domain.handlers.jobs import on_job_ended, on_job_submitted, on_workers_hung
from services.orchestrator.domain.handlers.lifecycle import (
    on_admitted,
    on_approved,
    on_cancelled,
    on_retried,
    on_updated,
)
from services.orchestrator.domain.handlers.retention import begin_pruning
from services.orchestrator.domain.handlers.verdicts import decide_ready
from services.orchestrator.domain.handlers.workers import on_attempt_asked, on_progress, on_stage_ended
from services.orchestrator.domain.run import events as e
from services.orchestrator.domain.run.commands import Command, Record, RecordCheckpoint, name_of
from services.orchestrator.domain.run.state import CheckpointState, PipelineRun

Outcome = tuple[PipelineRun, tuple[Record, ...]]


@dataclass(frozen=True, kw_only=True)
class Step:
    """What comes of an event, in the order in which it is dealt with: `run` and `records` are made durable first, in
    one transaction; `commands_after_commit` are what became due by it, carried out afterwards and never before (compare
    Ready of etcd's raft). So a checkpoint's row says that it is given up before its files go, and a verdict is stored
    before a worker hears it. Nothing is lost where a process dies in between: `due(run)` finds the commands again.
    """

    run: PipelineRun
    records: tuple[Record, ...] = ()
    commands_after_commit: tuple[Command, ...] = ()


def step(state: PipelineRun, event: e.Event) -> Step:
    """The next state, the records to be written with it, and the commands that became due. An event that changes
    nothing gives back the very state that it came to.

    Raises the errors of services/common/errors.py for what a state forbids; the state is then as it was.
    """
    after, records = _HANDLERS[type(event)](state, event)
    if after == state and not isinstance(event, e.QueueMoved):
        return Step(run=state, records=records)
    after, given_up = begin_pruning(after)
    after = _no_longer_asked(after)
    after = replace(after, sequence=state.sequence + 1, updated_s=event.now_s)
    before = set(map(name_of, due(state)))
    became_due = tuple(command for command in due(after) if name_of(command) not in before)
    return Step(run=after, records=(*records, *given_up), commands_after_commit=became_due)


def _unchanged(state: PipelineRun, event: Any) -> Outcome:
    return state, ()


def _on_evaluation_waits(state: PipelineRun, event: e.EvaluationWaits) -> Outcome:
    rest = {name: why for name, why in state.evaluations_wait.items() if name != event.evaluation_id}
    if event.waiting_for:
        rest[event.evaluation_id] = event.waiting_for
    return replace(state, evaluations_wait=rest), ()


def _no_longer_asked(state: PipelineRun) -> PipelineRun:
    """Forget what evaluations waited for that nobody asks about any more."""
    if not state.evaluations_wait:
        return state
    asked = {name_of(command)[1] for command in due(state)}
    still = {name: why for name, why in state.evaluations_wait.items() if name in asked}
    return state if still == state.evaluations_wait else replace(state, evaluations_wait=still)


def _on_voided(state: PipelineRun, event: e.CheckpointVoided) -> Outcome:
    """A stage's end may have waited for a point that was to be made of it: it is left out now."""
    state, records = on_voided(state, event)
    stage = state.current
    if stage is None:
        return state, records
    state, more = decide_ready(state, stage.plan.index, event.now_s)
    return state, (*records, *more)


def _on_annotated(state: PipelineRun, event: e.DecisionAnnotated) -> Outcome:
    return replace(state, annotated=max(state.annotated, event.number)), ()


def _on_pruned(state: PipelineRun, event: e.CheckpointPruned) -> Outcome:
    for stage in state.stages:
        for checkpoint in (*stage.branch.pruning, *stage.branch.voided):
            if checkpoint.id != event.checkpoint_id:
                continue
            branch = replace(
                stage.branch,
                pruning=tuple(c for c in stage.branch.pruning if c.id != checkpoint.id),
                voided=tuple(c for c in stage.branch.voided if c.id != checkpoint.id),
            )
            stage = replace(stage, branch=branch)
            void = checkpoint.status is CheckpointState.VOID
            row = replace(checkpoint, status=CheckpointState.VOID if void else CheckpointState.PRUNED, measurement=None)
            return state.with_stage(stage), (RecordCheckpoint(checkpoint=row),)
    return state, ()


_HANDLERS: dict[type[e.Event], Callable[[PipelineRun, Any], Outcome]] = {
    e.Admitted: on_admitted,
    e.QueueMoved: _unchanged,
    e.Cancelled: on_cancelled,
    e.Approved: on_approved,
    e.Retried: on_retried,
    e.SpecUpdated: on_updated,
    e.AttemptAsked: on_attempt_asked,
    e.ProgressReported: on_progress,
    e.CheckpointReported: on_checkpoint,
    e.MixTried: on_mix_tried,
    e.StageEnded: on_stage_ended,
    e.EvaluationFinished: on_evaluation_finished,
    e.EvaluationFailed: on_evaluation_failed,
    e.EvaluationWaits: _on_evaluation_waits,
    e.CheckpointVoided: _on_voided,
    e.PointWritten: on_point_written,
    e.JobSubmitted: on_job_submitted,
    e.JobEnded: on_job_ended,
    e.WorkersHung: on_workers_hung,
    e.DecisionAnnotated: _on_annotated,
    e.CheckpointPruned: _on_pruned,
}
