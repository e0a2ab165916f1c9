"""What people see of an installation by their rights: its services, their project, nothing to press; and its guides."""

import re

import pytest
from playwright.sync_api import expect

from tests.ui.specs import accepted
from tests.ui.visitor import choose, comes_to, table, written
from ui import guides
from ui.client.client import RetainClient
from ui.client.views import Run
from ui.questions import questions

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]
PAGES = ("", "new_run", "run", "checkpoints", "compare", "try_it", "operations", "learn")


def test_the_installation_stands_and_tells_who_did_what(visitor, client: RetainClient, runs: list[Run]) -> None:
    person = visitor()
    page = person.logged_in("operations")
    components = client.system_status().components
    assert {one.name for one in components} >= {"evaluator", "object_store"}
    shown = table(page, "What is around the orchestrator, and whether it answers")
    assert {row["Service"]: row["Answers"] for row in shown} == {
        one.name.replace("_", " "): "✓ yes" for one in components
    }
    expect(page.get_by_text("worker slots are held")).to_be_visible()
    expect(page.get_by_text("No worker is at work.")).to_be_visible()
    expect(page.get_by_text("No run waits for its turn.")).to_be_visible()
    written(page, "Call", "CreatePipelineRun")
    written(page, "On what", runs[2].id)
    comes_to(
        page,
        lambda: [(row["Who"], row["On"]) for row in table(page, "Who did what, newest first")],
        [("of-the-team", runs[2].id)],
    )
    person.shows_no_fault(page)


MAY_NOT = re.compile(
    r"Start|Cancel|Resume|Accept|One more|Set aside|^Change|Measure|Write|Ask|Links|Preview|Try it beside",
    re.IGNORECASE,
)


def test_who_may_only_look_sees_everything_and_nothing_to_press(visitor, client: RetainClient, runs: list[Run]) -> None:
    _, secret = client.identity.create_token("looks-only", roles=("viewer",))
    person = visitor(token=secret)
    page = person.logged_in()
    names = [row["Run"] for row in table(page, "Pipeline runs, newest first")]
    assert {run.id for run in runs[:2]} <= set(names)
    assert runs[2].id not in names
    row = accepted(client, runs[0], "finetune")
    queries: dict[str, list[dict[str, str]]] = {
        "run": [{"run": runs[0].id, "view": view} for view in ("live", "checkpoints", "logs", "specification")],
        "checkpoints": [{"checkpoint": row.id}],
        "compare": [{"runs": ",".join(run.id for run in runs[:2])}],
    }
    for path in PAGES:
        for query in queries.get(path, [{}]):
            person.go(page, path, **query)
            found = page.get_by_test_id("stMain").get_by_role("button").all_inner_texts()
            assert [text for text in found if MAY_NOT.search(text)] == [], (path, query)
            errors = page.get_by_test_id("stAlertContentError")
            assert errors.all_inner_texts() == [], (path, query)
    person.shows_no_fault(page)


def test_who_is_in_a_project_sees_its_runs_alone(visitor, team: RetainClient, runs: list[Run]) -> None:
    assert team.address.token is not None
    person = visitor(token=team.address.token)
    page = person.logged_in()
    assert [row["Run"] for row in table(page, "Pipeline runs, newest first")] == [runs[2].id]
    person.go(page, "checkpoints")
    rows = table(page, "Checkpoints, newest first")
    assert {row["Checkpoint"].split("/")[0] for row in rows} == {runs[2].id}
    person.go(page, "operations")
    expect(page.get_by_text("No run waits for its turn.")).to_be_visible()
    expect(page.get_by_role("heading", name="Who did what")).to_have_count(0)
    person.go(page, "run", run=runs[0].id)
    expect(page.get_by_test_id("stAlert").first).to_be_visible()
    expect(page.get_by_text("the-first, created")).to_have_count(0)
    expect(page.get_by_text("of-the-team, created")).to_have_count(1)  # what is shown beside the error is of the team
    person.shows_no_fault(page)


def test_a_guide_is_tried_and_its_question_answered(visitor) -> None:
    person = visitor()
    page = person.logged_in("learn")
    choose(page, "Guide", guides.guide("forgetting").title)
    written(page, "Perplexity now", "60")
    expect(page.get_by_text(re.compile(r"^Forgetting \+20\.0%, in nats \+0\.1823: "))).to_be_visible()
    slider = page.get_by_role("slider", name=re.compile("^Weights between"))
    forgetting = page.get_by_test_id("stMetric").filter(has_text="Forgetting")
    expect(forgetting).to_be_visible()
    slider.press("Home")
    expect(forgetting).to_contain_text("+0.0%")
    question = questions("forgetting")[0]
    wrong = next(choice for choice in question.choices if not choice.right)
    for choice, said in ((wrong, "No. "), (question.answer, "Right. ")):
        page.get_by_text(choice.text, exact=True).click()
        expect(page.get_by_text(f"{said}{choice.why.replace('`', '')[:40]}")).to_be_visible()
    person.shows_no_fault(page)
