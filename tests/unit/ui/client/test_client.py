"""The client: addresses, retries, reconnecting streams, pages, and errors as exit codes."""

import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import scripted_runs
from tests.fakes.orchestrator_service import FakePlatform
from ui.client import Address
from ui.client.client import RetainClient
from ui.client.errors import BadInput, ClientError, RefusedByServer, Unreachable


def test_the_environment_wins_over_the_stack_file_and_that_over_the_default(tmp_path: Path) -> None:
    environ = {"RETAIN_HOME": str(tmp_path)}
    assert Address.from_env(environ).orchestrator == "127.0.0.1:7070"
    (tmp_path / "stack.json").write_text(json.dumps({"orchestrator": "127.0.0.1:7170", "evaluator": "127.0.0.1:7171"}))
    found = Address.from_env(environ)
    assert (found.orchestrator, found.evaluator) == ("127.0.0.1:7170", "127.0.0.1:7171")
    found = Address.from_env({**environ, "RETAIN_SERVER": "far.example:443"})
    assert (found.orchestrator, found.evaluator) == ("far.example:443", "127.0.0.1:7071")


def test_a_broken_stack_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text("{")
    with pytest.raises(BadInput, match=r"stack\.json"):
        Address.from_env({"RETAIN_HOME": str(tmp_path)})


@pytest.mark.parametrize(
    ("server", "loopback"),
    [("127.0.0.1:1", True), ("localhost:1", True), ("[::1]:1", True), ("10.0.0.1:1", False), ("host.example:1", False)],
)
def test_loopback_servers_are_known(server: str, loopback: bool) -> None:
    assert Address(orchestrator=server).is_loopback is loopback


def test_a_server_that_is_away_for_a_moment_is_asked_again(platform: FakePlatform, client: RetainClient) -> None:
    run = scripted_runs.new_run(platform, "r")
    platform.unavailable_calls = 3
    assert client.get_run("r").id == run.id
    assert platform.calls.count("GetPipelineRun") == 4


def test_the_same_request_id_is_one_run(platform: FakePlatform, client: RetainClient) -> None:
    first = client.create_run({"name": "a"}, request_id="x")
    again = client.create_run({"name": "a"}, request_id="x")
    assert first.id == again.id
    assert client.create_run({"name": "a"}).id != first.id


def test_watch_continues_after_a_lost_server_without_repeating(platform: FakePlatform, client: RetainClient) -> None:
    run = scripted_runs.new_run(platform, "r")
    stream = client.watch("r")
    assert next(stream).sequence == 1
    port = int(client.address.orchestrator.rpartition(":")[2])
    platform.stop_serving()

    def come_back() -> None:
        run.status.state = 2
        platform.put(run)
        platform.start(port)
        run.status.state = 4
        platform.put(run)

    threading.Timer(0.3, come_back).start()
    rest = [seen.sequence for seen in stream]
    assert rest == sorted(set(rest))
    assert rest[0] > 1
    assert rest[-1] == 3


def test_watch_gives_up_after_its_patience() -> None:
    with RetainClient(Address(orchestrator="127.0.0.1:1"), patience_s=0.2) as client, pytest.raises(Unreachable):
        next(client.watch("r"))


