"""Every family takes minutes: all of them run in `make test-families` (RETAIN_FAMILIES=1), a few in `make test`."""

import os

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get("RETAIN_FAMILIES") == "1":
        return
    here = [item for item in items if "unit/model/families" in item.nodeid and item.get_closest_marker("slow")]
    if here:
        config.hook.pytest_deselected(items=here)
        items[:] = [item for item in items if item not in here]
