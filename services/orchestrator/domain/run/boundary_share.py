"""What boundaries took of a stage's time so far, from what was measured."""

from services.orchestrator.domain.run.state import StageRun


def boundary_share(stage: StageRun) -> float | None:
    """Share of the stage's time in which its workers waited for uploads and verdicts or stood still for copies, over
    all attempts: 0.1 is a tenth. None before anything was waited for, or where nothing is known of the steps' time."""
    boundaries_s = stage.costs.wait_s + stage.costs.stall_s + stage.costs.earlier_wait_s + stage.costs.earlier_stall_s
    training_s = stage.costs.train_s + stage.costs.earlier_train_s
    if boundaries_s <= 0 or training_s <= 0:
        return None
    return boundaries_s / (boundaries_s + training_s)
