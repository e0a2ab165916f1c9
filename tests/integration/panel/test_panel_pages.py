"""Every page of the panel, run by Streamlit's own test harness against a fake platform on a real port."""

import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from retain.orchestrator.v1 import resources_pb2 as res
from tests.fakes import scripted_runs
from tests.fakes.orchestrator_service import FakePlatform

PANEL = Path(__file__).resolve().parents[3] / "ui" / "panel"


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePlatform]:
    fake = FakePlatform()
    address = fake.start()
    monkeypatch.setenv("RETAIN_SERVER", address)
    monkeypatch.setenv("RETAIN_EVALUATOR", address)
    yield fake
    st.cache_resource.clear()
    fake.stop()


def open_page(name: str, **state: object) -> AppTest:
    at = AppTest.from_file(str(PANEL / "app.py"), default_timeout=30)
    for key, value in state.items():
        at.session_state[key] = value
    at.run()
    if name != "pipelines":
        at.switch_page(f"app_pages/{name}.py").run()
    assert not at.exception
    return at


def run_until(at: AppTest, words: str) -> AppTest:
    """Runs the page again until the live snapshot has what is looked for."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        at.run()
        assert not at.exception
        if words in said(at):
            return at
        time.sleep(0.1)
    raise AssertionError(f"{words!r} never came: {said(at)}")


def said(at: AppTest) -> str:
    return "\n".join(
        str(element.value)
        for kind in ("title", "subheader", "markdown", "caption", "warning", "error")
        for element in at.get(kind)
    )


def table_with(at: AppTest, column: str) -> pd.DataFrame:
    return next(frame.value for frame in at.dataframe if column in frame.value)


def test_the_pipelines_page_shows_progress_and_runs(platform: FakePlatform) -> None:
    scripted_runs.finished(platform, "done")
    scripted_runs.suspended(platform, "held")
    at = open_page("pipelines")
    stages, runs = (table.value for table in at.dataframe)
    assert list(stages["Stage"]) == ["Pre-Training", "Mid-Training (code)", "Fine-Tuning"]
    assert list(stages["Status"]) == ["✓ Complete", "‖ Waits for a person", "✓ Complete"]
    assert list(runs["Run"]) == ["held", "done"]
    assert "Needs a person" in said(at)
    assert "midtrain/code forgot 24.0 % of general after 2 retries" in said(at)


def test_runs_are_paged_filtered_and_searched_and_the_address_says_how(platform: FakePlatform) -> None:
    for number in range(120):
        run = scripted_runs.new_run(platform, f"run-{number:03d}")
        run.spec.labels["seed"] = str(number % 40)
    run.status.state = res.RUN_STATE_FAILED
    at = open_page("pipelines")

    def listed() -> list[str]:
        return list(table_with(at, "Run")["Run"])

    assert (listed()[0], listed()[-1], len(listed())) == ("run-119", "run-070", 50)
    at.button(key="runs_older").click().run()
    at.button(key="runs_older").click().run()
    assert (listed()[0], listed()[-1]) == ("run-019", "run-000")
    assert "no older ones" in said(at)
    at.button(key="runs_newer").click().run()
    assert listed()[0] == "run-069"
    assert at.query_params["from"] == "50"
    at.text_input(key="search").set_value("seed=39").run()
    assert listed() == ["run-119", "run-079", "run-039"]
    assert "3 runs found, newest first; there are no older ones" in said(at)
    at.multiselect(key="states").set_value(["FAILED"]).run()
    assert listed() == ["run-119"]
    assert (at.query_params["search"], at.query_params["state"]) == ("seed=39", "FAILED")
    assert not at.exception


def test_what_is_locked_says_what_it_needs(platform: FakePlatform) -> None:
    stages = open_page("pipelines").dataframe[0].value
    assert list(stages["Status"]) == ["○ Ready to start", "⊗ Locked", "⊗ Locked"]
    assert "base model" in stages["Needs"][1]


def test_without_a_server_each_page_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETAIN_SERVER", "127.0.0.1:1")
    for name in ("pipelines", "run"):
        assert r"127.0.0.1\:1 does not answer" in open_page(name).error[0].value


def test_a_template_fills_the_editor_and_is_validated(platform: FakePlatform) -> None:
    platform.needs["pretrain"] = res.StageNeeds(
        memory=res.MemoryEstimate(weights_bytes=4_000_000, total_bytes=600_000_000), unknown=["its length"]
    )
    at = open_page("new_run")
    at.selectbox(key="template").select("minimal").run()
    assert at.text_area(key="yaml").value.startswith("# The smallest pipeline")
    at.button(key="validate").click().run()
    assert at.success
    assert list(at.dataframe[0].value["Stage"]) == ["pretrain"]
    assert "pretrain needs about 600.0 MB of memory on each worker" in said(at)
    assert r"not known\: its length" in said(at)  # no Markdown of its own


def test_every_fault_is_listed_by_its_field(platform: FakePlatform) -> None:
    platform.violations = [("forgetting.action", "got 0.3; expected at most stop 0.2")]
    at = open_page("new_run")
    at.text_area(key="yaml").set_value("name: x\nstages: [{knid: PRETRAIN}]\n").run()
    at.button(key="start").click().run()
    assert list(at.dataframe[0].value["Field"]) == ["stages[0].knid", "forgetting.action"]
    at.text_area(key="yaml").set_value("a: [1").run()
    at.button(key="validate").click().run()
    assert at.dataframe[0].value["Field"][0].startswith("line:")
    assert platform.runs == {}


def test_start_submits_what_is_in_the_editor(platform: FakePlatform) -> None:
    at = open_page("new_run")
    at.text_area(key="yaml").set_value("name: mine\nstages: [{kind: PRETRAIN}]\n").run()
    at.button(key="start").click().run()
    assert platform.runs["run-1"].spec.name == "mine"
    assert not at.exception


def test_a_run_shows_its_stages_charts_and_decisions(platform: FakePlatform) -> None:
    scripted_runs.finished(platform, "done")
    at = run_until(open_page("run", run_id="done"), "Accepted checkpoints")
    assert "Forgetting: **✓ +4.0 % general**" in said(at)
    assert len(at.get("vega_lite_chart")) == 2
    decisions = table_with(at, "Verdict")
    assert list(decisions["Verdict"])[9] == "✗ roll back"
    assert {button.key for button in at.button} == {"ask"}, "nothing is to be done about a run that is done"


def test_a_run_says_that_its_data_are_prepared_and_how_far(platform: FakePlatform) -> None:
    run = scripted_runs.tell(platform, "r", until="pretrain")
    run.status.prepare_progress = 0.3
    platform.put(run)
    at = open_page("run", run_id="r")
    assert "preparing data" in [one.value for one in at.markdown], "beside the badge of its state"
    assert "● Running: preparing data" in said(at)
    assert next(one.proto.text for one in at.get("progress")) == "30.0 % of the data is prepared"
    assert open_page("pipelines").dataframe[0].value["Status"][0] == "● Running: preparing data"


def test_a_checkpoint_is_set_aside_with_the_reason(platform: FakePlatform) -> None:
    scripted_runs.finished(platform, "done")
    at = run_until(open_page("run", run_id="done"), "Accepted checkpoints")
    at.get_by_key("view").set_value("checkpoints").run()
    chosen = at.selectbox(key="aside").options[0]
    at.selectbox(key="aside").set_value(chosen)
    at.text_input(key="aside_reason").set_value("its samples are noise")
    at.button(key="void").click().run()
    assert not at.exception
    row = next(c for c in platform.checkpoints if c.id == chosen)
    assert row.message == "set aside by a person: its samples are noise"


def test_a_suspended_run_is_approved_with_what_was_seen(platform: FakePlatform) -> None:
    scripted_runs.suspended(platform, "held")
    at = run_until(open_page("run", run_id="held"), "midtrain/code forgot 24.0 %")
    at.text_input(key="comment").set_value("fine by me")
    at.button(key="continue").click().run()
    assert "ApprovePipelineRun APPROVE_ACTION_CONTINUE fine by me" in platform.calls
    assert not at.exception


def test_a_run_is_cancelled_and_retried(platform: FakePlatform) -> None:
    scripted_runs.new_run(platform, "r")
    at = run_until(open_page("run", run_id="r"), r"code\-model")
    at.button(key="cancel").click().run()
    deadline = time.monotonic() + 20
    while "retry" not in {button.key for button in at.button} and time.monotonic() < deadline:
        time.sleep(0.1)
        at.run()
    at.button(key="retry").click().run()
    assert [call for call in platform.calls if call.startswith(("Cancel", "Retry"))] == [
        "CancelPipelineRun",
        "RetryPipelineRun",
    ]


def test_a_run_that_moved_on_is_acted_on_while_what_was_seen_of_it_is_the_same(platform: FakePlatform) -> None:
    run = scripted_runs.suspended(platform, "held")
    at = run_until(open_page("run", run_id="held"), "midtrain/code forgot 24.0 %")
    platform.put(run)  # another version, as each report of a worker makes one
    at.button(key="continue").click().run()
    assert platform.runs["held"].status.state == res.RUN_STATE_PENDING
    assert not at.error

    other = scripted_runs.suspended(platform, "other")
    at = run_until(open_page("run", run_id="other"), "midtrain/code forgot 24.0 %")
    other.status.stages[1].attempt += 1
    platform.put(other)
    at.button(key="continue").click().run()
    assert platform.runs["other"].status.state == res.RUN_STATE_SUSPENDED
    assert "the run changed" in at.error[0].value


def test_whoever_may_only_look_sees_no_button(platform: FakePlatform) -> None:
    scripted_runs.suspended(platform, "held")
    at = open_page("run", run_id="held", retain_caller="vic", retain_roles=("viewer",))
    at = run_until(at, "midtrain/code forgot 24.0 %")
    assert [button.key for button in at.button] == []
    at.get_by_key("view").set_value("specification").run()
    assert [area.key for area in at.text_area] == []


def test_the_address_names_run_view_and_axis(platform: FakePlatform) -> None:
    scripted_runs.finished(platform, "old")
    scripted_runs.finished(platform, "new")
    at = AppTest.from_file(str(PANEL / "app.py"), default_timeout=30)
    at.run()
    at.query_params.update({"run": "old", "view": "specification"})
    at.switch_page("app_pages/run.py").run()
    at = run_until(at, "not what a form holds now")
    assert at.selectbox(key="chosen_run").value == "old"
    assert at.code[0].value.startswith("name: code-model\nmodel:\n  preset: nano\n")
    at.selectbox(key="chosen_run").set_value("new").run()
    assert at.query_params["run"] == "new"
    at.query_params["run"] = "absent"
    at.run()
    assert "there is no run absent" in said(at)


def test_logs_are_read_when_asked_for_page_by_page_and_searched(platform: FakePlatform) -> None:
    scripted_runs.finished(platform, "r")
    platform.runs["r"].status.submission = 1
    platform.losses = list(range(500))
    at = run_until(open_page("run", run_id="r"), "Accepted checkpoints")
    at.get_by_key("view").set_value("logs").run()
    shown = at.code[0].value.splitlines()
    assert (len(shown), shown[0], shown[-1]) == (400, "step 101 loss 100", "step 500 loss 499")
    at.run()
    assert platform.calls.count("StreamLogs") == 1, "a page that is drawn again reads nothing"
    at.button(key="older_logs").click().run()
    shown = at.code[0].value.splitlines()
    assert (len(shown), shown[0], shown[-1]) == (100, "step 1 loss 0", "step 100 loss 99")
    at.button(key="newer_logs").click().run()
    assert at.code[0].value.splitlines()[-1] == "step 500 loss 499"
    at.text_input(key="log_search").set_value("loss 8").run()
    assert at.code[0].value.splitlines()[0] == " 9  step 9 loss 8"
    assert "The last 11 lines with" in said(at)
    calls = platform.calls.count("StreamLogs")
    at.button(key="read_logs").click().run()
    assert platform.calls.count("StreamLogs") == calls + 1


def test_retention_is_changed_and_a_refusal_leaves_what_was_typed(platform: FakePlatform) -> None:
    run = scripted_runs.suspended(platform, "r")
    run.spec.checkpoints.keep_last = 3
    platform.put(run)
    at = run_until(open_page("run", run_id="r"), "midtrain/code forgot 24.0 %")
    at.get_by_key("view").set_value("specification").run()
    at.text_area(key="labels_text").set_value("owner")
    at.number_input(key="keep_last").set_value(7)
    at.button[-1].click().run()
    assert list(at.dataframe[0].value["Field"]) == ["labels line 1"]
    assert (at.number_input(key="keep_last").value, at.text_area(key="labels_text").value) == (7, "owner")
    at.text_area(key="labels_text").set_value("owner=ada")
    at.button[-1].click().run()
    assert "UpdatePipelineRun checkpoints.keep_last labels.owner" in platform.calls
    assert platform.runs["r"].spec.checkpoints.keep_last == 7


def test_checkpoints_are_chosen_by_stage_and_one_is_looked_at(platform: FakePlatform) -> None:
    scripted_runs.finished(platform, "r")
    rows = {row.id: row for row in platform.checkpoints}
    at = open_page("checkpoints")
    assert len(table_with(at, "Checkpoint")) == 18
    at.get_by_key("stage").set_value("midtrain/code").run()
    assert len(table_with(at, "Checkpoint")) == 6
    assert "6 of 6, newest first" in said(at)
    first, second = "r/midtrain/code/attempt-1/step-000000020", "r/midtrain/code/attempt-2/step-000000120"
    rows[second].parent = rows[first].ref.manifest_sha256
    at.query_params["checkpoint"] = first
    at.run()
    assert not at.exception
    assert dict(table_with(at, "Perplexity").values) == {"code": "90", "general": "51.5"}
    decision = platform.decisions["r"][7]
    for point, ratio, loss in ((1.0, 0.04, 4.1), (0.0, None, 5.0)):
        made = decision.points.add(point=point, worst_set="general" if ratio else "", target_loss_nats=loss)
        if ratio:
            made.forgetting = ratio
    at.query_params["checkpoint"] = f"r/{decision.stage}/attempt-{decision.attempt}/step-{decision.step:09d}"
    at.run()
    assert table_with(at, "Worst set").values.tolist() == [
        [0.0, "all weights, so far from the parent", "-", "-", "148.4"],
        [1.0, "all weights, so far from the parent", "+4.0 %", "general", "60.34"],
    ]
    at.query_params["checkpoint"] = [first, second]
    at.run()
    both = {row[0]: list(row[1:]) for row in table_with(at, "ln(B / A)").values}
    assert both["general"] == ["51.5", "52", "+0.0097"]  # ln(52 / 51.5)
    assert "Both are of one specification." in said(at)
    at.button[-1].click().run()
    assert [text.value for text in at.text] == ["Once upon a time once upon a time"] * 2


def test_runs_are_compared_by_settings_figures_and_gain(platform: FakePlatform) -> None:
    for name in ("one", "two"):
        scripted_runs.finished(platform, name)
    platform.runs["two"].spec.stages[1].learning_rate = 1e-5
    at = open_page("pipelines")
    at.switch_page("app_pages/compare.py")
    at.query_params["runs"] = "one,two"
    at.run()
    assert not at.exception
    assert list(table_with(at, "Setting")["Setting"]) == ["stages.1.learning_rate"]
    gains = table_with(at, "Gain (nats a token)")
    assert list(gains["Gain (nats a token)"]) == [0.1892, 0.1892]  # ln(29 / 24): the chat's perplexity as it is told
    assert "counted from its first boundary" in said(at)
    assert "`None`" not in said(at)  # what Streamlit writes of an expression that stands alone


def test_the_guides_are_there(platform: FakePlatform) -> None:
    at = open_page("learn")
    assert "Production language models are not trained once" in said(at)
    at.selectbox(key="guide").select("Catastrophic forgetting").run()
    assert "perplexity of the baseline" in said(at)


def test_decision_records_are_there(platform: FakePlatform) -> None:
    at = open_page("learn")
    at.selectbox(key="guide").select("Ten decisions, and why").run()
    assert "A process that was taken for dead" in said(at)
    at.get_by_key("decision").set_value("3. A pure step, and a loop that looks").run()
    assert "has a gap there" in said(at)


def test_answers_before_and_after_stand_side_by_side(platform: FakePlatform) -> None:
    scripted_runs.finished(platform, "r")
    at = run_until(open_page("run", run_id="r"), "Accepted checkpoints")
    at.button(key="ask").click().run()
    assert not at.exception
    table = next(frame.value for frame in at.dataframe if "Expected" in frame.value)
    assert set(table["After"]) == {"✗ once upon a time"}
    assert all(answer.count("=") == 1 for answer in table["Expected"])
    assert "0 after (0.0 %)" in said(at)
    at.text_input(key="own_question").set_value("Who are you?").run()
    at.button(key="ask").click().run()
    table = next(frame.value for frame in at.dataframe if "Expected" in frame.value)
    assert (list(table["Question"]), list(table["After"])) == (["Who are you?"], ["once upon a time"])
    scripted_runs.suspended(platform, "s")
    assert "ask" not in [button.key for button in open_page("run", run_id="s").button]
