"""Forgetting reaches people: a real Prometheus scrapes our metrics, a real Alertmanager calls a webhook."""

import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry, start_http_server

from deploy.monitoring.dashboards import boards
from services.common.grpc.interceptors import MetricsInterceptor
from services.common.metrics import EvaluatorMetrics, OrchestratorMetrics
from tests.integration.alert_harness import QUICK, alert_harness, query, wait_until
from tests.ports import free_ports

pytestmark = pytest.mark.integration
WHERE = {"run": "r1", "stage": "midtrain/code"}


class Exporter:
    """A service's metrics port that can be killed and started again on its port."""

    def __init__(self, port: int) -> None:
        self.registry, self.port = CollectorRegistry(), port

    def start(self) -> None:
        self.server, self.thread = start_http_server(self.port, "127.0.0.1", registry=self.registry)

    def kill(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    evaluator, orchestrator = (Exporter(port) for port in free_ports(2))
    targets = {
        "retain-evaluator": [f"127.0.0.1:{evaluator.port}"],
        "retain-orchestrator": [f"127.0.0.1:{orchestrator.port}"],
    }
    evaluator_metrics = EvaluatorMetrics(evaluator.registry)
    orchestrator_metrics = OrchestratorMetrics(orchestrator.registry)
    MetricsInterceptor(evaluator.registry)
    for exporter in (evaluator, orchestrator):
        exporter.start()
    try:
        with alert_harness(tmp_path_factory.mktemp("alerts"), targets) as harness:
            yield SimpleNamespace(
                port=harness.port,
                webhook=harness.webhook,
                evaluator=evaluator,
                metrics=evaluator_metrics,
                orchestrator=orchestrator_metrics,
            )
    finally:
        for exporter in (evaluator, orchestrator):
            exporter.kill()


def test_forgetting_pages_a_dead_evaluator_keeps_the_page_and_recovery_resolves_it(here: SimpleNamespace):
    page, webhook = "RetainForgettingAction", here.webhook
    score = here.metrics.forgetting_ratio.labels(**WHERE, retention_set="general")
    here.orchestrator.stage_running.labels(**WHERE, kind="MIDTRAIN").set(1)
    here.orchestrator.stage_verdicts_due.labels(**WHERE, kind="MIDTRAIN").set(1)
    score.set(0.04)
    wait_until("the score is scraped", lambda: bool(query(here.port, "retain_forgetting_ratio")))
    assert webhook.statuses(page) == []

    score.set(0.10)  # exactly the threshold
    wait_until("the page", lambda: webhook.statuses(page) == ["firing"])
    assert (page, "firing", "r1 forgot 10% of general") in webhook.received

    here.evaluator.kill()
    wait_until("the dead evaluator is told of", lambda: "firing" in webhook.statuses("RetainEvaluatorDown"))
    wait_until("the missing score is told of", lambda: "firing" in webhook.statuses("RetainForgettingMetricMissing"))
    assert query(here.port, "retain_forgetting_ratio") == []  # the series is gone, and yet:
    time.sleep(4)  # four times keep_firing_for
    assert "resolved" not in webhook.statuses(page)

    here.evaluator.start()
    wait_until("the evaluator is back", lambda: "resolved" in webhook.statuses("RetainEvaluatorDown"))
    assert "resolved" not in webhook.statuses(page)

    score.set(0.03)
    wait_until("the recovery", lambda: webhook.statuses(page)[-1] == "resolved")


def test_a_graver_alert_silences_the_lesser_and_infinity_is_the_gravest(here: SimpleNamespace):
    here.metrics.forgetting_ratio.labels(run="r2", stage="finetune", retention_set="code").set(float("inf"))
    here.orchestrator.stage_running.labels(run="r2", stage="finetune", kind="FINETUNE").set(1)
    firing = 'ALERTS{alertname="RetainForgettingMinor",alertstate="firing",run="r2"}'
    wait_until("the stop", lambda: any("r2 forgot" in text for _, _, text in here.webhook.received))
    wait_until("the minor alert fires in Prometheus", lambda: bool(query(here.port, firing)))
    told = {name for name, status, text in here.webhook.received if status == "firing" and "r2" in text}
    assert "RetainForgettingStop" in told


def test_every_dashboard_expression_is_answered(here: SimpleNamespace):
    """No data is an answer here (nothing trains); an expression that does not parse is an error of the server."""
    for board in boards(QUICK):
        for expression in board.expressions():
            query(here.port, expression)
    assert query(here.port, "retain_forgetting_ratio")
