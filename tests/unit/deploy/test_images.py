"""What the images hold: each of them can import what it starts."""

import ast
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[3]
DOCKER = ROOT / "deploy/docker"


def required(*names: str) -> set[str]:
    """Packages of the lists, without extras and remarks."""
    lines = [line for name in names for line in (DOCKER / name).read_text().splitlines()]
    return {re.split(r"[\[=<>]", line)[0].strip().lower() for line in lines if line and not line.startswith("#")}


def test_the_control_panel_s_image_can_look_at_data() -> None:
    """`ui` runs `model.cli.preflight` as a process: that needs `model`, and packages that the image has, not torch."""
    target = (DOCKER / "Dockerfile").read_text().split(" AS ui\n")[1].split("FROM ")[0]
    assert "COPY model /app/model" in target
    script = "import sys; import model.cli.preflight; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    ours = {"retain"}
    distributions = packages_distributions()
    found = {dist.lower() for name in loaded for dist in distributions.get(name, ())} - ours
    by_itself = {"markupsafe"}  # comes with jinja2
    installer = {"setuptools", "packaging"}
    assert {"numpy", "tokenizers"} <= found
    assert not found - required("core.in", "ui.in") - by_itself - installer


def test_transformers_is_in_the_image_of_evaluator_and_workers_alone() -> None:
    """Which code may import it, import-linter holds (pyproject.toml)."""
    assert "transformers" in required("training.in")
    assert "transformers" not in required("core.in", "ui.in")


def imported(*folders: str) -> dict[str, str]:
    """Top-level names of other people's modules that the files import, also late, with a file that does."""
    found: dict[str, str] = {}
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")) if (ROOT / folder).is_dir() else [ROOT / folder]:
            for node in ast.walk(ast.parse(path.read_text())):
                names: list[str] = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names = [node.module]
                for name in names:
                    found.setdefault(name.partition(".")[0], str(path.relative_to(ROOT)))
    ours = {"deploy", "model", "protos", "retain", "services", "tests", "ui"}
    return {name: file for name, file in found.items() if name not in sys.stdlib_module_names and name not in ours}


def brought_by(packages: set[str]) -> set[str]:
    """The packages and all that they require, as this environment has them."""
    found: set[str] = set()
    waiting = {canonicalize_name(name) for name in packages}
    while waiting:
        name = waiting.pop()
        found.add(name)
        try:
            needs = [Requirement(text) for text in requires(name) or ()]
        except PackageNotFoundError:
            continue
        extras = {"default", "train", "binary", ""}
        for need in needs:
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.add(canonicalize_name(need.name))
        waiting -= found
    return found


@pytest.mark.parametrize(
    ("lists", "code", "optional"),
    [
        (
            ("core.in",),
            (
                "services/orchestrator",
                "services/common",
                "deploy/healthcheck.py",
                "deploy/bootstrap.py",
                "deploy/issue.py",
                "deploy/certificates.py",
                "deploy/kubernetes_api.py",
            ),
            (),
        ),
        # A user's own choice, as trackers are.
        (("core.in", "training.in"), ("services", "model"), ("lm_eval",)),
        # A container has no keyring; the command keeps a login in a file there.
        (("core.in", "ui.in"), ("ui",), ("keyring", "mlflow", "wandb", "tensorboard")),
    ],
    ids=["orchestrator", "evaluator and ray", "ui"],
)
def test_an_image_has_what_its_code_imports_also_late(
    lists: tuple[str, ...], code: tuple[str, ...], optional: tuple[str, ...]
) -> None:
    present = brought_by(required(*lists))
    distributions = packages_distributions()
    missing = {}
    for module, file in imported(*code).items():
        names = {canonicalize_name(name) for name in distributions.get(module, [module])}
        if not names & present and module not in optional:
            missing[module] = file
    assert missing == {}, "imported by this file, and brought by no package of the image"


def test_no_container_is_called_unhealthy_because_the_machine_is_busy() -> None:
    """A check starts a Python: seconds where others are at work; and a service waits for others before it serves."""
    checks = re.findall(r"^HEALTHCHECK (.+?) \\$", (DOCKER / "Dockerfile").read_text(), re.M)
    assert len(checks) == 3
    for options in checks:
        found = {name: int(seconds) for name, seconds in re.findall(r"--([a-z-]+)=(\d+)s", options)}
        assert found["timeout"] >= 20
        assert found["start-period"] >= 180
