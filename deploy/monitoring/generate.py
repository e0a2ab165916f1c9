"""Writes everything that Prometheus, Alertmanager and Grafana read: `python -m deploy.monitoring.generate [--check]`.

Files under deploy/monitoring/generated are made here and never edited; `--check` says which ones differ (exit code 1).
"""

import argparse
import io
import json
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from deploy.monitoring import config
from deploy.monitoring.alerts import Parameters
from deploy.monitoring.dashboards import boards, dashboard_json
from deploy.monitoring.rules import grafana_rules, prometheus_rules

FOLDER = Path(__file__).parent / "generated"
HEADER = "# Made by python -m deploy.monitoring.generate; do not edit.\n"
COMPOSE_WEBHOOK = "http://webhook:9095/"


def files(parameters: Parameters) -> dict[str, str]:
    """Every generated file: path below the folder, and text."""
    compose_alertmanagers = ["alertmanager:9093"]
    found = {
        "prometheus/rules.yaml": to_yaml(prometheus_rules(parameters)),
        "prometheus/local.yaml": to_yaml(config.prometheus_config(parameters, config.LOCAL_TARGETS)),
        "prometheus/compose.yaml": to_yaml(
            config.prometheus_config(parameters, config.COMPOSE_TARGETS, alertmanagers=compose_alertmanagers)
        ),
        "alertmanager/alertmanager.yaml": to_yaml(config.alertmanager_config(COMPOSE_WEBHOOK)),
        "grafana/provisioning/alerting/retain.yaml": to_yaml(grafana_rules(parameters)),
        "grafana/provisioning/datasources/retain.yaml": to_yaml(config.grafana_datasource("http://prometheus:9090")),
        "grafana/provisioning/dashboards/retain.yaml": to_yaml(
            config.grafana_dashboard_provider("/var/lib/grafana/dashboards")
        ),
    }
    for board in boards(parameters):
        found[f"grafana/dashboards/{board.uid}.json"] = (
            json.dumps(dashboard_json(board), indent=1, sort_keys=True) + "\n"
        )
    return found


def differences(parameters: Parameters, folder: Path = FOLDER) -> list[str]:
    """Names of the files that are missing, differ, or should not be there."""
    wanted = files(parameters)
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    changed = {name for name in there & wanted.keys() if (folder / name).read_text(encoding="utf-8") != wanted[name]}
    return sorted(changed | (there ^ wanted.keys()))


def write(parameters: Parameters, folder: Path = FOLDER) -> None:
    """Writes every file, and removes those that are no longer made."""
    wanted = files(parameters)
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        if str(path.relative_to(folder)) not in wanted:
            path.unlink()
    for name, text in wanted.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def to_yaml(value: dict[str, Any]) -> str:
    """YAML in block style, keys in the order given."""
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 4096
    out = io.StringIO()
    yaml.dump(value, out)
    return HEADER + out.getvalue()


def main() -> int:
    """Exit code 1 when `--check` finds a difference."""
    parser = argparse.ArgumentParser(prog="python -m deploy.monitoring.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether the files are as they would be made")
    if parser.parse_args().check:
        found = differences(Parameters())
        for name in found:
            print(f"differs: {FOLDER / name}", file=sys.stderr)
        return 1 if found else 0
    write(Parameters())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
