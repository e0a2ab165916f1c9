"""The alerts as Prometheus reads them, and as Grafana reads them (file provisioning)."""

from typing import Any

from deploy.monitoring.alerts import Alert, Parameters, alerts

DATASOURCE = "retain-prometheus"
GROUP = "retain"
MISSING_EVALUATIONS = 20  # Grafana resolves an alert whose series has gone after so many evaluations (default: 2)
NOT_A_NUMBER = "is_nan($A) || is_inf($A)"


def prometheus_rules(parameters: Parameters) -> dict[str, Any]:
    """The rule file. `keep_firing_for` needs Prometheus 2.42 or newer."""
    rules = []
    for alert in alerts(parameters):
        rule: dict[str, Any] = {"alert": alert.name, "expr": alert.expression(), "for": alert.hold}
        if alert.keep != "0s":
            rule["keep_firing_for"] = alert.keep
        rule["labels"] = _labels(alert)
        rule["annotations"] = _annotations(
            alert, parameters, value=_prometheus_value(alert), label="{{{{ $labels.{} }}}}"
        )
        rules.append(rule)
    return {"groups": [{"name": GROUP, "interval": parameters.interval, "rules": rules}]}


def grafana_rules(parameters: Parameters) -> dict[str, Any]:
    """Provisioning file of Grafana-managed rules. Keys are spelled as Grafana's reader wants them: most in mixed case,
    `missing_series_evals_to_resolve` not; a wrong spelling is dropped without a word.

    A is the value of every series, C the comparison in Grafana's own arithmetic: so a series that fell below the
    threshold is still there and `keepFiringFor` holds it, which it does not for a series that is filtered away.
    """
    return {
        "apiVersion": 1,
        "groups": [
            {
                "orgId": 1,
                "name": GROUP,
                "folder": "Retain",
                "interval": "30s",
                "rules": [_grafana_rule(alert, parameters) for alert in alerts(parameters)],
            }
        ],
    }


def _grafana_rule(alert: Alert, parameters: Parameters) -> dict[str, Any]:
    query = {
        "refId": "A",
        "relativeTimeRange": {"from": 600, "to": 0},
        "datasourceUid": DATASOURCE,
        "model": {"refId": "A", "expr": alert.value, "instant": True, "range": False},
    }
    condition = f"$A {alert.comparison} {alert.threshold:g} || {NOT_A_NUMBER}"
    compare = {
        "refId": "C",
        "relativeTimeRange": {"from": 600, "to": 0},
        "datasourceUid": "__expr__",
        "model": {"refId": "C", "type": "math", "expression": condition},
    }
    rule: dict[str, Any] = {
        "uid": alert.name.lower(),
        "title": alert.name,
        "condition": "C",
        "data": [query, compare],
        "noDataState": "OK",  # no run, no score; that a score is missing is an alert of its own
        "execErrState": "Error",
        "for": alert.hold,
        "missing_series_evals_to_resolve": MISSING_EVALUATIONS,
        "labels": _labels(alert),
        "annotations": _annotations(alert, parameters, value=_grafana_value(alert), label="{{{{ $labels.{} }}}}"),
    }
    if alert.keep != "0s":
        rule["keepFiringFor"] = alert.keep
    return rule


def _labels(alert: Alert) -> dict[str, str]:
    return {"severity": alert.severity, "service": "retain"}


def _annotations(alert: Alert, parameters: Parameters, *, value: str, label: str) -> dict[str, str]:
    names = {"value": value} | {name: label.format(name) for name in alert.labels}
    return {
        "summary": alert.summary.format(**names),
        "description": alert.description.format(**names),
        "runbook_url": f"{parameters.runbook}#{alert.name.lower()}",
    }


def _prometheus_value(alert: Alert) -> str:
    return "{{ $value | humanizePercentage }}" if alert.percent else '{{ $value | printf "%.0f" }}'


def _grafana_value(alert: Alert) -> str:
    return "{{ humanizePercentage $values.A.Value }}" if alert.percent else '{{ printf "%.0f" $values.A.Value }}'
