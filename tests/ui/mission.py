"""Small runs of all three stages that a person looks at, and what they came to."""

from typing import Any

from tests.e2e.pipelines import EVERY_STEPS, three_stages
from ui.client.client import RetainClient
from ui.client.views import Checkpoint, Run

BOUNDARIES = (3, 2, 2)
TEAM = "team"


def mission(name: str, **changes: Any) -> dict[str, Any]:
    """All three stages, so short that they take seconds."""
    spec = three_stages(name)
    for stage, boundaries in zip(spec["stages"], BOUNDARIES, strict=True):
        stage["duration"] = {"steps": boundaries * EVERY_STEPS}
    return {**spec, **changes}


def accepted(client: RetainClient, run: Run, stage: str) -> Checkpoint:
    """What a stage of the run came to."""
    return next(row for row in client.checkpoints(run_id=run.id) if row.stage == stage and row.state == "ACCEPTED")
