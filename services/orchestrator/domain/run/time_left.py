"""How long a stage will still take, from figures that are measured: the pace of its steps and what boundaries cost."""

from services.orchestrator.domain.run.state import StageRun, StageState


def time_left_s(stage: StageRun) -> float | None:
    """Seconds to the stage's end at the present pace; None while no pace is known or the stage does not run.

    The pace of the steps is the last one that was measured, so that there is an answer right after a resume. Each
    boundary still to come is taken to cost what those of this attempt cost (before its first one: those of the
    attempts before): seconds waited for uploads and verdicts and stalled by copies.
    """
    if stage.status is not StageState.RUNNING or stage.last.pace <= 0 or not stage.last.step:
        return None
    tokens_per_step = stage.last.tokens / stage.last.step
    training_s = (stage.plan.steps - stage.last.step) * tokens_per_step / stage.last.pace
    reached = stage.branch.newest.boundary if stage.branch.newest else 0
    return max(0.0, training_s) + max(0, stage.plan.boundaries - reached) * _boundary_s(stage, reached)


def _boundary_s(stage: StageRun, reached: int) -> float:
    passed = reached - stage.attempt.resume_boundary
    if passed > 0:
        return (stage.costs.wait_s + stage.costs.stall_s) / passed
    return (stage.costs.earlier_wait_s + stage.costs.earlier_stall_s) / max(1, stage.attempt.resume_boundary)
