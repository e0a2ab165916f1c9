"""`retain.connect` and the session: submit in three forms, follow through a restart, stop, inspect, download."""

import hashlib
import os
import threading
import time
from pathlib import Path

import pytest

import retain
from retain.orchestrator.v1 import resources_pb2 as res
from tests.fakes import scripted_runs
from tests.fakes.orchestrator_service import FakePlatform
from ui import extras
from ui.client.views import LogText

TEXT = "name: from-text\nstages:\n- {kind: PRETRAIN, learning_rate: 3e-4, data: {general: 'sample://docs'}}\n"
TREE = {"name": "from-dict", "stages": [{"kind": "PRETRAIN", "data": {"general": "sample://docs"}}]}


@pytest.fixture
def session(platform: FakePlatform):
    with retain.connect() as made:
        yield made


def test_arguments_stand_over_the_environment(platform: FakePlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    server = os.environ["RETAIN_SERVER"]
    monkeypatch.setenv("RETAIN_SERVER", "127.0.0.1:1")
    platform.token = "s3cret"
    scripted_runs.new_run(platform, "r")
    with retain.connect(server, token="s3cret") as session:
        assert [run.id for run in session.list_runs()] == ["r"]
        assert repr(session) == f"<retain.Session with {server}>"
    with retain.connect(server) as session, pytest.raises(retain.RefusedByServer, match="no valid token"):
        session.list_runs()
    monkeypatch.setenv("RETAIN_TOKEN", "s3cret")
    with retain.connect(server) as session:
        assert session.get_run("r").state == "PENDING"


@pytest.mark.parametrize("server", ["", "host", "http://host:7070", "host:", "host:0", "host:70707", ":7070", "host:x"])
def test_an_address_that_is_none_is_told_at_once(server: str) -> None:
    with pytest.raises(retain.BadInput, match="expected host:port") as caught:
        retain.connect(server)
    assert [fault.field for fault in caught.value.violations] == ["server"]
    with pytest.raises(retain.BadInput) as caught:
        retain.connect("host:1", evaluator=server)
    assert [fault.field for fault in caught.value.violations] == ["evaluator"]


def test_a_certificate_file_that_is_none_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(retain.BadInput, match="which is no file"):
        retain.connect("127.0.0.1:1", tls_ca=tmp_path / "none.pem")


def test_a_spec_is_a_path_a_text_or_a_dict(session: retain.Session, platform: FakePlatform, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(TEXT)
    for spec in (tmp_path / "spec.yaml", str(tmp_path / "spec.yaml"), TEXT, TREE, '{"name": "from-json"}'):
        session.submit(
            spec, changes={"stages": [{"kind": "PRETRAIN", "learning_rate": 1e-5}], "checkpoints.keep_last": 7}
        )
    specs = [run.spec for run in platform.runs.values()]
    assert [spec.name for spec in specs] == ["from-text", "from-text", "from-text", "from-dict", "from-json"]
    assert {(spec.stages[0].learning_rate, spec.checkpoints.keep_last) for spec in specs} == {(1e-5, 7)}
    assert TREE == {"name": "from-dict", "stages": [{"kind": "PRETRAIN", "data": {"general": "sample://docs"}}]}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (7, "got int; expected a path, a YAML text or a dict"),
        ("- a\n- b\n", "got list; expected a mapping"),
        ("nowhere.yaml", "nowhere.yaml cannot be read"),
        ({"nmae": "a"}, "nmae: got an unknown field"),
        ({"name": {1, 2}}, "expected text"),
    ],
)
def test_what_is_no_spec_is_refused_before_anything_is_sent(
    session: retain.Session, platform: FakePlatform, spec, said: str
) -> None:
    with pytest.raises(retain.BadInput, match=said):
        session.submit(spec)
    assert platform.runs == {}


def test_a_change_of_what_is_no_data_is_refused(session: retain.Session) -> None:
    with pytest.raises(retain.BadInput, match=r"stages\.0\.duration: got <object"):
        session.submit(TREE, changes={"stages.0.duration": object()})


def test_validate_gives_the_plan_or_every_fault(session: retain.Session, platform: FakePlatform) -> None:
    assert [stage.learning_rate for stage in session.validate(TEXT).stages] == [3e-4]
    platform.violations = [("stages[0].duration", "got nothing"), ("model", "got nothing")]
    with pytest.raises(retain.BadInput) as caught:
        session.validate(TEXT)
    assert [fault.field for fault in caught.value.violations] == ["stages[0].duration", "model"]


