"""Rows 50 and 51: dashboards that ask nobody, and secrets that anybody guesses. What is shipped is read, what runs is
asked."""

import io
import re
from pathlib import Path
from typing import Any

import pytest
from minio import Minio
from minio.error import S3Error
from ruamel.yaml import YAML

from services.common.errors import InvalidInput
from services.common.identity.settings import IdentitySettings
from services.common.identity.tokens import SHORTEST_TOKEN
from tests.attacks.installation import Installation
from tests.attacks.matrix import Attack
from tests.attacks.test_calls import http_status

ROOT = Path(__file__).resolve().parents[2]
GUESSED = ("", "admin", "retain", "changeme", "minioadmin", "x" * (SHORTEST_TOKEN - 1))


def compose() -> dict[str, Any]:
    return dict(YAML(typ="safe").load((ROOT / "deploy/compose.yaml").read_text()))


def test_row_50_dashboards_that_ask_nobody(attack: Attack, installation: Installation) -> None:
    """No Grafana is shipped; Prometheus comes when it is asked for, and on loopback alone; Ray's wants its token."""
    for name, service in compose()["services"].items():
        assert "grafana" not in service.get("image", "")
        assert not [key for key in service.get("environment") or {} if "ANONYMOUS" in str(key).upper()]
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), f"{name} is published beyond loopback: {port}"
    assert compose()["services"]["prometheus"]["profiles"] == ["monitoring"]
    attack.refused("none in compose but on loopback")
    for template in (ROOT / "helm/retain/templates").rglob("*.yaml"):
        text = template.read_text().lower()
        assert "auth.anonymous" not in text
        assert "gf_auth_anonymous" not in text
        assert not re.search(r"image:.*(grafana|prometheus)", text), template.name
    attack.refused("none in the chart: boards for a Grafana of the cluster's own")
    if installation.stack is not None:
        ray = installation.stack.endpoints["ray"]
        for path in (
            "/api/version",
            "/nodes?view=summary",
            "/logical/actors",
            "/api/v0/tasks",
            "/api/prometheus_health",
        ):
            status = http_status(ray + path, "GET", None, {})
            assert status in (401, 403), f"{path}: {status}"
            attack.refused(str(status))


def test_row_51_secrets_that_are_guessed(
    attack: Attack, installation: Installation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Short, empty and equal ones are refused; there are no defaults; the store knows no usual ones."""
    monkeypatch.setenv("RETAIN_HOME", str(tmp_path))
    for name in ("RETAIN_ADMIN_TOKEN", "RETAIN_SERVICE_TOKEN"):
        for value in GUESSED:
            monkeypatch.setenv(name, value)
            with pytest.raises(InvalidInput) as caught:
                IdentitySettings().known()
            assert value not in str(caught.value) or len(value) < 10, "the secret is told back"
            attack.refused("INVALID_ARGUMENT")
            monkeypatch.delenv(name)
    for name in ("RETAIN_ADMIN_TOKEN", "RETAIN_SERVICE_TOKEN"):
        monkeypatch.setenv(name, "the-same-token-for-both-of-them-0123456789")
    with pytest.raises(InvalidInput):
        IdentitySettings().known()
    text = (ROOT / "deploy/compose.yaml").read_text()
    for name in re.findall(r"\$\{(\w*(?:TOKEN|SECRET|KEY|PASSWORD)\w*)([^}]*)\}", text):
        assert name[1].startswith(":?") or name[1] == ":-", f"{name[0]} has a default in compose"
    attack.refused("no default in compose")
    if installation.stack is not None:
        _the_store_knows_no_usual_keys(attack, installation.stack)


def _the_store_knows_no_usual_keys(attack: Attack, stack: Any) -> None:
    address = stack.endpoints["object_store"].removeprefix("http://")
    for access, secret in (("minioadmin", "minioadmin"), ("retain", "retain"), ("any", "any"), ("admin", "admin")):
        client = Minio(address, access_key=access, secret_key=secret, secure=False, region="us-east-1")
        with pytest.raises(S3Error) as caught:
            client.put_object("retain", "runs/stolen", io.BytesIO(b"x"), 1)
        attack.refused(str(caught.value.code))
