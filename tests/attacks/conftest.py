"""The attacks: a smoke subset in `make test`, on the real code; all rows on a running stack in `make test-attacks`
(RETAIN_ATTACKS=1), while a second user's run continues and their List is timed."""

import os
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from retain.orchestrator.v1 import orchestrator_service_pb2 as pb
from retain.orchestrator.v1 import resources_pb2 as resources
from tests.attacks.installation import Installation, SecondUser, in_process, local_stack
from tests.attacks.matrix import WAITING, Attack, Line, table
from tests.fakes.platform import demo_spec
from tests.identity_provider import provider

FULL = os.environ.get("RETAIN_ATTACKS") == "1"
LINES = pytest.StashKey[list[Line]]()
BESIDES = pytest.StashKey[list[str]]()
SPANS = pytest.StashKey[list[tuple[int, float, float]]]()
ATTACK = pytest.StashKey[Attack]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not FULL:
        items[:] = [item for item in items if not item.get_closest_marker("attacks")]


@pytest.fixture
def attack(request: pytest.FixtureRequest) -> Attack:
    """The row that this test tries."""
    found = re.match(r"test_row_(\d+)_", request.node.name)
    assert found, "a test of an attack is named test_row_NN_..."
    made = Attack(number=int(found.group(1)))
    request.node.stash[ATTACK] = made
    return made


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """What is attacked."""
    folder = tmp_path_factory.mktemp("attacks")
    with provider() as people, (local_stack if FULL else in_process)(folder, people) as made:
        yield made


@pytest.fixture(scope="session", autouse=True)
def second_user(request: pytest.FixtureRequest) -> Iterator[SecondUser | None]:
    """Somebody else on the same installation, whose run continues and whose List answers as ever."""
    if not FULL:
        yield None
        return
    user = SecondUser(request.getfixturevalue("installation"))
    user.begin()
    yield user
    figures = user.end(request.config.stash.get(SPANS, []))
    request.config.stash[BESIDES] = figures


@pytest.fixture(scope="module")
def victim(installation: Installation, second_user: SecondUser | None) -> Iterator[Any]:
    """A run that trains. It ends with these tests: in this process it would take the time that others measure."""
    if second_user is not None:
        yield second_user.run()
        return
    with installation.caller() as caller:
        spec = demo_spec("victim")
        for stage in spec.stages:
            stage.duration.steps = 100_000
        run_id = caller.create(spec).run.id
        deadline = time.monotonic() + 60
        while True:
            run = caller.runs.GetPipelineRun(pb.GetPipelineRunRequest(run_id=run_id), timeout=20).run
            if run.status.phase == resources.STAGE_PHASE_TRAINING and run.status.stages[0].step:
                break
            assert time.monotonic() < deadline, run.status
            time.sleep(0.1)
        yield run
        caller.runs.CancelPipelineRun(pb.CancelPipelineRunRequest(run_id=run_id), timeout=20)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    began = time.monotonic()
    outcome = yield
    made = item.stash.get(ATTACK, None)
    if made is None:
        return
    if outcome.excinfo is None and not made.tried:
        outcome.force_exception(AssertionError("the test says nothing of how the attack was refused"))
    ended = time.monotonic()
    item.config.stash.setdefault(SPANS, []).append((made.number, began, ended))
    ms = 1000 * (ended - began)
    how = "; ".join(made.how) if outcome.excinfo is None else str(outcome.excinfo[1]).splitlines()[0]
    line = Line(number=made.number, refused=outcome.excinfo is None, how=how, tried=made.tried, ms=ms)
    item.config.stash.setdefault(LINES, []).append(line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    lines = config.stash.get(LINES, [])
    if FULL and lines:
        lines += [Line(number=n, refused=False, how=why, tried=0, ms=0.0) for n, why in WAITING.items()]
        terminalreporter.write_line(table(lines, besides=config.stash.get(BESIDES, [])))
