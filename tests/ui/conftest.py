"""One stack and one browser for all tests here; each test is a person with a browser profile of their own."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from retain.values import ProjectQuotas
from tests.e2e.stack import Stack, until_ended
from tests.integration.panel.served import CHROMIUM
from tests.ui import specs
from tests.ui.place import PROGRAMS, SESSION_S, Light, OnStack, Place
from tests.ui.specs import TEAM, mission
from ui.client.client import RetainClient
from ui.client.views import Run

# `make test-ui` runs everything on the whole stack; RETAIN_UI=light does on fakes what they can, to try out a case.
ON = os.environ.get("RETAIN_UI", "")
NEED_STACK = ["test_faults.py", "test_mission.py", "test_people.py", "test_upload.py"]
ALL = [*NEED_STACK, "test_lasting.py", "test_looks.py", "test_names.py", "test_runs.py"]
collect_ignore = {"1": [], "light": NEED_STACK}.get(ON, ALL)


@pytest.fixture(scope="package")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("ui")
    if ON != "1":
        light = Light(folder=folder)
        try:
            light.up()
            yield light
        finally:
            light.down()
        return
    stack = Stack(folder=folder, programs=PROGRAMS, env={"STREAMLIT_SERVER_DISCONNECTED_SESSION_TTL": str(SESSION_S)})
    try:
        stack.up()
        yield OnStack(stack=stack)
    finally:
        stack.down()
        assert stack.left_behind() == []


@pytest.fixture(scope="package")
def client(place: Place) -> Iterator[RetainClient]:
    with RetainClient(place.address) as client:
        yield client


@pytest.fixture(scope="package")
def team(client: RetainClient, place: Place) -> RetainClient:
    """Somebody who is in one project alone, where one run has ended."""
    client.projects.create(TEAM, quotas=ProjectQuotas())
    _, secret = client.identity.create_token("of-the-team", roles=("operator",), projects=(TEAM,))
    return RetainClient(replace(place.address, token=secret, project=TEAM))


@pytest.fixture(scope="package")
def runs(client: RetainClient, team: RetainClient) -> list[Run]:
    """Two runs that differ in a rate, and one of the team."""
    second = mission("the-second")
    second["stages"][1]["learning_rate"] = 1e-3
    asked = [
        (client, mission("the-first")),
        (client, second),
        (team, specs.small("of-the-team", pretrain=1, midtrain=1)),
    ]
    made = [whose.create_run(spec).id for whose, spec in asked]
    ended = [until_ended(client, run_id) for run_id in made]
    assert [run.state for run in ended] == ["SUCCEEDED"] * 3
    return ended


@pytest.fixture(autouse=True)
def slot_is_free(client: RetainClient) -> Iterator[None]:
    """What a test that failed left at work would keep every run after it in the queue."""
    yield
    left = [run.id for run in client.list_runs(limit=50) if not run.is_terminal]
    for run_id in left:
        client.cancel(run_id)
    for run_id in left:
        until_ended(client, run_id)


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("required: chromium is not installed (apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    from tests.ui.visitor import FLAGS

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visitor(place: Place, browser: Any) -> Iterator[Callable[..., Any]]:
    """Makes people, on the stack each of another name: the panel keeps what a person was at work on. What their
    browsers complained about fails the test at its end."""
    from tests.ui.visitor import Visitor

    made: list[Visitor] = []

    def make(token: str = "", **look: Any) -> Visitor:
        made.append(Visitor.of(browser, place.url, token or place.token_of_somebody(), **look))
        return made[-1]

    yield make
    for one in made:
        one.close()
    assert [complaint for one in made for complaint in one.complaints] == []
    assert set().union(*(one.foreign for one in made)) == set(), "asked of somebody else than the panel"
