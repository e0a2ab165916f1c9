"""Texts that people may type anywhere, as themselves: no mark-up in them works, and none of them breaks a page."""

import re

import pytest
from playwright.sync_api import expect

from tests.ui import specs
from tests.ui.test_runs import RUN_S, YAML, started
from tests.ui.visitor import NARROW, overhang, seen, state, told, until, written
from ui.client.client import RetainClient

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]
AWKWARD = {
    "quotes": "it's \"quoted\" `so` and 'so'",
    "script": "<script>window.struck = 1</script><img src=x onerror='window.struck = 1'>",
    "markdown": "**bold** [link](https://evil.example) ![](https://evil.example/x.png) $x^2$ :red[x] # no heading",
    "emoji": "\U0001f4a9 \U0001f469\u200d\U0001f52c \u2603",
    "rtl": "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "percent": "100 % / ../../etc/passwd?a=b&c=d#e",
    "long": "x" * 60,
}
STRUCK = "window.struck === undefined"


def test_a_name_that_is_none_is_refused_at_its_field_as_itself(visitor) -> None:
    person = visitor(size=NARROW)
    page = person.logged_in("new_run")
    for name in (*AWKWARD.values(), "y" * 5000):
        if re.fullmatch(r"[a-z0-9-]{1,63}", name):
            continue
        written(page, "Name", name)
        expect(page.get_by_text(re.compile("expected")).first).to_be_visible()
        expect(page.get_by_label("Name", exact=True)).to_have_value(name)
        told(page, STRUCK, "nothing in the text is carried out", within_ms=5000)
        assert "faults in the spec" in seen(page) or "fault in the spec" in page.inner_text("body")
    assert overhang(page) == 0
    person.shows_no_fault(page)


def test_labels_comments_and_searches_are_shown_as_typed(visitor, client: RetainClient) -> None:
    person = visitor()
    page = person.logged_in()
    run_id = started(person, page, specs.small("awkward", pretrain=2, midtrain=1, labels=AWKWARD))
    until(page, state(page, "Succeeded"), RUN_S, "its end")
    assert client.get_run(run_id).spec.labels == AWKWARD
    said = page.locator("[data-testid=stMain]").inner_text().replace("\u2060", "")  # has no width, keeps links away
    expect(page.locator("a[href*='evil']")).to_have_count(0)
    for key, value in AWKWARD.items():
        assert f"{key}={value}".replace("  ", " ") in said, key
    # what is searched for is found, and the address holds it; with "=" it is a whole label that is searched for
    for value in (one for one in AWKWARD.values() if "=" not in one):
        person.go(page, "", search=value)
        expect(page.get_by_label("Search", exact=True)).to_have_value(value)
        expect(page.get_by_text(re.compile("1 run found"))).to_be_visible()
        told(page, STRUCK, "nothing in the text is carried out", within_ms=5000)
    # an address that names what is not there says so, as itself
    for value in AWKWARD.values():
        person.go(page, "run", run=value)
        expect(page.get_by_role("alert").first).to_contain_text(re.compile("there is no run|in what was asked for"))
        told(page, STRUCK, "nothing in the text is carried out", within_ms=5000)
        person.go(page, "checkpoints", checkpoint=value)
        expect(page.get_by_role("alert").first).to_be_visible()
        told(page, STRUCK, "nothing in the text is carried out", within_ms=5000)
    person.shows_no_fault(page)


def test_a_text_that_is_no_yaml_empties_nothing(visitor) -> None:
    person = visitor()
    page = person.logged_in("new_run")
    for value in (*AWKWARD.values(), "name: [", "\t- x", "name: &a [*a]"):
        written(page, YAML, value)
        expect(page.get_by_role("alert").first).to_be_visible()
        expect(page.get_by_label(YAML)).to_have_value(value)
        told(page, STRUCK, "nothing in the text is carried out", within_ms=5000)
    person.shows_no_fault(page)
