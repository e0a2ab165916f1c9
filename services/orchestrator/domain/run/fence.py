"""The fence: a call of an older worker group or attempt is refused, also from a process that wakes up days later."""

from retain.values.faults import mismatch
from services.common.errors import NotFound, Stale
from services.orchestrator.domain.run.events import WorkerEvent
from services.orchestrator.domain.run.state import PipelineRun, StageRun

PREPARING = -1


def check_submission(state: PipelineRun, submission: int) -> None:
    """Raises Stale unless `submission` is the present worker group."""
    if submission != state.submission:
        raise Stale(
            f"run {state.id}: {mismatch(f'worker group {submission}', f'the present one, {state.submission}')}",
            reason="STALE_SUBMISSION",
            metadata={"submission": str(submission), "present": str(state.submission)},
        )


def check_attempt(state: PipelineRun, submission: int, attempt: int, stage_index: int) -> None:
    """Raises Stale unless the call comes from the present attempt of the stage (or of preparing, -1)."""
    check_submission(state, submission)
    present = state.prepare_attempt if stage_index == PREPARING else stage_of(state, stage_index).attempt.number
    if attempt != present:
        raise Stale(
            f"run {state.id}, stage {stage_index}: {mismatch(f'attempt {attempt}', f'the present one, {present}')}",
            reason="STALE_ATTEMPT",
            metadata={"attempt": str(attempt), "present": str(present)},
        )


def check(state: PipelineRun, event: WorkerEvent) -> None:
    """The fence in front of every worker's event."""
    check_attempt(state, event.submission, event.attempt, event.stage_index)


def stage_of(state: PipelineRun, stage_index: int) -> StageRun:
    """The stage with this place in the spec. Raises NotFound."""
    if not 0 <= stage_index < len(state.stages):
        raise NotFound(f"run {state.id}: stage: {mismatch(stage_index, f'0 to {len(state.stages) - 1}')}")
    return state.stages[stage_index]
