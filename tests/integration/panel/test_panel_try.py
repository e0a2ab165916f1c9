"""Two checkpoints side by side: both answer, what they say is no mark-up, and viewers see no button."""

from streamlit.testing.v1 import AppTest

from retain.evaluator.v1 import resources_pb2
from tests.fakes import scripted_runs
from tests.fakes.orchestrator_service import FakePlatform
from tests.integration.panel.test_panel_new import platform  # noqa: F401  (a fixture)
from tests.integration.panel.test_panel_pages import PANEL, open_page, said
from ui.client.convert import to_view
from ui.client.views import Checkpoint
from ui.panel import side_by_side
from ui.panel.conversation import Answer, Exchange, turns


def test_both_models_are_asked_the_same(platform: FakePlatform) -> None:  # noqa: F811
    scripted_runs.finished(platform, "done")
    at = open_page("try_it")
    first, second = at.selectbox(key="try_a").value, at.selectbox(key="try_b").value
    assert "pretrain" in first, "the one that the run began with"
    assert "finetune" in second
    at.button(key="try_ask").click().run()
    assert "There is no prompt yet" in said(at)
    at.text_area(key="try_prompt").set_value("Once").run()
    at.button(key="try_ask").click().run()
    assert platform.calls.count("SampleText") == 2
    assert [one.value for one in at.markdown].count("**A:**  once upon a time") == 1
    assert [one.value for one in at.markdown].count("**B:**  once upon a time") == 1
    assert at.query_params["b"] == second
    assert not at.exception


def test_a_conversation_goes_on_and_each_model_hears_its_own_words(platform: FakePlatform) -> None:  # noqa: F811
    scripted_runs.finished(platform, "done")
    at = open_page("try_it")
    at.get_by_key("try_mode").set_value("Chat").run()
    at.chat_input[0].set_value("Who are you?").run()
    at.chat_input[0].set_value("And I?").run()
    asked = platform.asked_texts[-1]
    assert [(turn.role, turn.content) for turn in asked.turns] == [
        ("user", "Who are you?"), ("assistant", " once upon a time"),
    ]  # fmt: skip
    assert (asked.prompt, asked.chat) == ("And I?", True)
    assert said(at).count("takes 9 of the 10 tokens of its context, which is nearly full") == 2
    at.text_area(key="try_edited:2").set_value("And we?")
    next(button for button in at.button if button.label == "Ask both again").click().run()
    assert platform.asked_texts[-1].prompt == "And we?"
    assert len(platform.asked_texts[-1].turns) == 2, "the turn that was edited is gone"
    assert "And I?" not in said(at)
    assert platform.calls.count("SampleText") == 6
    at.selectbox(key="try_a").select(at.selectbox(key="try_b").value).run()
    assert "Who are you" not in said(at), "another pair has a conversation of its own"
    at.selectbox(key="try_a").select("done/pretrain/attempt-1/step-000000120").run()
    assert "Who are you" in said(at)
    at.button(key="try_clear").click().run()
    assert "Who are you" not in said(at)
    assert not at.exception


def test_a_conversation_outlives_the_session_and_is_nobody_elses(platform: FakePlatform) -> None:  # noqa: F811
    scripted_runs.finished(platform, "done")
    at = open_page("try_it", retain_caller="anna", retain_roles=("operator",))
    at.get_by_key("try_mode").set_value("Chat").run()
    at.chat_input[0].set_value("Who are you?").run()
    assert at.query_params["how"] == "Chat"
    for person, is_found in (("anna", True), ("bob", False)):
        later = AppTest.from_file(str(PANEL / "app.py"), default_timeout=30)
        later.session_state["retain_caller"], later.session_state["retain_roles"] = person, ("operator",)
        later.run()
        later.query_params["how"] = "Chat"
        later.switch_page("app_pages/try_it.py").run()
        assert later.get_by_key("try_mode").value == "Chat", "the address says it"
        assert ("Who are you" in said(later)) == is_found
        assert not later.exception


def test_a_model_without_a_chat_template_is_told_and_its_turn_is_left_out(platform: FakePlatform) -> None:  # noqa: F811
    scripted_runs.finished(platform, "done")
    platform.chat_fault = "s3://r: tokenizer.chat_template: got none; expected a tokenizer with a chat template"
    at = open_page("try_it")
    at.get_by_key("try_mode").set_value("Chat").run()
    at.chat_input[0].set_value("Hi").run()
    assert said(at).count("a tokenizer with a chat template") == 2
    assert said(at).count("Ask it by Complete") == 2
    platform.chat_fault = ""
    at.chat_input[0].set_value("Hello").run()
    assert not platform.asked_texts[-1].turns
    assert not at.exception


def test_what_was_stopped_stays_and_what_no_server_takes_back_is_left_out() -> None:
    half, never = Answer(text="On\x00ce\u202e", prompt_tokens=3, context=100), Answer()
    exchange = Exchange(prompt="Hi", answers=(half, never))
    assert half.told == "The prompt takes 3 of the 100 tokens of its context. Stopped."
    assert never.told == "Stopped before it began."
    assert turns([exchange], 0) == [("user", "Hi"), ("assistant", "Once")]
    assert turns([exchange], 1) == []


def test_the_first_pair_is_of_a_run_that_has_two() -> None:
    runs = FakePlatform()
    scripted_runs.finished(runs, "done")
    scripted_runs.suspended(runs, "held")
    rows = side_by_side.usable([to_view(Checkpoint, row) for row in runs.checkpoints])
    first, second = side_by_side.first_pair(rows)
    assert (first.id, second.id) == ("done/pretrain/attempt-1/step-000000120", "done/finetune/attempt-1/step-000000120")


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
    assert side_by_side.shown("[x](http://a)\n# y") == "\\[x\\]\\(http\\://\u2060a\\)  \n\\# y"  # no address
    assert side_by_side.shown("") == "*nothing*"
