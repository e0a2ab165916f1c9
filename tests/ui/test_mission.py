"""One person does the whole mission without a terminal, on small runs of all three stages: what a page shows is what
the server says."""

import math
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from safetensors import safe_open

from tests.e2e.pipelines import EVERY_STEPS
from tests.e2e.stack import until
from tests.ui import specs
from tests.ui.specs import BOUNDARIES, accepted, mission
from tests.ui.visitor import Visitor, choose, comes_to, press, table, tick, unfold, written
from ui.client.client import RetainClient
from ui.client.views import Run
from ui.panel.checkpoints.figures import measured
from ui.panel.compare.frontier import frontier, point
from ui.panel.compare.settings import differing
from ui.render import formatting
from ui.render.data.preview import facts_line, visible
from ui.render.perplexity_table import dual_rows
from ui.render.severity import Thresholds
from ui.spec import templates
from ui.spec.file import parse_yaml
from ui.spec.form import policy

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]
YAML = "Specification (YAML)"


def tree_of(page: Page) -> dict[str, Any]:
    return dict(parse_yaml(page.get_by_label(YAML).input_value()))


def boxes(page: Page) -> list[str]:
    """The tokens of a preview."""
    found = page.locator("span.stMarkdownColoredBackground")
    return [text.replace("·", " ") for text in found.all_inner_texts()]


def previewed(page: Page, client: RetainClient, spec: dict[str, Any], what: str, stage: int, role: str) -> Any:
    """The server's preview, after the page has shown the same."""
    page.get_by_role("button", name=f"Preview {what}").nth(0 if what != "general text" else stage).click()
    found = client.preview_data(spec, stage=stage, role=role)
    expect(page.get_by_text(f"{what.capitalize()}: {facts_line(found)}")).to_be_visible()
    Visitor.stands(page)
    return found


def test_a_pipeline_is_looked_at_before_it_is_started(visitor, client: RetainClient, runs: list[Run]) -> None:
    person, spec = visitor(), mission("looked-at-first")
    page = person.logged_in("new_run")
    written(page, YAML, specs.text(spec))
    expect(page.get_by_text("The server accepts it")).to_be_visible()
    plan, faults = client.validate(spec)
    assert (plan is not None, faults) == (True, ())
    planned = table(page, "The planned stages")
    assert [row["Steps"] for row in planned] == [str(EVERY_STEPS * boundaries) for boundaries in BOUNDARIES]
    for stage in plan.stages:
        assert stage.needs is not None
        assert stage.needs.memory is not None
        total = formatting.file_size(stage.needs.memory.total_bytes)
        expect(page.get_by_text(f"{stage.name}: {total} of memory on each worker")).to_be_visible()

    text = previewed(page, client, spec, "general text", 0, "general")
    assert boxes(page) == [visible(token) for one in text.documents for token in one.tokens]
    chat = previewed(page, client, spec, "conversations", 2, "chat")
    assert {token.is_target for one in chat.documents for token in one.tokens} == {True, False}
    assert len(boxes(page)) == sum(len(one.tokens) for found in (text, chat) for one in found.documents)
    domain = previewed(page, client, spec, "text of the domain", 1, "domain")
    assert domain.difficulty
    expect(page.get_by_test_id("stVegaLiteChart").first).to_be_visible()
    person.shows_no_fault(page)


