"""A real Prometheus and a real Alertmanager with our rules, in seconds, not minutes, and a webhook that they call."""

import json
import shutil
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deploy.monitoring.alerts import Parameters
from deploy.monitoring.config import alertmanager_config, prometheus_config
from deploy.monitoring.generate import to_yaml
from deploy.monitoring.rules import prometheus_rules
from tests.ports import free_ports

QUICK = Parameters(
    minor_for="0s", missing_for="2s", down_for="1s", stalled_for="1s", keep_firing_for="1s", interval="500ms"
)


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


@dataclass(frozen=True, kw_only=True)
class AlertHarness:
    """`port` of Prometheus, and the webhook that hears of every alert."""

    port: int
    webhook: Webhook


@contextmanager
def alert_harness(folder: Path, targets: Mapping[str, Sequence[str]]) -> Iterator[AlertHarness]:
    """Prometheus scrapes `targets` (job: host:port), Alertmanager calls the webhook; both end with the block."""
    for program in ("prometheus", "prometheus-alertmanager"):
        if shutil.which(program) is None:
            pytest.skip(f"required: {program} (Debian's package)")
    prometheus_port, alertmanager_port = free_ports(2)
    webhook = Webhook()
    threading.Thread(target=webhook.serve_forever, daemon=True).start()
    alertmanager = f"127.0.0.1:{alertmanager_port}"
    hook = f"http://127.0.0.1:{webhook.server_address[1]}/"
    config = prometheus_config(
        QUICK, {job: list(hosts) for job, hosts in targets.items()}, alertmanagers=[alertmanager]
    )
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
    with (folder / "log").open("ab") as log:
        processes = [subprocess.Popen(command, stdout=log, stderr=log) for command in commands]
    try:
        wait_until("Prometheus is ready", lambda: ready(f"http://127.0.0.1:{prometheus_port}/-/ready"))
        wait_until("Alertmanager is ready", lambda: ready(f"http://{alertmanager}/-/ready"))
        yield AlertHarness(port=prometheus_port, webhook=webhook)
    finally:
        for process in processes:
            process.kill()
            process.wait(timeout=10)
        webhook.shutdown()
        webhook.server_close()
