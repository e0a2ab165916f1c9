"""The command's verbs for runs: JSON, exit codes, and where messages go."""

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from retain.orchestrator.v1 import resources_pb2 as res
from tests.fakes import scripted_runs
from tests.fakes.orchestrator_service import FakePlatform
from ui.spec import templates


@pytest.fixture
def spec(tmp_path: Path) -> str:
    path = tmp_path / "spec.yaml"
    path.write_text(templates.template("three-stage").text)
    return str(path)


def test_help_starts_without_grpc_or_panel() -> None:
    slow = ("grpc", "google.protobuf", "streamlit", "rich.progress", "torch", "ruamel.yaml")
    code = f"import sys, ui.cli; print([m for m in {slow} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_alone_and_not_on_a_terminal_it_prints_its_help(retain) -> None:
    outcome = retain()
    assert outcome.code == 0
    assert "Exit codes" in outcome.out


def test_an_unknown_verb_or_option_is_bad_input(retain) -> None:
    assert retain("trian").code == 2
    assert retain("list", "--nope").code == 2


# --- validate and run


def test_validate_prints_the_plan(retain, platform: FakePlatform, spec: str) -> None:
    outcome = retain("validate", spec, "--json", "--set", "stages.1.learning_rate=1e-5")
    assert outcome.code == 0
    assert [stage["name"] for stage in outcome.json["stages"]] == ["pretrain", "midtrain", "finetune"]
    assert outcome.json["stages"][1]["learning_rate"] == 1e-5
    assert "midtrain" in retain("validate", spec).out


COST = res.BoundaryCost(
    checkpoint_bytes=1_614_000_000,
    upload_seconds=40.0,
    evaluation_tokens=30_000,
    evaluation_seconds=50.0,
    interval_seconds=180.0,
    boundary_seconds=900.0,
    training_seconds=1800.0,
    share=1 / 3,
    basis=["training speed measured in earlier runs", "store assumed: 100 MB/s"],
    warning="boundaries will take 33% of the time of midtrain: a longer interval costs less",
)


def test_validate_says_what_boundaries_will_cost_and_warns(retain, platform: FakePlatform, spec: str) -> None:
    platform.costs["midtrain"] = COST
    outcome = retain("validate", spec)
    line = "midtrain: boundaries about 33.3 % of the time; each: upload 1.6 GB in 40 s, verdict on 30k tokens in 50 s"
    assert line in outcome.out
    assert "An estimate: training speed measured in earlier runs; store assumed: 100 MB/s" in outcome.out
    assert f"warning: {COST.warning}" in outcome.err
    told = retain("validate", spec, "--json")
    assert told.json["stages"][1]["boundary_cost"]["share"] == pytest.approx(1 / 3)
    assert "warning:" in told.err
    platform.costs.clear()
    silent = retain("validate", spec)
    assert "boundaries about" not in silent.out
    assert "warning" not in silent.err


def test_validate_says_what_stages_need_and_what_is_not_known(retain, platform: FakePlatform, spec: str) -> None:
    platform.needs["midtrain"] = res.StageNeeds(
        memory=res.MemoryEstimate(
            weights_bytes=500_000_000, activations_bytes=1_500_000_000, total_bytes=2_000_000_000, host_bytes=10**9
        ),
        memory_limit_bytes=8_000_000_000,
        training_flops=1.23e15,
        store_bytes=10_000_000_000,
        disk_bytes=3_000_000_000,
        unknown=["its length: preparing tells"],
    )
    outcome = retain("validate", spec)
    assert (
        "midtrain needs about 2.0 GB of 8.0 GB of memory and 1.0 GB of main memory on each worker; "
        "1.23e+15 floating-point operations; up to 10.0 GB of checkpoints in the store; 3.0 GB of a worker's disk"
    ) in outcome.out
    assert "  memory: weights 500.0 MB, activations 1.5 GB\n" in outcome.out
    assert "  not known: its length: preparing tells\n" in outcome.out
    assert retain("validate", spec, "--json").json["stages"][1]["needs"]["memory"]["total_bytes"] == "2000000000"


