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


def test_statuses_are_read_and_written_in_one_place_on_each_side() -> None:
    """services/common/grpc/status.py for the services; the command, which shares no code with them, has its own."""
    reading = {path for path, tree in sources() if "from_call" in called(tree)}
    assert reading == {"services/common/grpc/status.py", "ui/client/channel.py"}
    assert {path for path, tree in sources() if "BadRequest" in called(tree)} == reading


def test_pages_are_cut_in_one_place() -> None:
    def faults(tree: ast.Module) -> bool:
        given = [
            k.value for node in ast.walk(tree) if isinstance(node, ast.Call) for k in node.keywords if k.arg == "field"
        ]
        return any(isinstance(value, ast.Constant) and value.value in ("page_size", "page_token") for value in given)

    assert {path for path, tree in sources() if faults(tree)} == {"services/common/grpc/paging.py"}


def test_what_bears_no_loss_is_marked_by_one_number() -> None:
    def minus_100(tree: ast.Module) -> bool:
        negated = [
            node.operand for node in ast.walk(tree) if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
        ]
        return any(type(value) is ast.Constant and type(value.value) is int and value.value == 100 for value in negated)

    found = {path for path, tree in sources() if minus_100(tree)}
    assert found - {"model/evaluation/detector.py"} == {"model/nn/losses.py"}, "the detector speaks of per cent"
