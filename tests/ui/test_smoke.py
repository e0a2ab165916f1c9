"""The panel in a real browser on an orchestrator with fake workers: what `make test` runs of `make test-ui`."""

import pytest
from playwright.sync_api import expect

from tests.ui.place import Place
from tests.ui.visitor import written

pytestmark = [pytest.mark.integration, pytest.mark.slow]
SPEC = """\
name: smoke
model: {preset: nano}
tokenizer: {train: {vocab_size: 512}}
stages:
  - kind: PRETRAIN
    data: {general: "sample://docs"}
    duration: {steps: 40}
    batch: {sequences: 8}
evaluation: {every: {steps: 10}}
"""


def test_a_refresh_a_second_tab_and_a_restart_of_the_panel_lose_nothing(place: Place, visitor) -> None:
    person = visitor()
    page = person.logged_in("new_run")
    assert "token" not in page.url
    written(page, "Specification (YAML)", SPEC)
    expect(page.get_by_text("The server accepts it")).to_be_visible()

    page.reload()
    expect(page.get_by_label("Specification (YAML)")).to_have_value(SPEC)
    second = person.page()
    person.go(second, "new_run")
    expect(second.get_by_label("Specification (YAML)")).to_have_value(SPEC)
    second.close()

    with person.away():
        place.end_panel()
        place.panel_again()
        page.get_by_role("button", name="Validate").click()
        expect(page.get_by_test_id("stConnectionStatus")).to_have_count(0)
    expect(page.get_by_label("Specification (YAML)")).to_have_value(SPEC)
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text("Succeeded")).to_be_visible()
    expect(page.get_by_text("smoke, created")).to_be_visible()
    person.shows_no_fault(page)
