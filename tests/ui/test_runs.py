"""What people do with runs, from the form to the last checkpoint, without a terminal."""

import re
import time

import pytest
from playwright.sync_api import Page, expect

from tests.ui import specs
from tests.ui.visitor import Visitor, choose, state, told, unfold, until, written
from ui.client.client import RetainClient

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]
RUN_S = 240.0  # a run of these, on a machine that does something else besides
YAML = "Specification (YAML)"


def started(person: Visitor, page: Page, spec: dict) -> str:
    """The run that the page starts from this text; the page is the run's then."""
    person.go(page, "new_run")
    written(page, YAML, specs.text(spec))
    expect(page.get_by_text("The server accepts it")).to_be_visible()
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text(f"{spec['name']}, created")).to_have_count(1)
    return run_of(page)


def run_of(page: Page) -> str:
    found = re.search(r"[?&]run=([^&]+)", page.url)
    assert found is not None, page.url
    return found.group(1)


def left_s(page: Page, after: int) -> float:
    """Seconds to the end of the first stage, as the page says once the stage is past a step."""
    asked = """after => {
        const text = document.querySelector('[data-testid=stMain]').innerText;
        const [step, left] = [text.match(/step ([\\d,]+) of/), text.match(/Time left: (\\d[\\w ]*)/)];
        return step && left && Number(step[1].replace(',', '')) > after && left[1];
    }"""
    said = told(page, asked, "a time left", after, within_ms=RUN_S * 1000)
    found = re.fullmatch(r"(?:(\d+) h )?(?:(\d+) min)? ?(?:(\d+) s)?", said.strip())
    assert found is not None, said
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds


def tab_to(page: Page, name: str, role: str = "", most: int = 250) -> None:
    """Presses Tab until the element of this name has the focus."""
    asked = """([name, role]) => {
        const e = document.activeElement;
        const said = (e.getAttribute('aria-label') || e.innerText || '').split('\\n').pop().trim();
        return said === name && (!role || e.tagName === role) ? 'there' : 'elsewhere';
    }"""
    for _ in range(most):
        if told(page, asked, "where the focus is", [name, role]) == "there":
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not come to {name!r}")


def test_the_demo_is_started_from_the_form_and_told_to_its_end(visitor, client: RetainClient) -> None:
    person = visitor()
    page = person.logged_in("new_run")
    expect(page.get_by_label(YAML)).to_have_value(re.compile("^# The demo: pre-train"))
    for label, value in (("Name", "from-the-form"), ("Vocabulary of a new tokenizer", "512"), ("Context", "64")):
        written(page, label, value)
    for number, tokens in enumerate(("40000", "20000", "10000", "10000")):  # of each stage, and of a boundary
        box = page.get_by_label("Tokens", exact=True).nth(number)
        box.fill(tokens)
        box.press("Enter")
        Visitor.stands(page)
    for number in range(3):
        box = page.get_by_label("Cap on prepared tokens", exact=True).nth(number)
        box.fill("60000")
        box.press("Enter")
        Visitor.stands(page)
    expect(page.get_by_label(YAML)).to_have_value(re.compile("name: from-the-form"))
    expect(page.get_by_text("The server accepts it")).to_be_visible()
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text("from-the-form, created")).to_have_count(1)
    run_id = run_of(page)
    # nothing is clicked from here on: the page follows the run by itself
    until(page, page.get_by_text("Preparing data").or_(page.get_by_text(re.compile(r"step [1-9]"))), RUN_S, "work")
    until(page, page.get_by_text(re.compile("Time left: ")), RUN_S, "a time left")
    until(page, state(page, "Succeeded"), 2 * RUN_S, "its end")
    expect(page.get_by_role("heading", name="Accepted checkpoints")).to_be_visible()
    expect(page.get_by_test_id("stVegaLiteChart").first).to_be_visible()
    page.get_by_role("radio", name="Specification").or_(page.get_by_role("button", name="Specification")).click()
    expect(page.get_by_text("not what a form holds now")).to_be_visible()
    assert {stage.state for stage in client.get_run(run_id).stages} == {"COMPLETE"}
    person.go(page)
    expect(page.get_by_test_id("stDataFrame").first).to_be_visible()
    person.shows_no_fault(page)


def test_forced_forgetting_turns_amber_and_then_red(visitor, client: RetainClient) -> None:
    person = visitor(theme="dark")
    page = person.logged_in()
    run_id = started(person, page, specs.forgetful("turns-red", watched=True))
    until(page, page.get_by_text(re.compile(r"Forgetting: ⚠ \+\d")), RUN_S, "amber")
    until(page, page.get_by_text(re.compile(r"Forgetting: ✗ \+\d")), RUN_S, "red")
    until(page, state(page, "Succeeded"), RUN_S, "its end")
    found = [one.severity for one in client.decisions(run_id) if one.forgetting is not None]
    assert found.index("STOP") > min(found.index(name) for name in ("MINOR", "ACTION") if name in found)
    expect(page.get_by_text(re.compile("at or over stop")).first).to_be_visible()
    person.shows_no_fault(page)