def test_local_files_are_found_beside_the_spec_and_uploaded_on_request(
    session: retain.Session, platform: FakePlatform, tmp_path: Path
) -> None:
    (tmp_path / "spec.yaml").write_text(TEXT)
    (tmp_path / "d.txt").write_text("some text\n")
    said: list[str] = []
    here = {"stages.0.data.general": Path("d.txt")}
    session.submit(tmp_path / "spec.yaml", changes=here, check=False)
    session.submit(tmp_path / "spec.yaml", changes=here, check=False, upload=True, say=said.append)
    digest = hashlib.sha256(b"some text\n").hexdigest()
    assert [run.spec.stages[0].data.general for run in platform.runs.values()] == [
        str(tmp_path / "d.txt"),
        f"s3://retain/uploads/{digest}/d.txt",
    ]
    assert len(said) == 1
    with pytest.raises(retain.BadInput, match="does not exist here"):
        session.submit(TEXT, changes={"stages.0.data.general": "d.txt"}, check=False)


def test_local_files_are_looked_at_where_that_is_possible(
    session: retain.Session, platform: FakePlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty.txt").write_text("")
    changes = {"stages.0.data.general": str(tmp_path / "empty.txt")}
    with pytest.raises(retain.BadInput, match="got an empty file"):
        session.submit(TEXT, changes=changes)
    monkeypatch.setattr(extras, "_requirements", lambda: ['tokenizers; extra == "data"'])
    monkeypatch.setattr(extras, "_is_installed", lambda name: False)
    with pytest.raises(retain.MissingExtra, match=r"pip install 'retain\[data\]'"):
        session.submit(TEXT, changes=changes, check=True)
    assert platform.runs == {}
    said: list[str] = []
    session.submit(TEXT, changes=changes, say=said.append)
    assert "not checked before it is used" in said[0]
    assert len(platform.runs) == 1


def test_the_same_request_is_one_run(session: retain.Session, platform: FakePlatform) -> None:
    first = session.submit(TREE, request_id="once")
    assert session.submit(TREE, request_id="once").id == first.id
    assert session.submit(TREE).id != first.id
    assert {run.id for run in session.list_runs()} == set(platform.runs)
    assert len(session.list_runs(limit=1)) == 1


def test_follow_continues_through_a_restart_and_leaves_nothing_out(
    session: retain.Session, platform: FakePlatform
) -> None:
    port = int(session.client.address.orchestrator.rpartition(":")[2])
    half = threading.Event()

    def told() -> None:
        scripted_runs.tell(platform, "r", pace_s=0.005)

    def away() -> None:
        half.wait(20)
        platform.stop_serving()
        time.sleep(0.3)
        platform.start(port)

    scripted_runs.new_run(platform, "r")
    threads = [threading.Thread(target=told), threading.Thread(target=away)]
    for thread in threads:
        thread.start()
    seen = []
    for update in session.follow("r"):
        seen.append(update)
        if update.run.stages and update.run.stages[0].state == "COMPLETE":
            half.set()
    for thread in threads:
        thread.join(20)
    assert half.is_set()
    sequences = [update.run.sequence for update in seen]
    assert sequences == sorted(set(sequences))
    assert seen[-1].run.state == "SUCCEEDED"
    assert [d.number for update in seen for d in update.decisions] == list(range(1, 19))  # 3 stages of 6 boundaries


def test_follow_ends_where_a_person_is_waited_for_or_goes_through(
    session: retain.Session, platform: FakePlatform
) -> None:
    run = scripted_runs.suspended(platform, "r")
    assert [update.run.state for update in session.follow("r")] == ["SUSPENDED"]
    assert session.wait("r").state == "SUSPENDED"

    def approve() -> None:
        session.approve("r", "ACCEPT", comment="as it is")
        run.status.state = res.RUN_STATE_SUCCEEDED
        platform.put(run)

    threading.Timer(0.2, approve).start()
    states = [update.run.state for update in session.follow(session.get_run("r"), through_suspension=True)]
    assert (states[0], states[-1]) == ("SUSPENDED", "SUCCEEDED")
    assert "ApprovePipelineRun APPROVE_ACTION_ACCEPT as it is" in platform.calls


def test_waiting_ends_in_time(session: retain.Session, platform: FakePlatform) -> None:
    scripted_runs.new_run(platform, "r")
    with pytest.raises(retain.ClientError, match="run r is still PENDING") as caught:
        session.wait("r", timeout_s=0.2)
    assert caught.value.reason == "TIMEOUT"
    assert [update.run.state for update in session.follow("r", timeout_s=0.2)] == ["PENDING"]


def test_a_label_is_set_and_taken_away(session: retain.Session, platform: FakePlatform) -> None:
    scripted_runs.new_run(platform, "r")
    assert session.update("r", {"labels.owner": "ada"}).spec.labels == {"owner": "ada"}
    assert session.update("r", {"labels.owner": None}).spec.labels == {}


def test_stop_ends_a_run_once(session: retain.Session, platform: FakePlatform) -> None:
    scripted_runs.new_run(platform, "r")
    assert session.stop("r").state == "CANCELLED"
    assert session.stop(session.get_run("r")).state == "CANCELLED"
    assert platform.calls.count("CancelPipelineRun") == 1
    assert session.retry("r").state == "PENDING"
    with pytest.raises(retain.ClientError, match="etag"):
        session.cancel("r", etag="e1")
    assert session.cancel("r").state == "CANCELLED"
    session.delete("r")
    assert session.list_runs() == []
    with pytest.raises(retain.BadInput, match="there is no run r"):
        session.stop("r")


def test_inspect_gathers_what_is_known(session: retain.Session, platform: FakePlatform) -> None:
    scripted_runs.finished(platform, "r")
    found = session.inspect("r")
    assert (len(found.decisions), len(found.checkpoints), len(found.history), found.notes) == (18, 18, 18, ())
    assert found.spec["forgetting"]["action"] == 0.10
    assert str(found).splitlines() == [
        "r SUCCEEDED",
        "  pretrain: COMPLETE, step 120 of 120",
        "  midtrain/code: COMPLETE, step 120 of 120, forgetting +4.0% of general",
        "  finetune: COMPLETE, step 120 of 120, forgetting +6.0% of general",
        "  18 decisions, 18 checkpoints, 18 measurements",
    ]


def test_inspect_says_when_the_evaluator_is_out_of_reach(platform: FakePlatform, monkeypatch) -> None:
    scripted_runs.finished(platform, "r")
    with retain.connect(evaluator="127.0.0.1:1") as session:
        found = session.inspect("r")
    assert (len(found.decisions), found.history) == (18, ())
    assert "no measurements: 127.0.0.1:1 does not answer" in str(found)


def test_logs_and_samples_come_as_text(session: retain.Session, platform: FakePlatform) -> None:
    scripted_runs.finished(platform, "r")
    assert list(session.logs("r")) == [
        LogText(submission=1, text="step 1 loss 8.3\n"),
        LogText(submission=1, text="step 2 loss 8.1\n"),
    ]
    assert session.sample(session.checkpoints("r")[0], "Once") == " once upon a time"
    assert session.sample(session.checkpoints("r")[0].id, "Once", max_new_tokens=4) == " once upon a time"


def test_a_checkpoint_is_downloaded_into_a_folder(
    session: retain.Session, platform: FakePlatform, tmp_path: Path
) -> None:
    scripted_runs.finished(platform, "r")
    accepted = session.get_run("r").stages[-1].accepted
    assert accepted is not None
    prefix = "/" + accepted.uri.removeprefix("s3://retain/")
    platform.store.objects |= {f"{prefix}/model/config.json": b"{}", f"{prefix}/trainer_state.json": b"{}"}
    heard: list[tuple[int, int]] = []
    row = session.checkpoint(accepted.uri)
    folder = session.download(row, tmp_path / "m", progress=lambda here, all_: heard.append((here, all_)))
    assert (folder, (folder / "config.json").read_bytes(), heard[-1]) == (tmp_path / "m", b"{}", (2, 2))
    again = session.download(row.id, str(tmp_path / "t"), training_state=True)
    assert again == tmp_path / "t" / "checkpoint-120"
    assert (again / "trainer_state.json").exists()
    with pytest.raises(retain.BadInput, match="not empty"):
        session.download(row, tmp_path / "m")
