"""A file of 200 MB goes through the panel to the server and is measured there."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.stack import until_ended
from tests.ui import specs
from tests.ui.visitor import unfold, until
from ui.client.client import RetainClient

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]
BYTES = 200 * 1024 * 1024
SECONDS = 300.0


def test_a_file_of_200_mb_is_measured(visitor, client: RetainClient, tmp_path: Path) -> None:
    run = until_ended(client, client.create_run(specs.small("for-a-file", pretrain=2, midtrain=1)).id)
    row = next(one for one in client.checkpoints(run_id=run.id) if one.state.usable)
    line = json.dumps({"text": "A function is given names, and returns what was asked for. " * 160}) + "\n"
    file = tmp_path / "of-my-own.jsonl"
    file.write_text(line * (BYTES // len(line)))
    assert 0 <= BYTES - file.stat().st_size < len(line)

    person = visitor()
    page = person.logged_in("checkpoints", checkpoint=row.id)
    unfold(page, "Measure it on a file of your own")
    page.locator("input[type=file]").set_input_files(file)
    until(page, page.get_by_text("of-my-own.jsonl"), SECONDS, "the file has come to the panel")
    box = page.get_by_label("Documents at most (0: all)")
    box.fill("3")
    page.get_by_role("button", name="Measure").click()
    until(page, page.get_by_test_id("stMetric"), SECONDS, "it is measured")
    expect(page.get_by_test_id("stMetric").first).to_contain_text("Perplexity")
    expect(page.get_by_text("of-my-own.jsonl (yours)").or_(page.get_by_text("of-my-own.jsonl:")).first).to_be_visible()
    person.shows_no_fault(page)
