"""A run under an open page while worker, orchestrator and panel are killed: nothing is lost, and nobody clicks."""

import re

import pytest
from playwright.sync_api import Page

from tests.e2e import faults
from tests.ui import specs
from tests.ui.place import OnStack, Place
from tests.ui.test_runs import RUN_S, started
from tests.ui.visitor import state, until
from ui.client.client import RetainClient

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]
STEPS = 40 * 6


def test_a_run_goes_on_under_an_open_page_whatever_is_killed(visitor, place: Place, client: RetainClient) -> None:
    assert isinstance(place, OnStack)
    person = visitor()
    page = person.logged_in()
    run_id = started(person, page, specs.small("struck", pretrain=40, midtrain=1))
    until(page, page.get_by_text(re.compile(r"step (?:[3-9]\d|\d{3}) of")), RUN_S, "checkpoints to resume from")
    faults.the_worker(place.stack).kill()
    until(page, page.get_by_text(re.compile(r"Attempt: 2")), RUN_S, "the page shows another attempt")
    until(page, page.get_by_text(re.compile(r"Time left: ")), RUN_S, "a time left after the resume")

    faults.kill_program(place.stack, "orchestrator")
    moved(page, "the page goes on after the orchestrator's restart")

    with person.away():
        place.end_panel()
        place.panel_again()
        moved(page, "the page goes on after the panel's restart")
        until(page, state(page, "Succeeded"), 2 * RUN_S, "its end")
    run = client.get_run(run_id)
    assert (run.state, run.stages[0].step) == ("SUCCEEDED", STEPS)
    person.shows_no_fault(page)


def moved(page: Page, what: str) -> None:
    """The step of the first stage that is shown becomes another, or the run has ended."""
    shown = page.get_by_text(re.compile(rf"^step [\d,]+ of {STEPS}"))
    before = shown.inner_text()
    until(page, shown.filter(has_not_text=before).or_(state(page, "Succeeded")), RUN_S, what)