def test_a_fault_empties_nothing_and_every_beginning_is_accepted(
    visitor, client: RetainClient, runs: list[Run]
) -> None:
    person = visitor()
    page = person.logged_in("new_run")
    written(page, YAML, specs.text(mission("at-fault")))
    share = page.get_by_label("Share of general text", exact=True)
    share.fill("7")
    share.press("Enter")
    expect(page.get_by_text(re.compile("got 7")).first).to_be_visible()
    Visitor.stands(page)
    assert tree_of(page)["stages"][1]["data"]["general_share"] == 7
    expect(share).to_have_value("7")
    share.fill("0.3")
    share.press("Enter")
    expect(page.get_by_text("The server accepts it")).to_be_visible()

    slider = page.get_by_role("slider", name="What matters more")
    slider.press("Home")
    Visitor.stands(page)
    slider.press("ArrowRight")
    Visitor.stands(page)
    comes_to(page, lambda: tree_of(page)["forgetting"], policy.settings_of(policy.KEEP))
    expect(page.get_by_text("Sets minor 2.50%, action 5.00%, stop 10.00% and a budget of 5.00%")).to_be_visible()
    expect(page.get_by_text("The server accepts it")).to_be_visible()

    for template in templates.templates():
        choose(page, "Begin with", f"{template.name}: ")
        comes_to(page, lambda: page.get_by_label(YAML).input_value(), template.text)
        expect(page.get_by_text("The server accepts it")).to_be_visible()
    person.go(page, "new_run", clone=runs[1].id)
    expect(page.get_by_text("The server accepts it")).to_be_visible()
    assert tree_of(page) == client.get_run(runs[1].id).own_spec
    written(page, "Name", "the-copy")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text("the-copy, created")).to_have_count(1)
    copy = client.list_runs(limit=1)[0]
    assert copy.own_spec == {**runs[1].own_spec, "name": "the-copy"}
    person.shows_no_fault(page)


def test_checkpoints_are_found_looked_at_and_set_side_by_side(visitor, client: RetainClient, runs: list[Run]) -> None:
    person = visitor()
    page = person.logged_in("checkpoints")
    press(page, "Fine-tuning")
    found = client.checkpoints_page(stage="finetune", states=("LIVE", "ACCEPTED")).rows
    name = "Checkpoints, newest first"
    comes_to(page, lambda: [row["Checkpoint"] for row in table(page, name)], [row.id for row in found])
    tick(page, name, 0)
    row = found[0]
    expect(page.get_by_role("heading", name=row.id)).to_be_visible()
    record = measured(row, client.history(row.run_id, stage=row.stage))
    assert record is not None
    shown = table(page, "Perplexity of the checkpoint on each set")
    figures = [formatting.ppl(one.perplexity) for one in record.results]
    assert len(shown) > 5, "the table shows what fits into it"
    assert [one["Perplexity"] for one in shown] == figures[: len(shown)]
    graph = page.get_by_test_id("stGraphVizChart")
    for stage in ("pretrain", "midtrain/code", "finetune"):
        expect(graph.get_by_text(f"{stage}, attempt 1").first).to_be_visible()
    tick(page, name, 1)
    expect(page.get_by_role("heading", name="Side by side")).to_be_visible()

    left, right = (accepted(client, run, "midtrain/code") for run in runs[:2])
    page.goto(f"{person.url}/checkpoints?checkpoint={left.id}&checkpoint={right.id}")
    Visitor.stands(page)
    both = table(page, "Perplexity of both checkpoints on each set")
    a, b = (measured(one, client.history(one.run_id, stage=one.stage)) for one in (left, right))
    assert a is not None
    assert b is not None
    pairs = zip(a.results, b.results, strict=True)
    figures = [(formatting.ppl(x.perplexity), formatting.ppl(y.perplexity)) for x, y in pairs]
    assert [(one["A"], one["B"]) for one in both] == figures[: len(both)]
    settings = table(page, "Settings that differ between the runs of both checkpoints")
    assert {one["Setting"]: (one["A"], one["B"]) for one in settings} == dict(
        differing([run.own_spec for run in runs[:2]])
    )
    written(page, "Prompt", "A function is")
    page.get_by_label("Tokens at most", exact=True).fill("12")
    page.get_by_role("button", name="Write").click()
    said = [
        "".join(["A function is", *client.sample(one.ref, "A function is", max_new_tokens=12, temperature=0.0, seed=0)])
        for one in (left, right)
    ]
    comes_to(page, lambda: [one.split() for one in page.get_by_test_id("stText").all_text_contents()], words(said))
    person.shows_no_fault(page)


def words(texts: list[str]) -> list[list[str]]:
    return [text.split() for text in texts]