def test_run_warns_of_dear_boundaries_before_it_begins(retain, platform: FakePlatform, spec: str) -> None:
    platform.costs["midtrain"] = COST
    outcome = retain("run", spec, "-d", "--json")
    assert outcome.code == 0
    assert f"warning: {COST.warning}" in outcome.err
    assert platform.calls.index("ValidatePipelineSpec") < platform.calls.index("CreatePipelineRun")


def test_validate_lists_every_fault_one_a_line(retain, platform: FakePlatform, spec: str) -> None:
    platform.violations = [("stages[0].duration", "is missing"), ("forgetting.action", "got 0.3; above stop 0.2")]
    outcome = retain("validate", spec, "--json")
    assert outcome.code == 2
    assert outcome.json == {
        "violations": [
            {"field": "stages[0].duration", "description": "is missing"},
            {"field": "forgetting.action", "description": "got 0.3; above stop 0.2"},
        ],
        "sources": [],
    }
    assert "  stages[0].duration: is missing\n" in outcome.err
    assert retain("run", spec, "--dry-run").code == 2


def test_run_refuses_bad_input_with_field_paths(retain, platform: FakePlatform, spec: str) -> None:
    outcome = retain("run", spec, "--set", "stages.0.knid=PRETRAIN", "--json")
    assert outcome.code == 2
    assert outcome.json["error"]["violations"][0]["field"] == "stages[0].knid"
    assert "stages[0].knid: got an unknown field" in outcome.err
    platform.violations = [("stages[1].learning_rate", "got 7.0; expected at most 1")]
    outcome = retain("run", spec)
    assert outcome.code == 2
    assert "stages[1].learning_rate: got 7.0" in outcome.err
    assert platform.runs == {}


def test_run_follows_to_the_end(retain, platform: FakePlatform, spec: str) -> None:
    platform.on_create = lambda run: scripted_runs.finished(platform, run.id)
    outcome = retain("run", spec, "--json")
    assert outcome.code == 0
    assert (outcome.json["run_id"], outcome.json["state"]) == ("run-1", "SUCCEEDED")
    assert [(s["kind"], s["domain"], s["state"]) for s in outcome.json["stages"]] == [
        ("PRETRAIN", "", "COMPLETE"),
        ("MIDTRAIN", "CODE", "COMPLETE"),
        ("FINETUNE", "", "COMPLETE"),
    ]
    assert outcome.json["stages"][0]["forgetting"] is None
    assert outcome.json["stages"][1]["forgetting"] == pytest.approx(0.04)
    assert outcome.json["stages"][2]["checkpoint"].endswith("/finetune/attempt-1/step-000000120")


def test_run_tells_decisions_as_they_come(retain, platform: FakePlatform, spec: str) -> None:
    platform.on_create = lambda run: scripted_runs.finished(platform, run.id)
    outcome = retain("run", spec)
    assert outcome.code == 0
    assert "roll back" in outcome.out
    assert "✓ Complete" in outcome.out
    assert "SUCCEEDED run-1" in outcome.out


@pytest.mark.parametrize(
    ("state", "code"), [(res.RUN_STATE_FAILED, 1), (res.RUN_STATE_CANCELLED, 1), (res.RUN_STATE_SUSPENDED, 5)]
)
def test_the_exit_code_says_how_the_run_ended(retain, platform: FakePlatform, state: int, code: int) -> None:
    run = scripted_runs.new_run(platform, "r")
    run.status.state, run.status.message = state, "because [of] this"
    platform.put(run)
    outcome = retain("watch", "r")
    assert outcome.code == code
    assert "because [of] this" in outcome.out


