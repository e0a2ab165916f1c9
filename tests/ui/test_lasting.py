"""What a page survives: a laptop that sleeps longer than its session is remembered, and a service that is away."""

import re

import pytest
from playwright.sync_api import expect

from tests.ui import specs
from tests.ui.place import SESSION_S, Place
from tests.ui.test_runs import RUN_S, YAML, run_of, started
from tests.ui.visitor import Sleeper, state, until, written

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_laptop_that_slept_longer_than_its_session_finds_what_it_left(visitor, place: Place) -> None:
    person = visitor()
    page = person.page()
    laptop = Sleeper(page)
    person.go(page, "new_run", token=person.token)
    text = specs.text(specs.small("slept"))
    written(page, YAML, text)
    expect(page.get_by_text("The server accepts it")).to_be_visible()
    with person.away():
        laptop.sleep()
        page.wait_for_timeout((SESSION_S + 10) * 1000)  # Streamlit looks for old sessions now and then
        laptop.wake()
        expect(page.get_by_test_id("stConnectionStatus")).to_have_count(0)
        page.get_by_role("button", name="Validate").click()
        expect(page.get_by_text("The server accepts it")).to_be_visible()
    expect(page.get_by_label(YAML)).to_have_value(text)
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text("slept, created")).to_have_count(1)
    run_id = run_of(page)
    # It sleeps again, and the run goes on without it.
    until(page, page.get_by_text(re.compile(r"step [1-9]")), RUN_S, "the run is at work")
    with person.away():
        laptop.sleep()
        page.wait_for_timeout((SESSION_S + 10) * 1000)
        laptop.wake()
        until(page, state(page, "Succeeded"), 2 * RUN_S, "its end, without a click")
    assert run_of(page) == run_id
    person.shows_no_fault(page)


def test_each_tab_has_its_own_place_and_the_address_brings_it_back(visitor) -> None:
    person = visitor()
    page = person.logged_in()
    run_id = started(person, page, specs.small("placed", pretrain=2, midtrain=1))
    until(page, state(page, "Succeeded"), RUN_S, "its end")
    page.get_by_text("Attempts and logs", exact=True).click()
    expect(page).to_have_url(re.compile("view=logs"))
    address = page.url
    page.reload()
    expect(page.get_by_text("Worker group", exact=True)).to_be_visible()
    second = person.page()
    second.goto(address)
    expect(second.get_by_role("heading", name="Run", exact=True)).to_be_visible()
    for tab in (page, second):
        expect(tab).to_have_url(re.compile(f"run={run_id}.*view=logs|view=logs.*run={run_id}"))
        person.shows_no_fault(tab)
