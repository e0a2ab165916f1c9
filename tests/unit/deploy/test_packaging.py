"""What `pip install retain` brings, what the extras bring, and that the lock file and the images' lists agree."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import retain
from deploy.cluster import TAG
from tests.unit.deploy.test_images import DOCKER, ROOT, brought_by, imported

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCKED = dict(line.split("==") for line in (ROOT / "requirements.lock").read_text().split())
SITE = dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "deploy/site/requirements.txt").read_text(), re.MULTILINE))
PINNED = {
    canonicalize_name(name): version for name, version in {**SITE, **LOCKED}.items()
}  # the guides' site has its own
# Programs of others that a user may have: each is tried in an environment of its own (`make test-trackers`, `make
# test-lm-eval`), since not all of them go beside the packages of the lock file. The code names a missing extra.
OF_OTHERS = {"mlflow", "wandb", "tensorboard", "lm-eval"}
HEAVY = {"torch", "ray", "transformers", "numpy", "pyarrow", "pandas", "streamlit", "tokenizers", "datasets", "minio"}


def requirements(*extras: str) -> list[Requirement]:
    """What pip installs with these extras, the extras that they include counted in."""
    found = [Requirement(line) for line in PROJECT["dependencies"]]
    for extra in extras:
        for line in PROJECT["optional-dependencies"][extra]:
            need = Requirement(line)
            found += requirements(*need.extras) if need.name == "retain" else [need]
    return found


def names(*extras: str) -> set[str]:
    return {canonicalize_name(need.name) for need in requirements(*extras)}


@pytest.mark.parametrize("extra", ["", *sorted(set(PROJECT["optional-dependencies"]) - OF_OTHERS)])
def test_the_lock_file_pins_what_the_project_asks_for(extra: str) -> None:
    wrong = [
        f"{need} and the lock file's {PINNED.get(canonicalize_name(need.name))}"
        for need in requirements(*([extra] if extra else []))
        if not need.specifier.contains(PINNED.get(canonicalize_name(need.name), "0"), prereleases=True)
        or canonicalize_name(need.name) not in PINNED
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("list_", "extra"), [("core.in", "server"), ("training.in", "train"), ("ui.in", "panel")], ids=lambda name: name
)
def test_an_image_installs_packages_of_its_extra(list_: str, extra: str) -> None:
    lines = [line for line in (DOCKER / list_).read_text().splitlines() if line and not line.startswith("#")]
    assert {canonicalize_name(Requirement(line).name) for line in lines} - names(extra) == set()


def test_the_images_have_what_the_client_needs() -> None:
    lines = {canonicalize_name(line) for line in (DOCKER / "core.in").read_text().splitlines()}
    assert names() - lines == set()


def test_a_bare_installation_has_what_the_client_and_the_command_import() -> None:
    code = [str(path.relative_to(ROOT)) for path in (ROOT / "ui").rglob("*.py") if "panel" not in path.parts]
    assert len(code) > 30
    found = imported("protos/gen/retain", *code)
    # Of `notebook`, `login` and the trackers, which say so where they lack.
    optional = {"pandas", "authlib", "keyring", "requests"} | OF_OTHERS
    brought = brought_by(names())
    distributions = {"google": "protobuf", "grpc": "grpcio", "grpc_status": "grpcio-status", "ruamel": "ruamel-yaml"}
    missing = {
        name: file
        for name, file in found.items()
        if name not in optional and canonicalize_name(distributions.get(name, name)) not in brought
    }
    assert missing == {}


def test_the_client_and_the_command_load_nothing_heavy_and_no_other_part_of_retain() -> None:
    """Every module of them is loaded, in a process of its own."""
    modules = sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in (ROOT / "ui").rglob("*.py")
        if "panel" not in path.parts
    )
    assert {"ui.cli", "ui.api.session", "ui.client.client"} <= set(modules)
    script = f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert {"ui", "grpc", "rich", "typer"} <= loaded
    assert loaded & {*HEAVY, "services", "model", "deploy"} == set()


def test_help_loads_neither_grpc_nor_yaml_nor_metadata() -> None:
    script = "import sys\nimport ui.cli\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "ui.cli" in loaded
    assert {name.partition(".")[0] for name in loaded} & {"grpc", "google", "ruamel"} == set()
    assert "importlib.metadata" not in loaded


def test_the_chart_names_the_version_of_the_package() -> None:
    chart = (ROOT / "helm/retain/Chart.yaml").read_text().split()
    assert retain.__version__ == chart[chart.index("appVersion:") + 1] == TAG


def test_dev_brings_every_other_extra_but_those_with_an_environment_of_their_own() -> None:
    others = {"data", "server", "train", "panel", "login", "gguf", "notebook"}
    assert set(PROJECT["optional-dependencies"]) == {*others, *OF_OTHERS, "dev", "docs"}
    assert names(*others) <= names("dev")


def test_every_file_that_is_read_at_run_time_is_package_data() -> None:
    """Files beside the code, by their suffixes; what only the repository needs is named here."""
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    taken = set(patterns["*"]) | {"*.py"}
    only_here = {"Dockerfile", "*.whl", "*.in", "*.example", "*.jsonl.gz", ".gitignore", "deploy/site/*"}
    left = []
    for folder in ("deploy", "model", "services", "ui"):
        for path in (ROOT / folder).rglob("*"):
            inside = path.relative_to(ROOT)
            if path.is_file() and "__pycache__" not in path.parts and not any(map(path.match, taken | only_here)):
                left.append(str(inside))
    assert left == []
    hidden = [path for path in (ROOT / "ui").rglob(".*/*") if path.is_file()]
    assert hidden == [ROOT / "ui/panel/.streamlit/config.toml"]
    assert Path(patterns["ui.panel"][0]) == Path(".streamlit/*.toml")
