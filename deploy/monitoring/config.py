"""Configurations around the rules: what Prometheus scrapes, where Alertmanager sends, what Grafana provisions."""

from collections.abc import Mapping, Sequence
from typing import Any

from deploy.monitoring.alerts import Parameters
from deploy.monitoring.rules import DATASOURCE

LOCAL_TARGETS = {"retain-orchestrator": ["127.0.0.1:7072"], "retain-evaluator": ["127.0.0.1:7073"]}
COMPOSE_TARGETS = {"retain-orchestrator": ["orchestrator:7072"], "retain-evaluator": ["evaluator:7073"]}


def prometheus_config(
    parameters: Parameters,
    targets: Mapping[str, Sequence[str]],
    *,
    rule_files: Sequence[str] = ("rules.yaml",),
    alertmanagers: Sequence[str] = (),
) -> dict[str, Any]:
    """prometheus.yml: one job per service. `targets` are host:port of the metrics ports by job."""
    config: dict[str, Any] = {
        "global": {"scrape_interval": parameters.interval, "evaluation_interval": parameters.interval},
        "rule_files": list(rule_files),
        "scrape_configs": [
            {
                "job_name": job,
                "scrape_timeout": _shorter(parameters.interval),
                "static_configs": [{"targets": list(hosts)}],
            }
            for job, hosts in targets.items()
        ],
    }
    if alertmanagers:
        config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": list(alertmanagers)}]}]}
    return config


def alertmanager_config(webhook: str, *, group_wait: str = "10s", group_interval: str = "1m") -> dict[str, Any]:
    """alertmanager.yml: one webhook; the graver of two forgetting alerts of one set silences the lesser."""
    same = ["run", "stage", "retention_set"]
    graver = [("RetainForgettingStop", "RetainForgettingAction|RetainForgettingMinor")]
    graver.append(("RetainForgettingAction", "RetainForgettingMinor"))
    return {
        "route": {
            "receiver": "retain",
            "group_by": ["alertname", "run"],
            "group_wait": group_wait,
            "group_interval": group_interval,
            "repeat_interval": "4h",
        },
        "receivers": [{"name": "retain", "webhook_configs": [{"url": webhook, "send_resolved": True}]}],
        "inhibit_rules": [
            {
                "source_matchers": [f'alertname="{source}"'],
                "target_matchers": [f'alertname=~"{target}"'],
                "equal": same,
            }
            for source, target in graver
        ],
    }


def grafana_datasource(url: str) -> dict[str, Any]:
    """Provisioning of the one data source, under the uid that dashboards and rules name."""
    source = {"name": "Retain Prometheus", "uid": DATASOURCE, "type": "prometheus", "access": "proxy", "url": url}
    return {"apiVersion": 1, "datasources": [source | {"jsonData": {"timeInterval": "15s"}, "editable": False}]}


def grafana_dashboard_provider(folder: str) -> dict[str, Any]:
    """Provisioning of the dashboards in a folder of files. No folderUid: Grafana makes the folder itself."""
    provider = {
        "name": "retain",
        "folder": "Retain",
        "type": "file",
        "disableDeletion": True,
        "allowUiUpdates": False,
        "options": {"path": folder},
    }
    return {"apiVersion": 1, "providers": [provider]}


def _shorter(interval: str) -> str:
    """A scrape may not take longer than the interval."""
    return interval if interval.endswith("ms") or interval in ("1s", "2s", "5s") else "5s"
