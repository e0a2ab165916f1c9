"""Small pipelines as people would write them into the panel, and what they came to."""

from typing import Any

from tests.e2e.pipelines import EVERY_STEPS, three_stages
from ui.client.client import RetainClient
from ui.client.views import Checkpoint, Run
from ui.spec.file import to_yaml

BOUNDARIES = (3, 2, 2)
TEAM = "team"


def small(name: str, *, pretrain: int = 8, midtrain: int = 4, **changes: Any) -> dict[str, Any]:
    """Pre-training and mid-training of so many boundaries, which are not to be rolled back."""
    spec = three_stages(name)
    spec["stages"] = spec["stages"][:2]
    spec["stages"][0]["duration"] = {"steps": pretrain * EVERY_STEPS}
    spec["stages"][1]["duration"] = {"steps": midtrain * EVERY_STEPS}
    return {**spec, **changes}


def forgetful(name: str, *, watched: bool) -> dict[str, Any]:
    """A mid-training without general text. `watched`: the rate rises slowly and nothing is done about it,
    so that it passes every band; else it is over `stop` at once, and a person is asked."""
    spec = small(name, midtrain=10 if watched else 4)
    spec["stages"][0]["learning_rate"] = 3e-3
    stage = spec["stages"][1]
    stage["data"]["general_share"] = 0.0
    stage["learning_rate"] = 6e-4 if watched else 1e-3
    spec["forgetting"] = {"minor": 0.05, "action": 0.10, "stop": 0.20, "settle": 0.0, "stop_on": "RAW"}
    if watched:
        stage["schedule"] = {"kind": "CONSTANT", "warmup": 0.9}
        spec["forgetting"] |= {"mitigate": False}
    else:
        spec["forgetting"] |= {"controller": "LADDER", "max_retries": 0}
    return spec


def text(spec: dict[str, Any]) -> str:
    """As it is pasted into the editor."""
    return to_yaml(spec)


def mission(name: str, **changes: Any) -> dict[str, Any]:
    """All three stages, so short that they take seconds."""
    spec = three_stages(name)
    for stage, boundaries in zip(spec["stages"], BOUNDARIES, strict=True):
        stage["duration"] = {"steps": boundaries * EVERY_STEPS}
    return {**spec, **changes}


def accepted(client: RetainClient, run: Run, stage: str) -> Checkpoint:
    """What a stage of the run came to."""
    return next(row for row in client.checkpoints(run_id=run.id) if row.stage == stage and row.state == "ACCEPTED")
