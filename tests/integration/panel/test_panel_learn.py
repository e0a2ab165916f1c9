"""The live pieces of the guides, and their questions."""

from model.cli.figures import interpolation
from tests.fakes.orchestrator_service import FakePlatform
from tests.integration.panel.test_panel_new import platform  # noqa: F401  (a fixture)
from tests.integration.panel.test_panel_pages import open_page, said
from ui.panel.learn.figures import score_told
from ui.questions import questions


def test_pieces_follow_what_is_set_and_an_impossible_setting_is_said(platform: FakePlatform) -> None:  # noqa: F811
    at = open_page("learn")
    at.selectbox(key="learn_shape").select("CONSTANT").run()
    at.slider(key="learn_warmup").set_value(0.0).run()
    assert "On the average 100% of the peak" in said(at)
    at.selectbox(key="guide").select("Catastrophic forgetting").run()
    assert r"Forgetting **\+10.0%**" in said(at)
    assert "Moderate forgetting detected" in said(at)
    at.select_slider(key="learn_point").set_value(0.0).run()
    shown = {one.label: one.value for one in at.metric}
    assert shown["Forgetting"] == "+0.0%", "at 0 lies the parent itself"
    at.select_slider(key="learn_point").set_value(1.0).run()
    ends = interpolation("1")["at"]
    assert (
        next(one for one in at.metric if one.label == "Perplexity, domain").value == f"{ends['domain_perplexity']:.2f}"
    )
    assert "Here 100% of what was learned" in said(at)
    at.number_input(key="learn_now").set_value(49.0).run()
    assert "No significant forgetting" in said(at)
    assert not at.exception


def test_an_answer_is_told_at_once_and_stays(platform: FakePlatform) -> None:  # noqa: F811
    first, *others = questions("pipeline")
    wrong = next(choice for choice in first.choices if not choice.right)
    at = open_page("learn")
    assert not [*at.success, *at.warning], "nothing is told before one chooses"
    assert at.radio(key="learn_question:pipeline:0").label == first.text  # as it is read aloud: a mark would be too
    at.radio(key="learn_question:pipeline:0").set_value(wrong.text).run()
    assert at.warning[0].value == f"No. {wrong.why}"
    at.radio(key="learn_question:pipeline:0").set_value(first.answer.text).run()
    assert at.success[0].value == f"Right. {first.answer.why}"
    at.selectbox(key="guide").select("Catastrophic forgetting").run()
    assert not at.success
    at.selectbox(key="guide").select("The three-stage pipeline").run()
    assert at.success[0].value == f"Right. {first.answer.why}", "kept while another guide was read"
    for number, question in enumerate(others, 1):
        at.radio(key=f"learn_question:pipeline:{number}").set_value(question.answer.text).run()
    assert "3 of 3 right" in said(at)
    assert not at.exception


def test_a_score_is_told_by_its_severity_and_one_too_good_is_doubted() -> None:
    ratio, severity, advice = score_told(50.0, 60.0)
    assert (ratio, severity) == (0.2, "STOP")
    assert "STOP and restore" in advice[1]
    assert "Suspicious" in score_told(50.0, 20.0)[2][0]
