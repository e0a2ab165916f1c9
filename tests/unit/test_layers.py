"""The layers: import-linter's contracts hold, they notice what they should, and the picture of them tells the truth."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

grimp = pytest.importorskip("grimp", reason="import-linter is not installed: make setup")
importlinter = pytest.importorskip("importlinter", reason="import-linter is not installed: make setup")

from tests.only_imports import OnlyImports  # noqa: E402 - needs import-linter

ROOT = Path(__file__).resolve().parents[2]
PROTOS = ("retain.types.v1", "retain.orchestrator.v1", "retain.evaluator.v1")
LAYERS = ("domain", "application", "adapters", "transport")


def lint(*arguments: str) -> subprocess.CompletedProcess[str]:
    call = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command(sys.argv[1:])"
    command = [sys.executable, "-c", call, "--no-logo", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_every_contract_is_kept() -> None:
    done = lint()
    assert done.returncode == 0, done.stdout
    assert " 0 broken" in done.stdout


def test_every_folder_is_in_the_graph() -> None:
    """Also one without __init__.py, which import-linter would not see."""
    tops = ("services", "model", "ui", "deploy")
    unseen = [
        str(path.relative_to(ROOT))
        for top in tops
        for path in (ROOT / top).rglob("*.py")
        if not (path.parent / "__init__.py").exists()
    ]
    assert unseen == []


def _graph(*imports: tuple[str, str]) -> "grimp.ImportGraph":
    graph = grimp.ImportGraph()
    for importer, imported in imports:
        graph.add_import(importer=importer, imported=imported)
    return graph


def _only(**options: object) -> OnlyImports:
    return OnlyImports(name="trial", session_options={}, contract_options={"modules": ["services.a"], **options})


@pytest.mark.parametrize(
    ("imported", "third_party", "kept"),
    [
        ("services.common.errors", "false", True),
        ("services.common", "false", False),
        ("services.commons", "false", False),
        ("services.b", "true", False),
        ("json", "false", True),
        ("numpy", "false", False),
        ("numpy", "true", True),
    ],
)
def test_only_what_is_listed_may_be_imported(imported: str, third_party: str, kept: bool) -> None:
    graph = _graph(("services.a.x", "services.a.y"), ("services.a.y", imported))
    graph.add_module("services.a")
    contract = _only(allowed=["services.common.errors"], third_party=third_party)
    assert contract.check(graph, verbose=False).kept is kept


def test_a_contract_about_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"services\.a, which there is not"):
        _only(allowed=[]).check(_graph(("services.b", "json")), verbose=False)


def _node(module: str) -> str:
    """The box of the picture that a module belongs to."""
    parts = module.split(".")
    if module.startswith(PROTOS):
        return "protos"
    if parts[0] == "services" and len(parts) > 2 and parts[1] in ("orchestrator", "evaluator"):
        return parts[2] if parts[2] in (*LAYERS, "experiment_gate") else "main"
    if parts[0] == "services" and len(parts) > 1:
        return "main" if parts[1] in ("orchestrator", "evaluator") else parts[1]
    return "client" if module.startswith("ui.client") else parts[0]


def _real() -> set[tuple[str, str]]:
    graph = grimp.build_graph("services", "model", "ui", "deploy", *PROTOS)
    pairs = (
        (_node(importer), _node(imported))
        for importer in graph.modules
        for imported in graph.find_modules_directly_imported_by(importer)
    )
    return {(importer, imported) for importer, imported in pairs if importer != imported}


def _drawn() -> set[tuple[str, str]]:
    text = (ROOT / "ui/learn/architecture.md").read_text()
    picture = re.findall(r"^```mermaid\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[1]
    return set(re.findall(r'^ +(\w+)(?:\[".*?"\])? --> (\w+)', picture, re.MULTILINE))


def _reached(arrows: set[tuple[str, str]], start: str) -> Iterator[str]:
    waiting, seen = [start], {start}
    while waiting:
        node = waiting.pop()
        for tail, head in arrows:
            if tail == node and head not in seen:
                seen.add(head)
                waiting.append(head)
                yield head


def test_the_picture_of_the_layers_is_the_real_graph() -> None:
    """Each arrow is an import that there is; each import that there is lies along the arrows."""
    real, drawn = _real(), _drawn()
    assert drawn - real == set(), "drawn, and nothing imports so"
    reached = {(tail, head) for tail in {tail for tail, _ in drawn} for head in _reached(drawn, tail)}
    assert real - reached == set(), "imported, and not drawn"
    assert len(drawn) > 10
