"""A run that forgets, on the real stack: Prometheus sees it, a person is paged, the platform acts, the page ends."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from deploy.monitoring.dashboards import boards
from tests.e2e.pipelines import EVERY_STEPS, three_stages
from tests.e2e.stack import PATIENCE_S, Stack, wait_until
from tests.integration.alert_harness import QUICK, alert_harness, query
from ui.client.client import RetainClient

pytestmark = [pytest.mark.e2e, pytest.mark.integration, pytest.mark.slow]
PAGE = "RetainForgettingAction"
# What shows only when uploads fail, and intervals, which the few held-out documents of so little text do not give.
# What a run may have none of: failed uploads, intervals of a set that is too small, scores below the gauge's floor.
# A run without fine-tuning is asked no probe.
QUIET = (
    "upload_failures",
    "retain_probe",
    "_ci_low",
    "_ci_high",
    "<= on (run, stage, retention_set) retain_forgetting_floor_ratio",
)


def forgetful(name: str) -> dict[str, Any]:
    """A mid-training without general text at a rate far too high, and limits that let the ladder work in place."""
    spec = three_stages(name)
    spec["stages"] = spec["stages"][:2]
    spec["stages"][0]["learning_rate"] = 3e-3
    spec["stages"][1]["learning_rate"] = 1e-3
    spec["stages"][1]["duration"] = {"steps": 10 * EVERY_STEPS}
    spec["stages"][1]["data"]["general_share"] = 0.0
    spec["stages"][1]["curriculum"] = {"strategy": "STAGED", "levels": 3}
    spec["forgetting"] = {"minor": 0.05, "action": 0.10, "stop": 5.0, "budget": 0.10, "settle": 0.0, "max_retries": 3}
    spec["forgetting"] |= {"controller": "LADDER", "stop_on": "RAW"}
    return spec


def metrics_host(url: str) -> str:
    """`host:port` of an endpoint's URL."""
    return urlsplit(url).netloc


def test_a_run_that_forgets_pages_recovers_and_resolves(stack: Stack, client: RetainClient, tmp_path: Path):
    targets = {
        "retain-evaluator": [metrics_host(stack.endpoints["evaluator_metrics"])],
        "retain-orchestrator": [metrics_host(stack.endpoints["metrics"])],
    }
    with alert_harness(tmp_path, targets) as harness:
        expressions = {expression for board in boards(QUICK) for expression in board.expressions()}
        silent = {text for text in expressions if not any(part in text for part in QUIET)}
        run = client.create_run(forgetful("forgetful"))

        def ended() -> bool:
            silent.difference_update([text for text in silent if query(harness.port, text)])
            return client.get_run(run.id).is_settled

        wait_until(ended, "the run ends", within_s=2 * PATIENCE_S)
        run = client.get_run(run.id)
        decisions = client.decisions(run.id)
        assert run.state == "SUCCEEDED", run.status.message
        assert "firing" in harness.webhook.statuses(PAGE)
        assert max(d.forgetting for d in decisions if d.forgetting is not None) >= 0.10
        assert any(d.verdict in ("ADJUST", "ROLL_BACK") for d in decisions)
        assert run.stages[1].forgetting is not None
        assert run.stages[1].forgetting < 0.10
        wait_until(lambda: harness.webhook.statuses(PAGE)[-1] == "resolved", "the page resolves", within_s=60)
        assert silent == set(), "panels without data during a run"
