"""The layers of the house, read from the code's own imports: who may import whom.

A layer lists what it may import of this project, and whether third-party packages are allowed. What is not listed is
refused, so that a new folder has to take its place here.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = ("services", "model", "ui", "deploy", "retain", "tests")


@dataclass(frozen=True, kw_only=True)
class Layer:
    folder: str
    may_import: tuple[str, ...]
    third_party: bool = True


def service(name: str, *, extra: tuple[str, ...] = ()) -> list[Layer]:
    here = f"services.{name}"
    return [
        Layer(
            folder=f"services/{name}/domain",
            may_import=(f"{here}.domain", "services.common.errors"),
            third_party=False,
        ),
        Layer(
            folder=f"services/{name}/application",
            may_import=(f"{here}.domain", f"{here}.application", "services.common"),
        ),
        Layer(
            folder=f"services/{name}/adapters",
            may_import=(
                f"{here}.domain",
                f"{here}.application",
                f"{here}.adapters",
                "services.common",
                "retain",
                *extra,
            ),
        ),
        Layer(
            folder=f"services/{name}/transport",
            may_import=(f"{here}.domain", f"{here}.application", f"{here}.transport", "services.common", "retain"),
        ),
    ]


LAYERS = [
    *service("orchestrator"),
    *service("evaluator", extra=("model",)),
    Layer(folder="services/worker", may_import=("services.worker", "services.common", "model", "retain")),
    Layer(folder="services/common", may_import=("services.common", "retain")),
    Layer(folder="model", may_import=("model",)),
    Layer(folder="ui", may_import=("ui", "retain")),
    Layer(folder="deploy", may_import=("deploy", "services.common")),
]
# Only these files of ui see protos; only these folders see torch.
SEE_PROTOS = ("ui/client.py", "ui/client/")
SEE_TORCH = ("model/", "services/worker/", "services/evaluator/adapters/", "tests/")


def imports(path: Path) -> Iterator[str]:
    """Full names of the modules that a file imports, also those inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide which layer is meant"
            yield f"{node.module}"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def names_a_parent(name: str, packages: tuple[str, ...]) -> bool:
    """`from services.common import errors` yields `services.common` too, which says nothing by itself."""
    return any(package.startswith(name + ".") for package in packages)


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.folder)
def test_a_layer_imports_only_what_it_may(layer: Layer) -> None:
    faults = []
    for path in sorted((ROOT / layer.folder).rglob("*.py")):
        for name in imports(path):
            top = name.split(".")[0]
            if top in OURS:
                fine = within(name, layer.may_import) or names_a_parent(name, layer.may_import)
            else:
                fine = layer.third_party or top in sys.stdlib_module_names
            if not fine:
                faults.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("package", "allowed"),
    [("torch", SEE_TORCH), ("transformers", ("tests/",)), ("ray", ("services/", "deploy/", "tests/"))],
)
def test_heavy_packages_stay_where_they_belong(package: str, allowed: tuple[str, ...]) -> None:
    files = [path for top in OURS for path in (ROOT / top).rglob("*.py")]
    users = {str(path.relative_to(ROOT)) for path in files if any(within(name, (package,)) for name in imports(path))}
    assert not [user for user in users if not user.startswith(allowed)]


def test_only_the_client_of_the_ui_sees_protos() -> None:
    files = (ROOT / "ui").rglob("*.py")
    users = {str(path.relative_to(ROOT)) for path in files if any(within(name, ("retain",)) for name in imports(path))}
    assert not [user for user in users if not user.startswith(SEE_PROTOS)]
