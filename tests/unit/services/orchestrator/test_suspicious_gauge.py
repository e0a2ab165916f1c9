"""The flag of scores that are too good to be true, as Prometheus sees it."""

import pytest
from prometheus_client import CollectorRegistry

from services.common.metrics import OrchestratorMetrics
from services.orchestrator.adapters.exporter import Exporter
from services.orchestrator.application.run_store import SystemClock
from tests.scenarios.scenario_runner import training

LABELS = {"run": "r1", "stage": "midtrain/code", "retention_set": "general"}


@pytest.mark.parametrize(("ratio", "flag"), [(0.04, 0.0), (-0.29, 0.0), (-0.31, 1.0), (-3.3, 1.0)])
def test_the_flag_follows_the_floor_of_the_run(ratio: float, flag: float) -> None:
    registry, runner = CollectorRegistry(), training("suspicious_below=-0.3")
    exporter = Exporter(OrchestratorMetrics(registry), SystemClock())
    for line in ("checkpoint 10", "score 10 general=-0.9", "checkpoint 20", f"score 20 general={ratio}"):
        before = runner.state
        runner.apply(line)
        exporter.changed(before, runner.state, ())
    assert registry.get_sample_value("retain_forgetting_suspicious", LABELS) == flag