def test_watch_gives_up_on_a_server_that_takes_connections_and_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its streams only time out: that is no server that is silent because nothing changes."""
    monkeypatch.setattr("ui.client.client.STREAM_DEADLINE_S", 0.2)
    monkeypatch.setattr("ui.client.client.RetainClient._call", _with_deadline(0.2))
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = Address(orchestrator=f"127.0.0.1:{mute.getsockname()[1]}")
        with RetainClient(address, patience_s=0.3) as client, pytest.raises(Unreachable):
            next(client.watch("r", timeout_s=60))


def test_watch_waits_with_a_server_where_nothing_changes(
    platform: FakePlatform, client: RetainClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ui.client.client.STREAM_DEADLINE_S", 0.2)
    monkeypatch.setattr(client, "_patience_s", 0.3)
    run = scripted_runs.new_run(platform, "r")
    stream = client.watch("r", timeout_s=60)
    assert next(stream).sequence == 1
    run.status.state = 4

    def put_when_several_streams_have_ended() -> None:
        while platform.calls.count("WatchPipelineRun") < 5:
            time.sleep(0.01)
        platform.put(run)

    threading.Thread(target=put_when_several_streams_have_ended, daemon=True).start()
    assert [seen.sequence for seen in stream] == [2]


def _with_deadline(deadline_s: float) -> Any:
    whole = RetainClient._call

    def call(self: RetainClient, method: Any, request: Any, **_: float) -> Any:
        return whole(self, method, request, deadline_s=deadline_s)

    return call


def test_lists_are_read_page_by_page(platform: FakePlatform, client: RetainClient, monkeypatch) -> None:
    monkeypatch.setattr("ui.client.client.PAGE_SIZE", 2)
    for number in range(5):
        scripted_runs.new_run(platform, f"r{number}")
    assert [run.id for run in client.list_runs()] == ["r4", "r3", "r2", "r1", "r0"]
    assert [run.id for run in client.list_runs(limit=3)] == ["r4", "r3", "r2"]
    assert client.list_runs(states=("RUNNING",)) == []


def test_validation_joins_the_faults_of_both_sides(platform: FakePlatform, client: RetainClient) -> None:
    platform.violations = [("forgetting.action", "out of order"), ("nam", "the server's word on the same field")]
    plan, faults = client.validate({"nam": "x"})
    assert plan is None
    assert [fault.field for fault in faults] == ["nam", "forgetting.action"]
    assert faults[0].description.startswith("got an unknown field")


def test_a_wrong_name_is_bad_input(platform: FakePlatform, client: RetainClient) -> None:
    with pytest.raises(BadInput, match="there is no run absent") as caught:
        client.get_run("absent")
    assert (caught.value.exit_code, caught.value.reason) == (2, "NOT_FOUND")


def test_a_stale_etag_and_a_wrong_state_are_told_apart(platform: FakePlatform, client: RetainClient) -> None:
    scripted_runs.new_run(platform, "r")
    with pytest.raises(ClientError) as caught:
        client.cancel("r", etag="e0")
    assert (caught.value.exit_code, caught.value.reason) == (1, "STALE")
    with pytest.raises(ClientError, match="expected SUSPENDED") as caught:
        client.approve("r", "ACCEPT")
    assert (caught.value.exit_code, caught.value.reason) == (1, "INVALID_TRANSITION")


def test_a_token_is_sent_and_its_lack_is_refused(platform: FakePlatform, client: RetainClient) -> None:
    platform.token = "secret"
    with pytest.raises(RefusedByServer) as caught:
        client.list_runs()
    assert (caught.value.exit_code, caught.value.reason) == (4, "NO_TOKEN")
    with RetainClient(Address(orchestrator=client.address.orchestrator, token="secret")) as other:
        assert other.list_runs() == []


def test_a_run_as_plain_data(platform: FakePlatform, client: RetainClient) -> None:
    scripted_runs.finished(platform, "r")
    run = client.get_run("r")
    assert (run.state, run.is_terminal, run.name) == ("SUCCEEDED", True, "code-model")
    middle = run.stages[1]
    assert (middle.kind, middle.domain, middle.state) == ("MIDTRAIN", "CODE", "COMPLETE")
    assert middle.forgetting == pytest.approx(0.04)
    assert run.stages[0].forgetting is None
    assert middle.accepted is not None
    assert middle.accepted.short_name == "attempt-2/step-000000120"
    assert run.resource["status"]["state"] == "RUN_STATE_SUCCEEDED"
    assert run.resource["spec"]["forgetting"]["action"] == 0.1


def test_samples_and_history_come_from_the_evaluator(platform: FakePlatform, client: RetainClient) -> None:
    scripted_runs.finished(platform, "r")
    reference = client.get_run("r").stages[0].accepted
    assert reference is not None
    assert "".join(client.sample(reference, "x")) == " once upon a time"
    assert [record.stage for record in client.history("r", stage="finetune")] == ["finetune"] * 6


def test_whoever_stops_reading_a_text_ends_its_writing(platform: FakePlatform, client: RetainClient) -> None:
    scripted_runs.finished(platform, "r")
    reference = client.get_run("r").stages[0].accepted
    assert reference is not None
    platform.endless = True
    pieces = client.sample_pieces(reference, "x")
    assert (next(pieces).context, next(pieces).text) == (10, " once")
    assert not platform.text_ended.is_set()
    pieces.close()
    assert platform.text_ended.wait(10), "the server went on for nobody"
