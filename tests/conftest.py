"""Fixtures that every test may use: where the shared real data and the shared real programs are.

The data and the programs are not part of the repository. They are looked for beside the checkout (`../shared`) or where
RETAIN_SHARED points. Where they are absent a test skips and says so; CI sets RETAIN_REQUIRE_ALL=1, which turns a skip
of a required part into a failure.
"""

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

# One thread of OpenMP for each process, and for those that it starts: many of them share the cores here, and threads
# that wait for one another spin. Set before anything imports torch; tests of more threads ask torch for them.
os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).resolve().parent.parent


def _shared(kind: str) -> Path:
    # Resolved, since specs refuse paths that lead upwards and a machine may well say ".../checkout/../shared".
    folder = Path(os.environ.get("RETAIN_SHARED", REPOSITORY.parent / "shared")).resolve() / kind
    if not folder.is_dir():
        pytest.skip(f"required: the shared {kind} folder is not at {folder} (set RETAIN_SHARED)")
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real data sets and the real pre-trained model (read in place, never copied)."""
    return _shared("data")


@pytest.fixture(scope="session")
def shared_tools() -> Path:
    """Folder of real programs: MinIO, helm, a one-node Kubernetes."""
    return _shared("tools")


@pytest.fixture(autouse=True)
def _leaves_the_process_as_it_was() -> Iterator[None]:
    """A test that leaves the process in another folder fails itself, not whoever comes after it. `__main__` is put
    back: Streamlit leaves a page of the panel there, and every process that is spawned afterwards would run it."""
    before, main = os.getcwd(), sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main
    after = os.getcwd()
    os.chdir(before)
    assert after == before, "the test changed the folder of the process; monkeypatch.chdir changes it back"


@pytest.fixture(scope="module", autouse=True)
def _begins_without_a_running_loop(request: pytest.FixtureRequest) -> None:
    """A browser that is driven from a fixture keeps an event loop running in this thread: closed too late, it fails
    every asynchronous test of all modules that come after it. Within tests/ui, which has none, it may stay open."""
    if not request.node.nodeid.startswith("tests/ui/"):
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """With RETAIN_REQUIRE_ALL=1 a skip is a failure, except for what a machine may honestly lack (a GPU)."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("RETAIN_REQUIRE_ALL") == "1" and not item.get_closest_marker("gpu"):
        report.outcome = "failed"
        report.longrepr = f"skipped although everything is required here: {report.longrepr}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole runs that are repeated under one more circumstance: `make test-long` (RETAIN_LONG=1) runs them."""
    if os.environ.get("RETAIN_LONG") != "1":
        items[:] = [item for item in items if not item.get_closest_marker("long")]


class _ByServers(LoadScopeScheduling):
    """Side by side, the tests of a file stay together (they share servers); those of the whole stack are one scope."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return "tests/e2e" if file.startswith("tests/e2e/") else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    """How `make test` shares the tests out among its processes."""
    return _ByServers(config, log)