def test_a_checkpoint_is_taken_out(visitor, client: RetainClient, runs: list[Run], tmp_path: Path) -> None:
    person, row = visitor(), accepted(client, runs[0], "finetune")
    page = person.logged_in("checkpoints", checkpoint=row.id)
    unfold(page, "Take it out")
    page.get_by_role("button", name="Links to its files").click()
    export = client.export_checkpoint(row.id)
    for file in export.files:
        expect(page.get_by_role("link", name=file.path)).to_be_visible()
        with page.expect_download() as begun:
            page.get_by_role("link", name=file.path).click()
        kept = tmp_path / file.path.replace("/", "-")
        begun.value.save_as(kept)
        assert begun.value.suggested_filename == Path(file.path).name
        assert kept.stat().st_size == file.bytes
    (weights,) = tmp_path.glob("*.safetensors")
    with safe_open(weights, "pt") as opened:
        assert sum(math.prod(opened.get_slice(name).get_shape()) for name in opened.keys()) > 10_000  # noqa: SIM118
    person.shows_no_fault(page)


def answered(page: Page, number: int) -> None:
    """Both models have answered so many questions of the conversation, to their ends."""
    told_of = page.get_by_text(re.compile("The prompt takes"))
    expect(told_of).to_have_count(2 * number)
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)
    Visitor.stands(page)


def say(page: Page, text: str) -> None:
    box = page.get_by_test_id("stChatInputTextArea")
    box.fill(text)
    box.press("Enter")


def test_two_models_are_asked_side_by_side(visitor, client: RetainClient, runs: list[Run]) -> None:
    person, a, b = visitor(), accepted(client, runs[0], "pretrain"), accepted(client, runs[0], "finetune")
    page = person.logged_in("try_it", a=a.id, b=b.id)
    written(page, "Prompt", "The name of")
    written(page, "New tokens, at most", "12")
    press(page, "Ask both")
    answered(page, 1)
    for side, one in (("A", a), ("B", b)):
        text = "".join(client.sample(one.ref, "The name of", max_new_tokens=12, temperature=0.0, seed=0))
        said = " ".join(f"{side}: {text}".split())
        comes_to(page, lambda: said in [" ".join(one.split()) for one in markdown(page)], True)  # noqa: B023
    press(page, "What did it forget?")
    beginnings = page.locator("[class*=st-key-try_general]").get_by_role("button")
    expect(beginnings.first).to_be_visible()
    assert beginnings.count() == 3
    beginning = beginnings.first.inner_text()
    beginnings.first.click()
    comes_to(page, lambda: page.get_by_label("Prompt", exact=True).input_value().split(), beginning.split())
    Visitor.stands(page)
    press(page, "Ask both")
    expect(page.get_by_text(re.compile("^Continued: "))).to_contain_text(" ".join(beginning.split())[:20])
    answered(page, 1)
    person.shows_no_fault(page)


def test_a_conversation_goes_on_and_its_last_turn_is_edited(visitor, client: RetainClient, runs: list[Run]) -> None:
    person, a, b = visitor(), *(accepted(client, run, "finetune") for run in runs[:2])
    page = person.logged_in("try_it", a=a.id, b=b.id, how="Chat")
    written(page, "New tokens, at most", "6")
    for number, text in enumerate(("Hello", "And then?"), start=1):
        say(page, text)
        answered(page, number)
    expect(page.get_by_test_id("stChatMessage")).to_have_count(2)
    takes = page.get_by_text(re.compile("The prompt takes")).all_inner_texts()
    tokens = [int(re.search(r"takes (\d+)", one).group(1)) for one in takes]  # type: ignore[union-attr]
    assert tokens[2] > tokens[0], "the second turn carries the first"
    press(page, "Edit the last turn")
    page.get_by_label("The last turn", exact=True).fill("And before?")
    page.get_by_role("button", name="Ask both again").click()
    answered(page, 2)
    assert [one.strip().splitlines()[-1] for one in page.get_by_test_id("stChatMessage").all_inner_texts()] == [
        "Hello", "And before?",
    ]  # fmt: skip
    page.reload()
    expect(page.get_by_test_id("stChatMessage")).to_have_count(2)
    press(page, "Clear")
    expect(page.get_by_test_id("stChatMessage")).to_have_count(0)
    person.shows_no_fault(page)


def markdown(page: Page) -> list[str]:
    return page.get_by_test_id("stMarkdownContainer").all_inner_texts()


