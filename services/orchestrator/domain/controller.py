"""Who chooses the replay share: the ladder after a threshold was crossed, or a controller that anticipates."""

from services.orchestrator.domain.gate import Judgement, Ruling
from services.orchestrator.domain.ladder import climb
from services.orchestrator.domain.run_state import Checkpoint, Mix, StageRun
from services.orchestrator.domain.spec import PipelineSpec
from services.orchestrator.domain.values import Measurement


def observe(stage: StageRun, checkpoint: Checkpoint, measured: Measurement) -> StageRun:
    """The stage with what a controller learns from a boundary."""
    return stage


def project(spec: PipelineSpec, stage: StageRun, checkpoint: Checkpoint, measured: Measurement) -> float | None:
    """The worst score projected to the stage's end, or None for the raw one: the ladder has nothing fitted."""
    return None


def next_mix(spec: PipelineSpec, stage: StageRun, checkpoint: Checkpoint, judgement: Judgement) -> tuple[Mix, str]:
    """The mix from this boundary on and what changed; an empty text changes nothing."""
    if judgement.ruling is not Ruling.MORE_REPLAY or judgement.worst is None:
        return stage.mix, ""
    return climb(stage.mix, judgement.worst.retention_set)
