"""What the page of all pipelines shows, as plain data, and how it is asked for."""

import pytest

from retain.orchestrator.v1 import resources_pb2 as res
from tests.fakes import scripted_runs
from tests.fakes.orchestrator_service import FakePlatform
from ui.client.client import RetainClient
from ui.client.convert import to_view
from ui.client.pages import matches
from ui.client.views import Run
from ui.panel.pipelines.rows import attention, found_line, progress, run_row
from ui.progress import of_house


def run(run_id: str = "r", **status: object) -> Run:
    message = res.PipelineRun(id=run_id, spec=scripted_runs.spec())
    for name, value in status.items():
        setattr(message.status, name, value)
    return to_view(Run, message)


def test_what_waits_comes_first_and_an_old_failure_is_nobodys() -> None:
    day_s = 24 * 3600
    messages = []
    for run_id, ended_s in (("new", 10_000_000), ("old", 10_000_000 - day_s)):
        message = res.PipelineRun(id=run_id)
        message.status.reason = "WORKER_LOST"
        message.end_time.FromSeconds(ended_s)
        messages.append(to_view(Run, message))
    held = run("held", message="midtrain/code forgot 24 %")
    stuck = run("stuck", waiting_for="disk full at /var/retain")
    found = attention([held], messages, [stuck, run("fine")], now_s=10_000_000 + 1)
    assert [(one.run_id, one.sign, one.why) for one in found] == [
        ("held", "‖", "midtrain/code forgot 24 %"),
        ("stuck", "…", "It waits for: disk full at /var/retain"),
        ("new", "✗", "WORKER_LOST"),
    ]


def test_a_run_is_a_row_with_what_it_has_done_and_has_left() -> None:
    message = res.PipelineRun(id="r", spec=scripted_runs.spec())
    message.spec.labels["seed"] = "1"
    message.status.state = res.RUN_STATE_RUNNING
    first = message.status.stages.add(name="pretrain", state=res.STAGE_STATE_COMPLETE, tokens=1000, total_tokens=1000)
    second = message.status.stages.add(name="midtrain/code", state=res.STAGE_STATE_RUNNING, tokens=500)
    second.total_tokens, second.time_left_seconds, second.forgetting, second.worst_set = 3000, 125.0, 0.12, "general"
    row = run_row(to_view(Run, message))
    assert (row["Stage"], row["Progress"], row["Time left"]) == ("midtrain/code", 37.5, "2 min 05 s")
    assert (row["Forgetting"], row["Labels"]) == ("⚠ +12.0 %", "seed=1")
    first.total_tokens = 0  # epochs: not known before its data is prepared
    assert progress(to_view(Run, message)) == 0.5
    assert progress(run()) == 0.0


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("", True),
        ("CODE r-1", True),
        ("owner=ada", True),
        ("bob", False),
        ("owner=ad", False),
        ("ada", True),
        ("Owner", True),
    ],
)
def test_words_are_looked_for_in_id_name_and_labels(words: str, found: bool) -> None:
    message = res.PipelineRun(id="r-17", spec=scripted_runs.spec())
    message.spec.labels["owner"] = "ada"
    assert matches(message, words.split()) is found


def test_a_search_says_how_far_it_looked_and_goes_on_from_there(
    platform: FakePlatform, client: RetainClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        scripted_runs.new_run(platform, f"run-{number:02d}")
    monkeypatch.setattr("ui.client.client.PAGE_SIZE", 5)
    monkeypatch.setattr("ui.client.client.LOOKED_AT", 10)
    page = client.runs_page(words="run-0")
    assert ([one.id for one in page.rows][-1], page.looked_at) == ("run-02", 10)
    rest = client.runs_page(words="run-0", token=page.next_token)
    assert ([one.id for one in rest.rows], rest.next_token) == (["run-01", "run-00"], "")
    assert found_line(2, 12, searched=True, more=False) == (
        "2 runs among 12 that were looked through; there are no older ones"
    )


def test_the_table_of_everything_takes_few_calls_and_says_how_far_what_runs_is(
    platform: FakePlatform, client: RetainClient
) -> None:
    scripted_runs.finished(platform, "done")
    message = scripted_runs.tell(platform, "live", until="midtrain/code")
    stage = message.status.stages[1]
    stage.state, stage.domain, stage.step, stage.time_left_seconds = res.STAGE_STATE_RUNNING, 2, 60, 90.0
    platform.put(message)
    client.import_checkpoint("s3://retain/uploads/x", name="base")
    platform.calls.clear()
    rows, going = of_house(client)
    assert [(row.title, row.checkpoints, row.status, row.detail) for row in rows] == [
        ("Pre-Training", 13, "COMPLETE", ""),
        ("Mid-Training (code)", 6, "COMPLETE", ""),
        ("Mid-Training (math)", 0, "RUNNING", "50.0 %, 1 min 30 s left"),
        ("Fine-Tuning", 6, "COMPLETE", ""),
    ]
    assert [one.id for one in going] == ["live"]
    assert len(platform.calls) <= 12
