"""What is said once has one home: a second one that is written anywhere in the source is found here."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("services", "model", "ui", "deploy")


def sources(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    """Every module of ours by its path below the root, without generated code."""
    for folder in folders or FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


def called(tree: ast.Module) -> set[str]:
    """Names of what a module calls: `Counter` of `Counter(...)` and of `prometheus_client.Counter(...)`."""
    functions = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {f.id if isinstance(f, ast.Name) else f.attr for f in functions if isinstance(f, ast.Name | ast.Attribute)}


def test_metrics_are_defined_in_one_module() -> None:
    makers = {"Gauge", "Histogram", "Summary"}  # `Counter` is also a class of collections
    assert {path for path, tree in sources() if called(tree) & makers} == {"services/common/metrics.py"}
    importing = {
        path
        for path, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "prometheus_client"
        and {name.name for name in node.names} & {*makers, "Counter"}
    }  # fmt: skip
    assert importing == {"services/common/metrics.py"}
