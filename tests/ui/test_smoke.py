"""The panel in a real browser on an orchestrator with fake workers: what `make test` runs of `make test-ui`."""

import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import expect

from tests.e2e.stack import until_ended
from tests.ui.place import Place
from tests.ui.visitor import unfold, written
from ui.client.client import RetainClient

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
    expect(page.get_by_text("Succeeded").first).to_be_visible()
    expect(page.get_by_text("smoke, created")).to_have_count(1)
    person.shows_no_fault(page)


def test_a_file_comes_to_the_panel_from_a_page_that_has_a_place_for_it(
    place: Place, visitor, client: RetainClient, tmp_path: Path
) -> None:
    run = until_ended(client, client.create_run(yaml.safe_load(SPEC)).id)
    row = next(one for one in client.checkpoints(run_id=run.id) if one.state.usable)
    file = tmp_path / "of-my-own.txt"
    file.write_bytes(b"a word " * 500_000)
    person = visitor()
    page = person.logged_in("checkpoints", checkpoint=row.id)
    unfold(page, "Measure it on a file of your own")
    page.locator("input[type=file]").set_input_files(file)
    expect(page.get_by_text("of-my-own.txt")).to_be_visible()
    expect(page.get_by_text("3.5MB")).to_be_visible()
    expect(page.get_by_role("button", name="Delete of-my-own.txt").or_(page.get_by_label("Remove"))).to_be_visible()
    expect(page.get_by_text("Error")).to_have_count(0)
    person.shows_no_fault(page)

    # Any page may open a session; a file is not taken from one.
    asked = urllib.request.Request(f"{place.url}/_stcore/upload_file/a-session/a-file", data=b"a", method="PUT")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=30)
    assert (refused.value.code, refused.value.read()) == (403, b"403: this session was shown no place for a file\n")
