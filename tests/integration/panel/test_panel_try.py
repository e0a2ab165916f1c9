"""Two checkpoints side by side: both answer, what they say is no mark-up, and viewers see no button."""

from retain.evaluator.v1 import resources_pb2
from tests.fakes import scripted_runs
from tests.fakes.orchestrator_service import FakePlatform
from tests.integration.panel.test_panel_new import platform  # noqa: F401  (a fixture)
from tests.integration.panel.test_panel_pages import open_page, said
from ui.panel import side_by_side


def test_both_models_are_asked_the_same(platform: FakePlatform) -> None:  # noqa: F811
    scripted_runs.finished(platform, "done")
    at = open_page("try_it")
    first, second = at.selectbox(key="try_first").value, at.selectbox(key="try_second").value
    assert "pretrain" in first, "the one that the run began with"
    assert "finetune" in second
    at.button(key="try_ask").click().run()
    assert "There is no prompt yet" in said(at)
    at.text_area(key="try_prompt").set_value("Once").run()
    at.button(key="try_ask").click().run()
    assert platform.calls.count("SampleText") == 2
    assert [one.value for one in at.markdown].count("once upon a time") == 2
    assert not at.exception


def test_general_text_becomes_prompts(platform: FakePlatform) -> None:  # noqa: F811
    scripted_runs.finished(platform, "done")
    found = resources_pb2.DataPreview(kind="text")
    for text in ("<|bos|>", "The", " module"):
        if not found.documents:
            found.documents.add(place="d")
        found.documents[0].tokens.add(text=text, is_target=True)
    platform.previews["general"] = found
    at = open_page("try_it")
    at.button(key="try_forgot").click().run()
    at.button(key="try_general:0").click().run()
    assert at.text_area(key="try_prompt").value == "The module"


def test_who_may_only_look_and_who_has_nothing_to_ask_are_told(platform: FakePlatform) -> None:  # noqa: F811
    assert "No checkpoint yet" in said(open_page("try_it"))
    scripted_runs.finished(platform, "done")
    at = open_page("try_it", retain_roles=("viewer",))
    assert not at.button
    assert "role operator" in at.info[0].value


def test_what_a_model_says_is_no_mark_up() -> None:
    assert side_by_side.shown("[x](http://a)\n# y") == "\\[x\\]\\(http\\://a\\)  \n\\# y"
    assert side_by_side.shown("") == "*nothing*"
