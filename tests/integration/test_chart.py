"""The chart with its real tools: lint, tests of the templates, schemas of the objects, copies that have not drifted."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from deploy import chart_files
from deploy.cluster_disturbances import PODS

pytestmark = pytest.mark.integration
CHART = chart_files.ROOT / "helm/retain"
VALUES = sorted((CHART / "ci").glob("*-values.yaml"))


@pytest.fixture(scope="session")
def tools(shared_tools: Path) -> dict[str, str]:
    """An environment that finds helm, helm-unittest and kubeconform."""
    unpacked = subprocess.run([str(shared_tools / "unpack")], check=True, capture_output=True, text=True).stdout.strip()
    return {**os.environ, "PATH": f"{unpacked}:{os.environ['PATH']}"}


def run(env: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def rendered(env: dict[str, str], values: Path) -> str:
    done = run(env, "helm", "template", "retain", str(CHART), "--namespace", "retain", "--values", str(values))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_the_chart_passes_the_strict_lint(tools: dict[str, str], values: Path) -> None:
    done = run(tools, "helm", "lint", "--strict", str(CHART), "--values", str(values))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_two_renders_are_the_same_bytes(tools: dict[str, str], values: Path) -> None:
    assert rendered(tools, values) == rendered(tools, values)


def test_no_template_holds_anything_that_another_render_would_change() -> None:
    generating = (
        r"\b(rand\w+|lookup|gen[A-Z]\w+|uuidv4|now|date\w*|derivePassword|htpasswd|bcrypt|encryptAES|getHostByName)\b"
    )
    for path in (CHART / "templates").rglob("*.*"):
        for action in re.findall(
            r"\{\{.*?\}\}", re.sub(r"\{\{-? ?/\*.*?\*/ ?-?\}\}", "", path.read_text(), flags=re.S), re.S
        ):
            assert not re.search(generating, action), f"{path.name}: {action}"


def checksums(text: str) -> dict[tuple[str, str], str]:
    """Of every pod that a controller makes, by its controller's name and the annotation's."""
    found = {}
    for one in YAML(typ="safe").load_all(text):
        template = ((one or {}).get("spec") or {}).get("template") or {}
        for key, value in (template.get("metadata", {}).get("annotations") or {}).items():
            found[one["metadata"]["name"], key] = value
    return found


SERVICES, RAY = {"retain-evaluator", "retain-orchestrator"}, {"retain-ray-head", "retain-ray-worker"}


@pytest.mark.parametrize(
    ("setting", "rolled"),
    [
        ("objectStore.secretKey=another-key", {"retain-minio", "retain-orchestrator"}),
        ("objectStore.existingSecret=mine", {"retain-minio", "retain-orchestrator"}),
        ("identity.existingSecret=mine", SERVICES),
        ("ray.existingSecret=mine", {*RAY, "retain-orchestrator"}),
        ("tls.existingSecrets.worker=mine", {*RAY, *SERVICES, "retain-ui"}),
        ("database.kind=postgresql,database.postgresql.existingSecret=mine", {"retain-orchestrator"}),
        ("image.pullPolicy=Always", set()),
    ],
)
def test_a_changed_secret_rolls_the_pods_that_read_it(tools: dict[str, str], setting: str, rolled: set[str]) -> None:
    assert rolled_by(tools, setting) == rolled


def test_where_the_store_makes_no_narrow_keys_its_own_roll_the_pods_that_hold_them(tools: dict[str, str]) -> None:
    setting = "objectStore.secretKey=another-key"
    assert rolled_by(tools, setting, first="objectStore.sts=false") == {"retain-minio", *SERVICES, *RAY}


def rolled_by(tools: dict[str, str], setting: str, first: str = "ui.enabled=true") -> set[str]:
    """Controllers whose pods an upgrade to these values replaces for a secret's sake."""
    command = ["helm", "template", "retain", str(CHART), "--set", f"objectStore.secretKey=first-key,{first}"]
    before = checksums(run(tools, *command).stdout)
    after = checksums(run(tools, *command, "--set", setting).stdout)
    assert before
    return {name for name, key in before if before[name, key] != after[name, key]}


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ("bootstrap.enabled=false", ["objectStore.existingSecret", "ray.existingSecret", "identity.existingSecret"]),
        ("bootstrap.enabled=false,objectStore.secretKey=of-the-values", ["ray.existingSecret"]),
        ("bootstrap.enabled=false,objectStore.existingSecret=a,ray.existingSecret=b", ["identity.existingSecret"]),
        ("bootstrap.enabled=false,identity.existingSecret=a", ["tls.existingSecrets.orchestrator"]),
        ("objectStore.externalEndpoint=https://s3.example.com", ["objectStore.externalEndpoint", "existingSecret"]),
    ],
)
def test_a_missing_secret_is_refused_by_name(tools: dict[str, str], settings: str, named: list[str]) -> None:
    done = run(tools, "helm", "template", str(CHART), "--set", settings)
    assert done.returncode != 0
    for name in named:
        assert name in done.stderr


