"""Forgetting reaches people: a real Prometheus scrapes our metrics, a real Alertmanager calls a webhook."""

import json
import shutil
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry, start_http_server

from deploy.monitoring.alerts import Parameters
from deploy.monitoring.config import alertmanager_config, prometheus_config
from deploy.monitoring.dashboards import boards
from deploy.monitoring.generate import to_yaml
from deploy.monitoring.rules import prometheus_rules
from services.common.grpc_interceptors import MetricsInterceptor
from services.common.metrics import EvaluatorMetrics, OrchestratorMetrics
from tests.contract.object_store_servers import free_ports

pytestmark = pytest.mark.integration
QUICK = Parameters(
    minor_for="0s", missing_for="2s", down_for="1s", stalled_for="1s", keep_firing_for="1s", interval="500ms"
)
WHERE = {"run": "r1", "stage": "midtrain/code"}


class Webhook(ThreadingHTTPServer):
    """Keeps every alert that it was sent, in order."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Receiver)
        self.received: list[tuple[str, str, str]] = []  # alert, status, summary

    def statuses(self, alert: str) -> list[str]:
        return [status for name, status, _ in self.received if name == alert]


class _Receiver(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        for alert in document["alerts"]:
            row = (alert["labels"]["alertname"], alert["status"], alert["annotations"]["summary"])
            self.server.received.append(row)
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


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


def wait_until(what: str, condition: Callable[[], bool], *, timeout_s: float = 25.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.05)


def query(port: int, expression: str) -> list[dict]:
    url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(url, timeout=5) as reply:
        return json.load(reply)["data"]["result"]


def ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as reply:
            return reply.status == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    for program in ("prometheus", "prometheus-alertmanager"):
        if shutil.which(program) is None:
            pytest.skip(f"required: {program} (Debian's package)")
    folder: Path = tmp_path_factory.mktemp("alerts")
    prometheus_port, alertmanager_port, evaluator_port, orchestrator_port = free_ports(4)
    webhook = Webhook()
    threading.Thread(target=webhook.serve_forever, daemon=True).start()
    evaluator, orchestrator = Exporter(evaluator_port), Exporter(orchestrator_port)
    targets = {
        "retain-evaluator": [f"127.0.0.1:{evaluator_port}"],
        "retain-orchestrator": [f"127.0.0.1:{orchestrator_port}"],
    }
    alertmanager = f"127.0.0.1:{alertmanager_port}"
    config = prometheus_config(QUICK, targets, alertmanagers=[alertmanager])
    hook = f"http://127.0.0.1:{webhook.server_address[1]}/"
    (folder / "rules.yaml").write_text(to_yaml(prometheus_rules(QUICK)))
    (folder / "prometheus.yaml").write_text(to_yaml(config))
    (folder / "alertmanager.yaml").write_text(
        to_yaml(alertmanager_config(hook, group_wait="200ms", group_interval="1s"))
    )
    # fmt: off
    commands = [
        ["prometheus-alertmanager", f"--config.file={folder}/alertmanager.yaml", f"--storage.path={folder}/am",
         f"--web.listen-address={alertmanager}", "--cluster.listen-address="],
        ["prometheus", f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/tsdb",
         f"--web.listen-address=127.0.0.1:{prometheus_port}", "--rules.alert.resend-delay=500ms"],
    ]
    # fmt: on
    evaluator_metrics, orchestrator_metrics = (
        EvaluatorMetrics(evaluator.registry),
        OrchestratorMetrics(orchestrator.registry),
    )
    MetricsInterceptor(evaluator.registry)
    for exporter in (evaluator, orchestrator):
        exporter.start()
    processes = []
    with (folder / "log").open("ab") as log:
        processes = [subprocess.Popen(command, stdout=log, stderr=log) for command in commands]
    try:
        wait_until("Prometheus is ready", lambda: ready(f"http://127.0.0.1:{prometheus_port}/-/ready"))
        wait_until("Alertmanager is ready", lambda: ready(f"http://{alertmanager}/-/ready"))
        yield SimpleNamespace(
            port=prometheus_port,
            webhook=webhook,
            evaluator=evaluator,
            metrics=evaluator_metrics,
            orchestrator=orchestrator_metrics,
        )
    finally:
        for process in processes:
            process.kill()
            process.wait(timeout=10)
        for exporter in (evaluator, orchestrator):
            exporter.kill()
        webhook.shutdown()
        webhook.server_close()


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