def test_with_the_keyboard_alone_a_pipeline_is_made_and_approved(visitor, client: RetainClient) -> None:
    person = visitor()
    page = person.logged_in("new_run")
    tab_to(page, YAML)
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(specs.text(specs.forgetful("by-keyboard", watched=False)))
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("The server accepts it")).to_be_visible()
    Visitor.stands(page)
    tab_to(page, "Start", "BUTTON")
    page.keyboard.press("Enter")
    expect(page.get_by_text("by-keyboard, created")).to_have_count(1)
    run_id = run_of(page)
    until(page, state(page, "Suspended"), RUN_S, "a person is asked")
    expect(page.get_by_text(re.compile("all 0 retries are used")).first).to_be_visible()
    tab_to(page, "Why, for the record")
    page.keyboard.insert_text("one more, with the keyboard")
    tab_to(page, "One more retry", "BUTTON")
    page.keyboard.press("Enter")
    until(page, state(page, "Pending").or_(state(page, "Running")), 60, "it continues")
    taken = [one for one in client.decisions(run_id) if "one more, with the keyboard" in one.message]
    assert taken, "the reason is in the record"
    # It goes back to the stage's start; what comes of it is accepted as it is where a person is asked again.
    settled = state(page, "Succeeded").or_(page.get_by_role("button", name="Accept as it is"))
    until(page, page.get_by_text(re.compile(r"Attempt: 2 \(1 rolled back\)")), RUN_S, "another attempt")
    until(
        page,
        page.get_by_text(re.compile(r"^From here on: back to (step \d|the stage's start)")),
        60,
        "where it went back to",
    )
    expect(page.get_by_text(re.compile(r"roll back midtrain/code, attempt 1, step \d")).first).to_be_visible()
    until(page, settled, RUN_S, "it has ended or asks again")
    if state(page, "Suspended").is_visible():
        tab_to(page, "Accept as it is", "BUTTON")
        page.keyboard.press("Enter")
        until(page, state(page, "Succeeded"), RUN_S, "its end")
    assert client.get_run(run_id).state == "SUCCEEDED"
    assert "ROLL_BACK" in {one.verdict for one in client.decisions(run_id)}
    person.shows_no_fault(page)


def test_stopped_voided_and_resumed_in_one_tab_while_another_looks(visitor, client: RetainClient) -> None:
    person, other = visitor(), visitor(theme="dark")
    page = person.logged_in()
    run_id = started(person, page, specs.small("stopped", pretrain=30, midtrain=2))
    looking = other.logged_in("run", run=run_id)
    until(page, page.get_by_text(re.compile(r"step (?:[3-9]\d|\d{3}) of 180")), RUN_S, "some checkpoints")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the run").click()
    until(page, state(page, "Cancelled"), RUN_S, "it is cancelled")
    until(looking, state(looking, "Cancelled"), 30, "the other tab shows it")
    resume = page.get_by_role("button", name=re.compile("Resume at step"))
    expect(resume).to_be_visible()
    newest = client.get_run(run_id).stages[0].latest
    assert newest is not None
    expect(resume).to_contain_text(f"Resume at step {newest.step}")

    # a checkpoint that a person sets aside is not resumed from
    page.get_by_text("Checkpoints", exact=True).last.click()
    unfold(page, "Set a checkpoint aside")
    assert choose(page, "Checkpoint").endswith(f"step-{newest.step:09d}")
    written(page, "Why, for the record", "its samples are noise")
    page.get_by_role("button", name="Set aside", exact=True).click()
    until(page, page.get_by_text(re.compile(rf"Resume at step (?!{newest.step}\b)")), 60, "an earlier checkpoint")
    before = client.get_run(run_id).stages[0].latest
    assert before is not None
    assert before.step < newest.step
    rows = {row.ref.step: row for row in client.checkpoints(run_id=run_id) if row.stage == "pretrain"}
    assert "its samples are noise" in rows[newest.step].message

    # the other tab resumes it
    looking.get_by_role("button", name=re.compile(rf"Resume at step {before.step}")).click()
    until(page, state(page, "Running").or_(state(page, "Pending")), 60, "it continues in the first tab too")
    page.get_by_text("Live", exact=True).click()
    said_s, began = left_s(page, after=before.step), time.monotonic()
    until(page, page.get_by_text("step 180 of 180"), RUN_S, "the end of the stage")
    took_s = time.monotonic() - began
    # What was done before the stop counted as if it had been done since would be said to end in a moment, and the time
    # that it lay still counted as work would be said to take for ever.
    assert took_s / 4 - 10 < said_s < took_s * 4 + 10, "the time left right after the resume"
    until(looking, state(looking, "Succeeded"), RUN_S, "its end")
    until(page, state(page, "Succeeded"), 30, "its end in the first tab")
    for one, tab in ((person, page), (other, looking)):
        one.shows_no_fault(tab)


def test_every_checkpoint_of_a_run_with_many_is_found(visitor, client: RetainClient) -> None:
    boundaries, page_rows = 70, 50
    spec = specs.small("many", pretrain=boundaries, midtrain=1)
    run_id = client.create_run(spec).id
    person = visitor()
    page = person.logged_in("run", run=run_id)
    until(page, state(page, "Succeeded"), 2 * RUN_S, "its end")
    made = {row.ref.step for row in client.checkpoints(run_id=run_id) if row.stage == "pretrain"}
    assert made == {6 * (number + 1) for number in range(boundaries)}
    total = client.checkpoints_page().total
    person.go(page, "checkpoints", standing="any")
    sizes = [min(page_rows, total - first) for first in range(0, total, page_rows)]
    for number, rows in enumerate(sizes, start=1):
        expect(page.get_by_text(f"{rows} of {total:,}, newest first")).to_be_visible()
        if number < len(sizes):
            page.get_by_role("button", name="Older").click()
            Visitor.stands(page)
    expect(page.get_by_role("button", name="Older")).to_have_count(0)
    # A page of the long list has an address, and one of them is looked at from it.
    address = page.url
    page.reload()
    expect(page.get_by_text(f"{sizes[-1]} of {total:,}, newest first")).to_be_visible()
    assert page.url == address
    first = next(row for row in client.checkpoints(run_id=run_id) if row.ref.step == 6 * boundaries)
    person.go(page, "checkpoints", checkpoint=first.id)
    expect(page.get_by_role("heading", name=first.id)).to_be_visible()
    person.shows_no_fault(page)