@pytest.mark.parametrize(
    ("setting", "path"),
    [
        ("ui.nonsense=1", "/ui"),
        ("database.kind=oracle", "/database/kind"),
        ("evaluator.threads=0", "/evaluator/threads"),
        ("bootstrap.enabled=perhaps", "/bootstrap/enabled"),
        ("tls.days=0", "/tls/days"),
        ("networkPolicy.egress.minio=1", "/networkPolicy/egress"),
        ("tls.certManager.issuer=mine", "/tls/certManager"),
        ("objectStore.externalEndpoint=s3.example.com", "/objectStore/externalEndpoint"),
        ("objectStore.externalEndpoint=https://s3.example.com/bucket", "/objectStore/externalEndpoint"),
        ("objectStore.externalEndpoint=https://key:word@s3.example.com", "/objectStore/externalEndpoint"),
        ("objectStore.externalEndpoint=https://s3.example.com?region=eu", "/objectStore/externalEndpoint"),
        ("objectStore.publicEndpoint=https://s3.example.com/bucket", "/objectStore/publicEndpoint"),
    ],
)
def test_the_schema_refuses_a_wrong_value_and_names_it(tools: dict[str, str], setting: str, path: str) -> None:
    done = run(tools, "helm", "template", str(CHART), "--set", setting)
    assert done.returncode != 0
    assert path in done.stderr


def test_the_templates_pass_their_own_tests(tools: dict[str, str]) -> None:
    done = run(tools, "helm-unittest", str(CHART))
    assert done.returncode == 0, done.stdout + done.stderr
    for template in (path.stem for path in (CHART / "tests").glob("*_test.yaml")):
        assert f"{template}.yaml" in done.stdout


COMPONENT = "app.kubernetes.io/component"


def test_the_cluster_demo_replaces_a_pod_of_every_controller(tools: dict[str, str]) -> None:
    made = [one for one in YAML(typ="safe").load_all(rendered(tools, CHART / "ci/small-values.yaml")) if one]
    controllers = {one["metadata"]["name"]: one for one in made if one["kind"] in ("StatefulSet", "Deployment")}
    kinds = {name.removeprefix("retain-"): one["kind"].lower() for name, one in controllers.items()}
    assert kinds == PODS
    for name, one in controllers.items():
        assert one["spec"]["template"]["metadata"]["labels"][COMPONENT] == name.removeprefix("retain-")


def sides(policies: list[dict[str, Any]], side: str, other: str) -> set[tuple[str, str, int | None]]:
    """(component of the policy, component at the other end, port) of each way; a port of None: all, "*": anybody."""
    found = set()
    for spec in (one["spec"] for one in policies):
        component = spec["podSelector"]["matchLabels"].get(COMPONENT)
        for rule in spec.get(side, ()):
            peers = [one["podSelector"]["matchLabels"][COMPONENT] for one in rule.get(other, ())] or ["*"]
            ports = [one["port"] for one in rule["ports"]] or [None]
            found |= {(component, peer, port) for peer in peers for port in ports}
    return found


