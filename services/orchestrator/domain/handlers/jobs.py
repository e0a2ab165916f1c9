"""What becomes of worker groups: jobs that were submitted, ended, or hang.

The truth about a run is its rows and manifests, never the job's status: a job that ended while its run is not done, for
whatever reason and under whatever name, is followed by the next one.
"""

from dataclasses import replace

from services.orchestrator.domain.handlers.completion import LEAVE_AFTER_STOP_S, end_run
from services.orchestrator.domain.handlers.lifecycle import next_group
from services.orchestrator.domain.run.backoff import pause_s
from services.orchestrator.domain.run.commands import Record
from services.orchestrator.domain.run.events import JobEnded, JobSubmitted, StageEnded, WorkersHung
from services.orchestrator.domain.run.state import JobStatus, PipelineRun, RunState

Outcome = tuple[PipelineRun, tuple[Record, ...]]
LONGEST_PAUSE_S = 25.0  # before a group that follows a broken one: who waits for the reason learns it within a minute


def on_job_submitted(state: PipelineRun, event: JobSubmitted) -> Outcome:
    """The job server knows the group."""
    jobs = tuple(
        replace(job, status=JobStatus.SUBMITTED) if job.submission == event.submission else job for job in state.jobs
    )
    return replace(state, jobs=jobs), ()


def on_job_ended(state: PipelineRun, event: JobEnded) -> Outcome:
    """A job is gone. The present one of a run that is not done is followed by the next."""
    excused = any(job.submission == event.submission and job.excused for job in state.jobs)
    state = replace(state, jobs=tuple(job for job in state.jobs if job.submission != event.submission))
    if event.submission != state.submission or state.status is not RunState.RUNNING:
        return state, ()
    said = event.message or "the job ended before the run was done"
    if excused:
        return next_group(replace(state, reason="WORKERS_REPLACED", message=f"{said}; not counted as a restart")), ()
    return _replace_group(state, said, event.max_restarts, event.now_s), ()


def on_workers_hung(state: PipelineRun, event: WorkersHung) -> Outcome:
    """Fence off a group that hangs, stop its job, and want the next one."""
    if event.submission != state.submission or state.status is not RunState.RUNNING:
        return state, ()
    jobs = tuple(replace(job, stop_after_s=0.0) if job.submission == event.submission else job for job in state.jobs)
    return _replace_group(replace(state, jobs=jobs), event.message, event.max_restarts, event.now_s), ()


def on_told_to_leave(state: PipelineRun, event: StageEnded) -> PipelineRun:
    """The machine of a group takes itself away, or its disk is full: the next group follows at once, and only where
    nothing is gained between interruptions after longer and longer pauses. Never counted against the run."""
    full = event.failed
    jobs = tuple(
        replace(job, told_to_leave=True, stop_after_s=LEAVE_AFTER_STOP_S) if job.submission == event.submission else job
        for job in state.jobs
    )
    pause = pause_s(state.interruptions + (1 if full else 0))
    why = event.message or ("its disk is full" if full else "its workers were told to leave")
    state = replace(
        state,
        jobs=jobs,
        interruptions=state.interruptions + 1,
        reason="WORKERS_INTERRUPTED",
        message=f"worker group {state.submission} left: {why}",
    )
    state = next_group(state, after_s=pause)
    return replace(state, workers_wait_for=f"{why}; the next workers start in {pause:g} s" if pause else "")


def _replace_group(state: PipelineRun, said: str, max_restarts: int, now_s: float) -> PipelineRun:
    restarts = state.restarts + 1
    if restarts > max_restarts:
        message = f"{restarts} worker groups ended without a new checkpoint; the last: {said}"
        return end_run(state, RunState.FAILED, "JOB_KEEPS_FAILING", message, now_s, leave_after_s=0.0)
    message = f"worker group {state.submission} was replaced: {said}"
    # The first at once; where nothing is gained between them a bad moment of the job server must not end a run.
    pause = min(LONGEST_PAUSE_S, pause_s(restarts - 1))
    state = next_group(replace(state, restarts=restarts, reason="WORKERS_REPLACED", message=message), after_s=pause)
    return replace(state, workers_wait_for=f"the next workers start in {pause:g} s: {said}" if pause else "")