def test_detached_it_only_submits(retain, platform: FakePlatform, spec: str) -> None:
    outcome = retain("run", spec, "-d", "--json", "--request-id", "once")
    assert (outcome.code, outcome.json) == (0, {"run_id": "run-1", "state": "PENDING"})
    assert retain("run", spec, "-d", "--request-id", "once").out == "run-1\n"
    assert len(platform.runs) == 1
    assert platform.runs["run-1"].spec.stages[1].domain == 1


def test_ctrl_c_detaches_and_cancels_nothing(retain, platform: FakePlatform, spec: str, monkeypatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ui.render.follow.follow", interrupted)
    outcome = retain("run", spec)
    assert outcome.code == 0
    assert "detached; the run continues" in outcome.err
    assert "CancelPipelineRun" not in platform.calls


def test_a_real_interrupt_ends_the_command_and_not_the_run(platform: FakePlatform, spec: str) -> None:
    created = threading.Event()
    platform.on_create = lambda run: created.set()
    command = [sys.executable, "-m", "ui.cli", "run", spec]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert created.wait(20)
    deadline = time.monotonic() + 20
    while "WatchPipelineRun" not in platform.calls and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "detached; the run continues" in err
    assert platform.runs["run-1"].status.state == res.RUN_STATE_PENDING


def test_a_spec_comes_from_standard_input_too(retain, platform: FakePlatform, spec: str) -> None:
    assert retain("run", "-", "-d", stdin=Path(spec).read_text()).code == 0


def test_local_data_is_uploaded_on_request(retain, platform: FakePlatform, spec: str, tmp_path: Path) -> None:
    paragraphs = (f"Paragraph {number}: {'words ' * 100}" for number in range(2_000))
    (tmp_path / "mine.txt").write_text("\n\n".join(paragraphs))
    changes = ("--set", "stages.0.data.general=mine.txt")
    assert retain("run", spec, *changes, "-d").code == 0
    assert platform.runs["run-1"].spec.stages[0].data.general == str(tmp_path / "mine.txt")
    assert retain("run", spec, *changes, "-d", "--upload").code == 0
    assert platform.runs["run-2"].spec.stages[0].data.general.startswith("s3://retain/uploads/")


# --- looking


def test_without_a_server_the_code_is_3(retain, monkeypatch) -> None:
    monkeypatch.setenv("RETAIN_SERVER", "127.0.0.1:1")
    outcome = retain("list", "--json")
    assert outcome.code == 3
    assert outcome.json["error"]["reason"] == "UNAVAILABLE"
    assert "127.0.0.1:1 does not answer" in outcome.err


def test_without_the_right_token_the_code_is_4(retain, platform: FakePlatform) -> None:
    platform.token = "secret"
    assert retain("list").code == 4


def test_list_and_show(retain, platform: FakePlatform) -> None:
    scripted_runs.finished(platform, "done")
    scripted_runs.suspended(platform, "held")
    assert [run["id"] for run in retain("list", "--json").json] == ["held", "done"]
    assert [run["id"] for run in retain("list", "--state", "suspended", "--json").json] == ["held"]
    assert retain("list", "--state", "ASLEEP").code == 2
    shown = retain("show", "done", "--json").json
    assert shown["status"]["stages"][1]["state"] == "STAGE_STATE_COMPLETE"
    assert "23.0 % is at or over 20 %: back to step 40" in retain("show", "done").out
    assert retain("show", "absent").code == 2


def test_watch_prints_one_resource_a_line(retain, platform: FakePlatform) -> None:
    scripted_runs.finished(platform, "r")
    lines = retain("watch", "r", "--json").out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["r"] * len(lines)
    assert json.loads(lines[-1])["status"]["state"] == "RUN_STATE_SUCCEEDED"


def test_logs_are_printed_as_they_are(retain, platform: FakePlatform) -> None:
    scripted_runs.new_run(platform, "r")
    assert retain("logs", "r").out == "step 1 loss 8.3\nstep 2 loss 8.1\n"
    first = json.loads(retain("logs", "r", "--json").out.splitlines()[0])
    assert first == {"submission": 1, "text": "step 1 loss 8.3\n", "line": 0}


def test_status_shows_what_is_locked_and_what_unlocks_it(retain, platform: FakePlatform) -> None:
    rows = retain("status", "--json").json["stages"]
    assert [(row["kind"], row["status"], row["checkpoints"], row["latest"]) for row in rows] == [
        ("PRETRAIN", "READY", 0, None),
        ("MIDTRAIN", "LOCKED", 0, None),
        ("FINETUNE", "LOCKED", 0, None),
    ]
    assert "base model" in rows[1]["unlocked_by"]
    scripted_runs.finished(platform, "r")
    rows = retain("status", "--json").json["stages"]
    assert [(row["kind"], row["domain"], row["status"], row["checkpoints"]) for row in rows] == [
        ("PRETRAIN", "", "COMPLETE", 6),
        ("MIDTRAIN", "CODE", "COMPLETE", 6),
        ("FINETUNE", "", "COMPLETE", 6),
    ]
    assert "✓ Complete" in retain("status", "r").out


def test_what_is_down_is_said_with_since_when(retain, platform: FakePlatform) -> None:
    platform.system = res.SystemStatus(slots=4, slots_held=3, runs_waiting=2)
    up = platform.system.components.add(name="database", state=res.COMPONENT_STATE_UP)
    up.since_time.FromSeconds(1_700_000_000)
    outcome = retain("system")
    assert outcome.code == 0
    assert "3 of 4 worker slots are held, 2 runs wait" in outcome.out
    down = platform.system.components.add(
        name="evaluator", state=res.COMPONENT_STATE_DOWN, reason="EVALUATOR_UNAVAILABLE"
    )
    down.since_time.FromSeconds(1_700_000_100)
    outcome = retain("system")
    assert outcome.code == 1
    assert "EVALUATOR_UNAVAILABLE" in outcome.out
    told = retain("system", "--json").json
    assert [(one["name"], one["state"]) for one in told["components"]] == [
        ("database", "UP"), ("evaluator", "DOWN"),
    ]  # fmt: skip
    assert told["components"][1]["since_time_s"] == 1_700_000_100


def test_the_figures_of_a_run_are_drawn_and_told(retain, platform: FakePlatform) -> None:
    scripted_runs.finished(platform, "r")
    loss = res.MetricSeries(name="train_loss_nats", stage="pretrain", stored_points=900)
    for step, value in ((10, 4.0), (20, 3.0), (30, 2.0), (40, 2.5)):
        loss.steps.append(step)
        loss.tokens.append(step * 2**33)
        loss.unix_seconds.append(1_700_000_000.5 + step)
        loss.attempts.append(1)
        loss.values.append(value)
    kept = res.MetricSeries(name="forgetting", set="general", stage="midtrain/code", steps=[20, 40], tokens=[1, 2],
                            unix_seconds=[1.0, 2.0], attempts=[1, 2], values=[0.12, float("nan")])  # fmt: skip
    platform.series["r"] = [loss, kept]
    table = retain("metrics", "r").out
    assert "█▅▁▃" in table
    assert "10 to 40" in table
    assert "+12.0 %" in table
    assert "▁x" in table
    told = retain("metrics", "r", "--name", "train_loss_nats", "--points", "4", "--json").json
    assert [(one["name"], one["steps"], one["stored_points"]) for one in told] == [
        ("train_loss_nats", [10, 20, 30, 40], 900)
    ]
    assert told[0]["tokens"] == [step * 2**33 for step in (10, 20, 30, 40)]
    assert platform.calls[-1] == "ListRunMetrics train_loss_nats 4"
    assert retain("metrics", "nobody").code == 2


def test_decisions_and_history(retain, platform: FakePlatform) -> None:
    scripted_runs.finished(platform, "r")
    made = retain("decisions", "r", "--json").json
    assert [decision["verdict"] for decision in made][6:9] == [
        "VERDICT_CONTINUE",
        "VERDICT_ADJUST",
        "VERDICT_ROLL_BACK",
    ]
    assert made[7]["shares"] == {"general": 0.2}
    records = retain("history", "r", "--stage", "midtrain/code", "--json").json
    assert [round(record["scores"][0]["ratio"], 2) for record in records] == [0.03, 0.12, 0.23, 0.08, 0.06, 0.04]
    table = retain("history", "r").out
    assert "+23.0 %" in table
    assert "✗ Stop" in table


def test_a_score_that_is_too_good_is_never_praised_in_the_history(retain, platform: FakePlatform) -> None:
    scripted_runs.finished(platform, "r")
    rows = [record for record in platform.records["r"] if record.stage == "midtrain/code"]
    rows[0].scores[0].ratio, rows[1].scores[0].ratio = -0.999, -3.3
    del platform.records["r"][:]
    platform.records["r"].extend(rows[:2])
    out = retain("history", "r").out
    assert "OK" not in out
    assert "? Suspect" in out
    assert "✗ Invalid" in out
    told = " ".join(out.split())
    assert "-0.999 is suspicious (below -50 %): where that text is replayed it is being learned" in told
    assert "-3.3 is impossible" in told


# --- acting


def test_a_suspended_run_is_approved(retain, platform: FakePlatform) -> None:
    scripted_runs.suspended(platform, "r")
    assert retain("approve", "r").code == 2
    assert retain("approve", "r", "--accept", "--continue").code == 2
    outcome = retain("approve", "r", "--accept", "-m", "good enough", "--json")
    assert (outcome.code, outcome.json["status"]["state"]) == (0, "RUN_STATE_PENDING")
    assert "ApprovePipelineRun APPROVE_ACTION_ACCEPT good enough" in platform.calls
    assert retain("approve", "r", "--continue").code == 1


def test_what_may_change_of_a_run_is_changed_by_path(retain, platform: FakePlatform) -> None:
    scripted_runs.new_run(platform, "r")
    platform.runs["r"].spec.labels["old"] = "yes"
    paths = ("forgetting.budget=0.15", "checkpoints.keep_last=5", "labels.owner=ada", "labels.old=")
    options = [part for path in paths for part in ("--set", path)]
    outcome = retain("update", "r", *options, "--json")
    assert outcome.code == 0
    assert outcome.json["spec"]["forgetting"]["budget"] == 0.15
    assert (outcome.json["spec"]["checkpoints"], outcome.json["spec"]["labels"]) == ({"keep_last": 5}, {"owner": "ada"})
    assert platform.calls[-1] == "UpdatePipelineRun forgetting.budget checkpoints.keep_last labels.owner labels.old"
    assert retain("update", "r", "--set", "forgetting.budget=much").code == 2
    assert "expected path=value" in retain("update", "r", "--set", "forgetting.budget").err
    assert retain("update", "r", "--set", "labels.a=b", "--etag", "stale").code == 1
    fixed = retain("update", "r", "--set", "stages.0.learning_rate=1e-5")
    assert (fixed.code, "got 'stages.0.learning_rate'; expected one of labels" in fixed.err) == (2, True)


def test_cancel_retry_delete(retain, platform: FakePlatform) -> None:
    scripted_runs.new_run(platform, "r")
    assert retain("cancel", "r", "--etag", "stale").code == 1
    assert retain("cancel", "r", "--json").json["status"]["state"] == "RUN_STATE_CANCELLED"
    assert retain("retry", "r", "--json").json["status"]["state"] == "RUN_STATE_PENDING"
    assert retain("delete", "r", "--json").json == {"deleted": "r"}
    assert retain("delete", "r").code == 2