def test_network_policies_open_the_ways_of_the_components_on_both_sides_and_no_other(tools: dict[str, str]) -> None:
    command = ("helm", "template", "retain", str(CHART), "--set", "networkPolicy.enabled=true")
    policies = [one for one in YAML(typ="safe").load_all(run(tools, *command).stdout) if one]
    policies = [one for one in policies if one["kind"] == "NetworkPolicy"]
    come_in = {(peer, component, port) for component, peer, port in sides(policies, "ingress", "from")}
    go_out = sides(policies, "egress", "to")
    nodes = ("ray-head", "ray-worker")
    internal = {(one, "orchestrator", 7076) for one in ("evaluator", *nodes)}
    internal |= {("orchestrator", "evaluator", 7077), ("orchestrator", "ray-head", 8265)}
    internal |= {(one, another, None) for one in nodes for another in nodes}
    called = {("orchestrator", 7070), ("evaluator", 7071), ("ui", 7074), ("minio", 9000)}
    assert come_in == internal | {("*", *one) for one in called}
    to_called = {("ui", "orchestrator", 7070), ("ui", "evaluator", 7071)}
    to_called |= {(one, "minio", 9000) for one in ("orchestrator", "evaluator", *nodes)}
    names = {(one, "*", 53) for one in ("orchestrator", "evaluator", "ui", "minio", *nodes)}
    assert go_out == internal | to_called | names


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_every_object_fits_the_schema_of_kubernetes(tools: dict[str, str], values: Path, tmp_path: Path) -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="required: the package kubernetes-validate")
    objects = [one for one in YAML(typ="safe").load_all(rendered(tools, values)) if one]
    of_operators = {"PrometheusRule", "ServiceMonitor", "PodMonitor", "RayCluster"}
    checked = set()
    for one in objects:
        if one["kind"] not in of_operators:
            kubernetes_validate.validate(one, "1.34", strict=True)
            checked.add(one["kind"])
    assert checked >= {"Service", "StatefulSet", "Deployment", "ServiceAccount", "Pod"}
    assert {"Job", "CronJob"} <= checked  # certificates are made and renewed where the values name none


def test_the_custom_objects_fit_their_definitions(tools: dict[str, str], shared_tools: Path, tmp_path: Path) -> None:
    """kubeconform with the operators' own CRDs."""
    import json

    yaml = YAML(typ="safe")
    for path in (shared_tools / "schemas").glob("*.yaml"):
        definition = yaml.load(path.read_text())
        kind = definition["spec"]["names"]["kind"].lower()
        for version in definition["spec"]["versions"]:
            schema = json.dumps(version["schema"]["openAPIV3Schema"], default=str)
            (tmp_path / f"{kind}_{version['name']}.json").write_text(schema)
    everything = rendered(tools, CHART / "ci/production-values.yaml")
    custom = [part for part in everything.split("\n---\n") if "monitoring.coreos.com" in part or "ray.io/v1\n" in part]
    assert len(custom) == 5  # the rules, two service monitors, the pod monitor, the Ray cluster
    (tmp_path / "objects.yaml").write_text("\n---\n".join(custom))
    location = str(tmp_path / "{{ .ResourceKind }}_{{ .ResourceAPIVersion }}.json")
    done = run(
        tools, "kubeconform", "-strict", "-summary", "-schema-location", location, str(tmp_path / "objects.yaml")
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Valid: 5, Invalid: 0, Errors: 0, Skipped: 0" in done.stdout


def test_the_copies_in_the_chart_have_not_drifted() -> None:
    assert chart_files.differing() == []
