"""The form of a new pipeline and its YAML: each shows what the other was given, and an error empties nothing."""

from collections.abc import Iterator

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from retain.orchestrator.v1 import resources_pb2 as res
from tests.fakes import scripted_runs
from tests.fakes.orchestrator_service import FakePlatform
from tests.integration.panel.test_panel_pages import open_page, said
from tests.unit.ui.test_cli_preview import conversation
from ui.client.spec import to_message
from ui.spec import templates
from ui.spec.file import parse_yaml, to_yaml


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePlatform]:
    fake = FakePlatform()
    address = fake.start()
    monkeypatch.setenv("RETAIN_SERVER", address)
    monkeypatch.setenv("RETAIN_EVALUATOR", address)
    yield fake
    st.cache_resource.clear()
    fake.stop()


def yaml_of(at: AppTest) -> str:
    return str(at.text_area(key="yaml").value)


def test_the_form_and_the_yaml_follow_each_other(platform: FakePlatform) -> None:
    at = open_page("new_run")
    template = templates.template("demo-code").text
    assert yaml_of(at) == template, "nothing is written that nobody changed"
    at.number_input(key="field:stages[1].data.general_share").set_value(0.2).run()
    assert parse_yaml(yaml_of(at))["stages"][1]["data"]["general_share"] == 0.2
    assert "# tiny models bear ten times the rate" in yaml_of(at)
    at.text_area(key="yaml").set_value(yaml_of(at).replace("general_share: 0.2", "general_share: 0.3")).run()
    assert at.number_input(key="field:stages[1].data.general_share").value == 0.3
    at.number_input(key="field:stages[1].data.general_share").set_value(None).run()
    assert "general_share" not in parse_yaml(yaml_of(at))["stages"][1]["data"]
    at.selectbox(key="either:stages.1.duration").select("steps").run()
    assert parse_yaml(yaml_of(at))["stages"][1]["duration"] == {"steps": 200000}
    at.get_by_key("policy").set_value("Learn everything").run()
    assert parse_yaml(yaml_of(at))["forgetting"]["mitigate"] is False
    assert not at.exception


def test_stages_are_added_and_removed(platform: FakePlatform) -> None:
    at = open_page("new_run")
    at.selectbox(key="template").select("minimal").run()
    at.button(key="add:MIDTRAIN").click().run()
    at.selectbox(key="field:stages[1].domain").select("SCIENCE").run()
    at.get_by_key("field:stages[1].domain_options.fields").set_value(["physics"]).run()
    stage = parse_yaml(yaml_of(at))["stages"][1]
    assert (stage["domain"], stage["domain_options"]["fields"]) == ("SCIENCE", ["physics"])
    at.button(key="remove:1").click().run()
    assert parse_yaml(yaml_of(at)) == parse_yaml(templates.template("minimal").text)
    assert not at.exception


def test_a_fault_stands_at_its_field_and_empties_nothing(platform: FakePlatform) -> None:
    at = open_page("new_run")
    platform.violations = [("stages[1].data.general_share", "got 7; expected 0 to 0.9")]
    at.number_input(key="field:stages[1].data.general_share").set_value(7.0).run()
    at.button(key="start").click().run()
    assert any("expected 0 to 0\\.9" in caption.value or "expected 0 to 0.9" in caption.value for caption in at.caption)
    assert at.number_input(key="field:stages[1].data.general_share").value == 7.0
    broken = yaml_of(at) + "\nname: [\n"
    at.text_area(key="yaml").set_value(broken).run()
    assert (yaml_of(at), "cannot be read" in said(at)) == (broken, True)
    share = at.number_input(key="field:stages[1].data.general_share")
    assert (share.value, share.disabled) == (7.0, True)
    at.switch_page("app_pages/learn.py").run()
    at.switch_page("app_pages/new_run.py").run()
    assert yaml_of(at) == broken, "a look at another page empties nothing"
    assert platform.runs == {}


def test_pressing_again_after_a_lost_answer_makes_no_second_run(platform: FakePlatform) -> None:
    at = open_page("new_run")

    def lose(run: res.PipelineRun) -> None:
        platform.on_create = None
        raise RuntimeError("the answer is lost")

    platform.on_create = lose
    at.button(key="start").click().run()
    assert at.error
    assert yaml_of(at)
    at.button(key="start").click().run()
    assert list(platform.runs) == ["run-1"]
    at.switch_page("app_pages/new_run.py").run()
    at.button(key="start").click().run()
    assert list(platform.runs) == ["run-1", "run-2"], "what was answered and is pressed again is meant again"


