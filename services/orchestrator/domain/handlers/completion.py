"""How a stage, and with the last one the run, comes to its end; and how a run is suspended."""

from dataclasses import replace

from services.orchestrator.domain.run.commands import Record, RecordCheckpoint
from services.orchestrator.domain.run.state import (
    Checkpoint,
    CheckpointState,
    PipelineRun,
    RunState,
    StageRun,
    StageState,
)

# How long a group that was told to end may take before its job is stopped, in seconds.
LEAVE_AFTER_SUCCESS_S = 30.0
LEAVE_AFTER_STOP_S = 20.0


def complete_stage(
    state: PipelineRun, stage: StageRun, checkpoint: Checkpoint, now_s: float
) -> tuple[PipelineRun, tuple[Record, ...]]:
    """Accept a checkpoint as its stage's result and unlock what comes next."""
    accepted = replace(checkpoint, status=CheckpointState.ACCEPTED)
    stage = replace(
        stage,
        status=StageState.COMPLETE,
        accepted=accepted.ref,
        branch=stage.branch.with_checkpoint(accepted),
        ended_s=now_s,
    )
    state = state.with_stage(stage)
    following = state.current
    if following is None:
        state = end_run(state, RunState.SUCCEEDED, "", "", now_s, leave_after_s=LEAVE_AFTER_SUCCESS_S)
    else:
        state = state.with_stage(replace(following, status=StageState.READY))
    return state, (RecordCheckpoint(checkpoint=accepted),)


def end_run(
    state: PipelineRun, status: RunState, reason: str, message: str, now_s: float, *, leave_after_s: float
) -> PipelineRun:
    """Bring a run to a terminal state; its workers may leave by themselves for a while."""
    stages = tuple(
        replace(s, status=StageState.FAILED, ended_s=now_s)
        if s.status in (StageState.RUNNING, StageState.SUSPENDED)
        else s
        for s in state.stages
    )
    state = replace(
        state, status=status, reason=reason, message=message, stages=stages, ended_s=now_s, queue_number=0,
        workers_wait_for="", evaluations_wait={},
    )  # fmt: skip
    return dismiss(state, leave_after_s)


def suspend(state: PipelineRun, stage: StageRun, reason: str, message: str, now_s: float) -> PipelineRun:
    """Hand a stage over to a person and free the workers."""
    state = state.with_stage(replace(stage, status=StageState.SUSPENDED))
    state = replace(state, status=RunState.SUSPENDED, reason=reason, message=message, workers_wait_for="")
    return dismiss(state, LEAVE_AFTER_STOP_S)


def dismiss(state: PipelineRun, leave_after_s: float) -> PipelineRun:
    """Every job of the run is to end: by itself, or stopped when it has not done so within `leave_after_s`."""
    jobs = tuple(
        replace(job, stop_after_s=leave_after_s if job.stop_after_s is None else min(job.stop_after_s, leave_after_s))
        for job in state.jobs
    )
    return replace(state, jobs=jobs)
