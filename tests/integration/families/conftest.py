"""Every family through the worker, and four of them through the whole platform, take minutes: `make test-families`
(RETAIN_FAMILIES=1) runs them all, `make test` one of them. What came of each is printed as a table."""

import os

import pytest

from tests.integration.families.outcome import LINES, table

FULL = os.environ.get("RETAIN_FAMILIES") == "1"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if FULL:
        return
    here = [item for item in items if "integration/families" in item.nodeid and item.get_closest_marker("slow")]
    if here:
        config.hook.pytest_deselected(items=here)
        items[:] = [item for item in items if item not in here]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if FULL and LINES:
        terminalreporter.write_line(table(LINES))