def test_the_memory_of_each_stage_stands_beside_the_compute(platform: FakePlatform) -> None:
    platform.needs["pretrain"] = res.StageNeeds(
        memory=res.MemoryEstimate(weights_bytes=4_000_000, total_bytes=600_000_000), memory_limit_bytes=1_200_000_000
    )
    at = open_page("new_run")
    assert any("600.0 MB of memory on each worker" in bar.proto.text for bar in at.get("progress"))


def test_real_rows_stand_in_the_form_until_it_names_others(platform: FakePlatform) -> None:
    platform.previews["chat"] = conversation()
    at = open_page("new_run")
    at.button(key="preview:2:chat").click().run()
    assert ":green-background[Hello]" in said(at)
    assert ":gray-background[" in said(at)
    assert len(at.get("vega_lite_chart")) == 1
    at.button(key="preview:1:domain").click().run()
    assert list(at.dataframe[0].value["Field"]) == ["stages[1].data.domain"], "a text that cannot be read is said"
    at.text_input(key="field:stages[2].data.chat").set_value("sample://chat").run()
    assert ":green-background[Hello]" not in said(at)
    assert not at.exception


def test_who_may_only_look_sees_no_button_that_acts(platform: FakePlatform) -> None:
    keys = {button.key for button in open_page("new_run", retain_roles=("viewer",)).button}
    assert "validate" in keys
    assert not [key for key in keys if key == "start" or key.startswith("preview:")]


def test_a_run_is_cloned_as_the_server_keeps_it_and_one_that_is_gone_empties_nothing(platform: FakePlatform) -> None:
    scripted_runs.finished(platform, "done")
    at = open_page("new_run")
    at.selectbox(key="template").select("run/done").run()
    copied = parse_yaml(yaml_of(at))
    assert to_message(copied) == (platform.runs["done"].spec, [])
    assert at.number_input(key="field:forgetting.stop").value == 0.2
    del platform.runs["done"]
    at.selectbox(key="template").select("minimal").run()
    before = yaml_of(at)
    at.query_params["clone"] = "done"
    at.run()
    assert "there is no run done" in at.error[0].value
    assert yaml_of(at) == before
    assert not at.exception


def test_the_schedules_are_those_of_the_plan(platform: FakePlatform) -> None:
    at = open_page("new_run")
    assert not list(at.toggle), "this plan says no shape, so none is drawn"
    at.selectbox(key="field:stages[1].schedule.kind").select("WSD").run()
    for name, value in (("warmup", 0.1), ("decay", 0.2)):
        at.number_input(key=f"field:stages[1].schedule.{name}").set_value(value).run()
    tree = parse_yaml(yaml_of(at))
    tree["stages"][1]["schedule"]["floor"] = 0.0
    tree["stages"][1]["curriculum"] = {"strategy": "STAGED", "levels": 3}
    at.text_area(key="yaml").set_value(to_yaml(tree)).run()
    at.toggle(key="schedules:1").set_value(True).run()
    assert len(at.get("vega_lite_chart")) == 2
    assert not at.exception


def test_a_browser_that_is_behind_changes_nothing_back(platform: FakePlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    at = open_page("new_run")
    share = "field:stages[1].data.general_share"
    was = yaml_of(at)
    other = was.replace("general_share: 0.05", "general_share: 0.3")
    # The text is pasted; with it, and with the press that follows, comes the form as it was drawn for the text before.
    at.text_area(key="yaml").set_value(other).run()
    at.number_input(key=share).set_value(0.05)
    at.button(key="validate").click().run()
    assert (yaml_of(at), at.number_input(key=share).value) == (other, 0.3)
    # What a person changes in the meantime counts, and the text that the browser still shows takes nothing of it back.
    at.number_input(key=share).set_value(0.25).run()
    at.text_area(key="yaml").set_value(other).run()
    assert parse_yaml(yaml_of(at))["stages"][1]["data"]["general_share"] == 0.25
    # Once the browser had the time to show it, the value before is as good as any other.
    monkeypatch.setattr("ui.panel.new.echoes.GRACE_S", 0.0)
    at.number_input(key=share).set_value(0.05).run()
    at.text_area(key="yaml").set_value(other).run()
    at.number_input(key=share).set_value(0.05).run()
    assert parse_yaml(yaml_of(at))["stages"][1]["data"]["general_share"] == 0.05
    assert not at.exception
