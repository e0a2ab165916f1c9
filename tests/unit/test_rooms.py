"""Rooms and functions stay small. What is larger is named here with its reason, and leaves the list when it shrinks."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOPS = ("services", "model", "ui", "deploy", "protos", "tests", "helm")
MODULES, LINES, FUNCTION_LINES = 15, 400, 50

LONG_FILES = {  # November 2026
    "tests/attacks/test_calls.py": "the rows of one table of attacks, which share a raw caller",
    "tests/contract/test_repository.py": "one suite for one port, which both databases go through",
}
LONG_FUNCTIONS = {  # November 2026
    "deploy/local/components.py:components": "who gets which setting: a list that is read across the programs",
    "deploy/cluster_demo.py:run_demo": "one run from its submission to its evidence, with two words of its own",
    "deploy/monitoring/alerts.py:alerts": "a list, one entry for each alert",
    "deploy/monitoring/boards.py:services": "a list, one entry for each chart",
    "model/tokenization/chat_template.py:render_chat": "its signature and its docstring are 20 of its lines",
    "services/evaluator/main.py:build": "a list: what is made of what, in the order of need",
    "services/orchestrator/app.py:__init__": "a list: what is made of what, in the order of need",
    "ui/commands/models.py:evaluate": "its options are 45 of its lines",
    "tests/attacks/test_identity.py:test_row_30_another_projects_checkpoint": "one row of the table of attacks",
    "tests/benchmarks/bench_evaluation.py:main": "one table, measured from top to bottom",
    "tests/fakes/scripted_runs.py:_boundary": "a list: the fields of four messages",
    "tests/identity_provider.py:_grants": "one branch for each kind of grant",
    "tests/integration/panel/test_panel_oidc.py:"
    "test_a_person_logs_in_and_again_when_the_session_has_expired": "one visit from its first page to its last",
    "tests/integration/test_tls.py:"
    "test_renewed_certificates_and_another_authority_interrupt_no_call_and_no_training": "one run through it all",
    "tests/scenarios/scenario_runner.py:_event": "one branch for each word of a table",
    "tests/unit/deploy/api_server.py:_handler": "a class of a server with its one secret",
}


def modules() -> Iterator[Path]:
    """Every module that is written by hand, below the root."""
    for top in TOPS:
        for path in sorted((ROOT / top).rglob("*.py")):
            if not path.is_relative_to(ROOT / "protos" / "gen"):
                yield path.relative_to(ROOT)


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Each function of a module by its name, with its lines."""
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def test_no_folder_has_more_modules_than_one_looks_through() -> None:
    """Fifteen, without `__init__.py`."""
    held = Counter(str(path.parent) for path in modules() if path.name != "__init__.py")
    assert held["services/common"] > 5, "modules are counted"
    assert {folder: count for folder, count in held.items() if count > MODULES} == {}


def test_files_that_are_long_have_a_reason() -> None:
    lines = {str(path): len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in modules()}
    assert {path for path, count in lines.items() if count > LINES} == set(LONG_FILES)


def test_functions_that_are_long_have_a_reason() -> None:
    found = {f"{path}:{name}" for path in modules() for name, count in functions(path) if count > FUNCTION_LINES}
    assert found == set(LONG_FUNCTIONS)
