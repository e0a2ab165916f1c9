"""The compose file: TLS between all of its containers, and every program that it starts is in its image."""

import ast
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[3]


def services() -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load((ROOT / "deploy/compose.yaml").read_text())["services"]
    return found


def test_no_container_speaks_plain_text_and_each_has_its_own_certificate() -> None:
    folders = {}
    for name in ("orchestrator", "evaluator", "ray-head", "ray-worker"):
        one = services()[name]
        assert one["environment"]["RETAIN_TLS_KEY"] == "/tls/tls.key"
        (folders[name],) = [mount.partition(":")[0] for mount in one["volumes"] if ":/tls:ro" in mount]
    assert folders == {
        "orchestrator": "tls-orchestrator",
        "evaluator": "tls-evaluator",
        "ray-head": "tls-worker",
        "ray-worker": "tls-worker",
    }
    assert "RETAIN_ALLOW_PLAIN_TEXT" not in (ROOT / "deploy/compose.yaml").read_text()


def test_services_call_each_other_where_certificates_are_shown_and_people_s_programs_do_not() -> None:
    found = services()
    for caller in ("orchestrator", "evaluator"):
        assert found[caller]["environment"]["RETAIN_SERVER"] == "orchestrator:7076"
        assert found[caller]["environment"]["RETAIN_EVALUATOR"] == "evaluator:7077"
    assert found["orchestrator"]["environment"]["RETAIN_INTERNAL_BIND"] == "0.0.0.0:7076"
    assert found["evaluator"]["environment"]["RETAIN_EVALUATOR_INTERNAL_BIND"] == "0.0.0.0:7077"
    panel = found["ui"]["environment"]
    assert (panel["RETAIN_SERVER"], panel["RETAIN_TLS_CA"]) == ("orchestrator:7070", "/tls/ca.crt")
    assert "RETAIN_TLS_KEY" not in panel
    published = [port for one in found.values() for port in one.get("ports", ())]
    assert not any(port.endswith((":7076", ":7077")) for port in published)


def test_certificates_are_made_before_anybody_needs_them_and_their_authority_is_nobody_else_s() -> None:
    found = services()
    for name in ("orchestrator", "evaluator", "ray-head"):
        assert found[name]["depends_on"]["certificates"] == {"condition": "service_completed_successfully"}
    holders = [name for name, one in found.items() if any("tls-authority" in mount for mount in one.get("volumes", ()))]
    assert holders == ["certificates"]


def test_the_image_of_the_orchestrator_has_all_that_its_programs_of_deploy_import() -> None:
    stage = (ROOT / "deploy/docker/Dockerfile").read_text().split(" AS orchestrator\n")[1].split("FROM ")[0]
    copied = {word.removesuffix(".py") for word in stage.replace("/", ".").split() if word.startswith("deploy.")}
    assert {"deploy.bootstrap", "deploy.issue", "deploy.healthcheck"} <= copied
    for name in copied - {"deploy.__init__"}:
        tree = ast.parse((ROOT / f"{name.replace('.', '/')}.py").read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("deploy"):
                needed = {f"deploy.{one.name}" for one in node.names} if node.module == "deploy" else {node.module}
                assert needed <= copied, f"{name} imports what the image lacks"
