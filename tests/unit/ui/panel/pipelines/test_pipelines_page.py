"""What the page of all pipelines shows, as plain data, and how it is asked for."""

from retain.orchestrator.v1 import resources_pb2 as res
from tests.fakes import scripted_runs
from tests.fakes.orchestrator_service import FakePlatform
from ui.client.client import RetainClient
from ui.client.convert import to_view
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


def test_a_search_is_the_servers_and_goes_on_where_it_ended(platform: FakePlatform, client: RetainClient) -> None:
    for number in range(12):
        scripted_runs.new_run(platform, f"run-{number:02d}")
    page = client.runs_page(words="run-0", size=6)
    assert [one.id for one in page.rows] == [f"run-{number:02d}" for number in range(9, 3, -1)]
    rest = client.runs_page(words="run-0", size=6, token=page.next_token)
    assert ([one.id for one in rest.rows][-1], rest.next_token) == ("run-00", "")
    assert [one.id for one in client.list_runs(words="run-11")] == ["run-11"]
    assert found_line(1, searched=True, more=False) == "1 run found, newest first; there are no older ones"


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