def test_two_runs_are_compared(visitor, client: RetainClient, runs: list[Run]) -> None:
    person, two = visitor(), runs[:2]
    page = person.logged_in("compare", runs=",".join(run.id for run in two))
    for figure, title in (("Loss", "Training loss"), ("Forgetting", "Forgetting"), ("Perplexity", "Perplexity")):
        press(page, figure)
        for axis in ("Steps", "Time", "Tokens"):
            press(page, axis)
            chart = page.get_by_role("region", name=re.compile(f"^{title}.* of the runs$")).or_(
                page.get_by_label(re.compile(f"^{title}.* of the runs$"))
            )
            expect(chart.first).to_be_visible()
            expect(page.get_by_text("none of these runs has any yet")).to_have_count(0)
    settings = table(page, "Settings that are not the same in all runs")
    assert {row["Setting"]: tuple(row[run.id] for run in two) for row in settings} == dict(
        differing([run.own_spec for run in two])
    )
    points = []
    for run in two:
        found = point(run.id, dual_rows(client.history(run.id), client.decisions(run.id), Thresholds.of_spec(run.spec)))
        assert found is not None
        points.append(found)
    best = frontier(points)
    assert [tuple(row.values()) for row in table(page, "Gain and forgetting of each run")] == [
        (one.run_id, one.stage, f"{one.gain:.4f}".rstrip("0"), formatting.percent(one.forgetting),
         "yes" if one in best else "no")
        for one in points
    ]  # fmt: skip
    person.shows_no_fault(page)


def test_what_a_run_keeps_and_promises_is_changed_while_it_lasts(visitor, client: RetainClient) -> None:
    person, run_id = visitor(), client.create_run(specs.small("changed", pretrain=200, midtrain=1)).id
    page = person.logged_in("run", run=run_id, view="specification")
    until(client, run_id, lambda run: run.state == "RUNNING" and run.stages[0].step > 0, "it trains")
    unfold(page, "Change retention, budget or labels")
    for label, value in (
        ("Newest checkpoints of a stage to keep", "7"),
        ("Forgetting budget at a stage's end (%)", "12.5"),
        ("Retries of a stage", "4"),
        ("Labels, one key=value a line", "owner=ada"),
    ):
        page.get_by_label(label, exact=True).fill(value)
    page.wait_for_timeout(2000)  # the page follows the run meanwhile, and takes nothing of it back
    page.get_by_role("button", name="Change", exact=True).click()
    expect(page.get_by_text(re.compile("Changed: "))).to_be_visible()
    spec = client.get_run(run_id).spec
    assert (spec.checkpoints.keep_last, spec.forgetting.budget, spec.forgetting.max_retries) == (7, 0.125, 4)
    assert dict(spec.labels) == {"owner": "ada"}
    expect(page.get_by_text("owner=ada").first).to_be_visible()
    page.reload()
    expect(page.get_by_text("keep_last: 7")).to_be_visible()
    unfold(page, "Change retention, budget or labels")
    expect(page.get_by_label("Forgetting budget at a stage's end (%)", exact=True)).to_have_value("12.50")
    client.cancel(run_id)
    person.shows_no_fault(page)


def test_the_logs_are_read_searched_and_taken_home(
    visitor, client: RetainClient, runs: list[Run], tmp_path: Path
) -> None:
    person = visitor()
    page = person.logged_in("run", run=runs[0].id, view="logs")
    whole = "".join(piece.text for piece in client.logs(runs[0].id))
    lines = whole.splitlines()
    assert lines
    code = page.get_by_test_id("stCode")
    comes_to(page, lambda: code.inner_text().rstrip().splitlines()[-1].strip(), lines[-1].strip())
    word = max(re.findall(r"[a-z]{5,}", lines[-1]), key=len)
    written(page, "Search", word)
    expect(page.get_by_text(re.compile(f"lines with '{word}'"))).to_be_visible()
    having = [f"{number}  {line}" for number, line in enumerate(lines, start=1) if word in line]
    comes_to(page, lambda: len(code.inner_text().strip().splitlines()), len(having))
    assert code.inner_text().strip().splitlines()[-1].strip() == having[-1].strip()
    with page.expect_download() as begun:
        page.get_by_role("button", name="Download").last.click()
    begun.value.save_as(tmp_path / "log")
    assert (tmp_path / "log").read_text().partition("\n")[2] == whole
    person.shows_no_fault(page)
