"""Alerts and dashboards: what is committed is what the definitions make, and every reader of it accepts it."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from deploy.monitoring import generate
from deploy.monitoring.alerts import Parameters, alerts
from deploy.monitoring.charts import Board
from deploy.monitoring.dashboards import boards, dashboard_json
from deploy.monitoring.rules import DATASOURCE, grafana_rules, prometheus_rules
from services.common import metrics
from services.common.metrics import Kind

MONITORING = Path(generate.__file__).parent
NAMES = {metric.name for metric in metrics.ALL} | {
    f"{metric.name}{suffix}"
    for metric in metrics.ALL
    if metric.kind is Kind.HISTOGRAM
    for suffix in ("_bucket", "_sum", "_count")
}


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("required: promtool (Debian's package prometheus)")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


def test_the_committed_files_are_what_the_definitions_make():
    assert generate.differences(Parameters()) == []


def test_a_changed_missing_or_foreign_file_is_a_difference(tmp_path):
    generate.write(Parameters(), tmp_path)
    assert generate.differences(Parameters(), tmp_path) == []
    (tmp_path / "prometheus/rules.yaml").write_text("groups: []\n")
    (tmp_path / "alertmanager/alertmanager.yaml").unlink()
    (tmp_path / "old.yaml").write_text("")
    assert generate.differences(Parameters(), tmp_path) == [
        "alertmanager/alertmanager.yaml",
        "old.yaml",
        "prometheus/rules.yaml",
    ]


def test_rules_are_silent_just_before_and_fire_just_after():
    found = promtool("test", "rules", str(MONITORING / "rules_test.yaml"))
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("name", ["local", "compose"])
def test_prometheus_accepts_its_configuration(name):
    found = promtool("check", "config", str(MONITORING / f"generated/prometheus/{name}.yaml"))
    assert found.returncode == 0, found.stdout + found.stderr


def test_alertmanager_accepts_its_configuration():
    program = shutil.which("amtool")
    if program is None:
        pytest.skip("required: amtool (Debian's package prometheus-alertmanager)")
    path = MONITORING / "generated/alertmanager/alertmanager.yaml"
    found = subprocess.run([program, "check-config", str(path)], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def test_both_kinds_of_rules_come_from_one_definition():
    ours = [alert.name for alert in alerts(Parameters())]
    theirs = prometheus_rules(Parameters())["groups"][0]["rules"]
    grafanas = grafana_rules(Parameters())["groups"][0]["rules"]
    assert [rule["alert"] for rule in theirs] == [rule["title"] for rule in grafanas] == ours
    for rule, grafana in zip(theirs, grafanas, strict=True):
        assert rule["for"] == grafana["for"]
        assert rule["labels"] == grafana["labels"]
        assert rule["annotations"]["runbook_url"] == grafana["annotations"]["runbook_url"]


def test_grafana_rules_have_the_keys_that_its_reader_knows():
    """Grafana drops a key that is spelled wrongly without a word, so the allowed ones are listed here by hand."""
    known = {"uid", "title", "condition", "data", "dashboardUid", "panelId", "noDataState", "execErrState", "for"}
    known |= {"keepFiringFor", "annotations", "labels", "isPaused", "missing_series_evals_to_resolve"}
    text = (MONITORING / "generated/grafana/provisioning/alerting/retain.yaml").read_text()
    for rule in YAML(typ="safe").load(text)["groups"][0]["rules"]:
        assert set(rule) <= known
        assert rule["missing_series_evals_to_resolve"] > 2
        query, compare = rule["data"]
        assert (query["datasourceUid"], compare["datasourceUid"]) == (DATASOURCE, "__expr__")
        assert query["model"]["instant"] is True
        assert query["relativeTimeRange"] == {"from": 600, "to": 0}
        assert "is_nan($A)" in compare["model"]["expression"]
        assert len(rule["uid"]) <= 40


def test_every_alert_has_its_paragraph_in_the_runbook():
    headings = {
        line.removeprefix("## ").lower()
        for line in (MONITORING.parent / "docs" / "runbook.md").read_text().splitlines()
    }
    for rule in prometheus_rules(Parameters())["groups"][0]["rules"]:
        assert rule["annotations"]["runbook_url"].split("#")[1] in headings


def test_rules_and_dashboards_read_only_metrics_that_are_exported():
    texts = [alert.value for alert in alerts(Parameters())]
    texts += [text for board in boards(Parameters()) for text in board.expressions()]
    used = {name for text in texts for name in re.findall(r"\b(?:retain|grpc_server)_[a-z_]+", text)}
    assert used <= NAMES
    assert metrics.FORGETTING_RATIO.name in used


@pytest.mark.parametrize("board", boards(Parameters()), ids=lambda board: board.uid)
def test_dashboards_fit_grafanas_schema(board: Board, shared_tools: Path):
    schema = json.loads((shared_tools / "schemas/grafana-dashboard.schema.json").read_text())
    document = dashboard_json(board)
    jsonschema.Draft7Validator(schema).validate(document)
    assert document["uid"] == board.uid
    for panel in document["panels"]:
        assert panel["datasource"]["uid"] == DATASOURCE
        assert panel["description"]
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in document["panels"]]
    assert len(places) == len(set(places))


def test_the_score_is_drawn_with_the_bands_of_the_alerts():
    parameters = Parameters(minor=0.03, action=0.07, stop=0.15)
    board = next(board for board in boards(parameters) if board.uid == "retain-forgetting")
    steps = dashboard_json(board)["panels"][0]["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [step["value"] for step in steps] == [None, 0.03, 0.07, 0.15]
