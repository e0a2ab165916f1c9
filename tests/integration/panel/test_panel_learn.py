"""The live pieces of the guides, and their questions."""

import pytest

from tests.fakes.orchestrator_service import FakePlatform
from tests.integration.panel.test_panel_new import platform  # noqa: F401  (a fixture)
from tests.integration.panel.test_panel_pages import open_page, said
from ui import guides
from ui.panel.learn.figures import score_told


def test_pieces_follow_what_is_set_and_an_impossible_setting_is_said(platform: FakePlatform) -> None:  # noqa: F811
    at = open_page("learn")
    at.selectbox(key="learn_shape").select("CONSTANT").run()
    at.slider(key="learn_warmup").set_value(0.0).run()
    assert "On the average 100% of the peak" in said(at)
    at.get_by_key("guide").set_value("Catastrophic forgetting").run()
    assert r"Forgetting **\+10.0%**" in said(at)
    assert "Moderate forgetting detected" in said(at)
    at.number_input(key="learn_now").set_value(49.0).run()
    assert "No significant forgetting" in said(at)
    assert not at.exception


@pytest.mark.parametrize("name", ["pipeline", "midtraining", "forgetting"])
def test_a_guide_ends_with_three_questions_which_the_terminal_shows_too(name: str) -> None:
    guide = guides.guide(name)
    body, questions = guides.with_questions(guide)
    assert len(questions) == 3
    assert all(question.text.endswith("?") and question.answer for question in questions)
    assert "Three questions" not in body
    assert questions[0].text in guide.text


def test_questions_of_a_guide_without_any_are_none() -> None:
    assert guides.with_questions(guides.Entry(name="x", title="X", text="# X\n\nText\n")) == ("# X\n\nText\n", ())


def test_a_score_is_told_by_its_severity_and_one_too_good_is_doubted() -> None:
    ratio, severity, advice = score_told(50.0, 60.0)
    assert (ratio, severity) == (0.2, "STOP")
    assert "STOP and restore" in advice[1]
    assert "Suspicious" in score_told(50.0, 20.0)[2][0]
