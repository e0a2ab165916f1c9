"""The line to the orchestrator: asked again until answered, one id for one question, statuses as errors."""

import threading
import time
from collections.abc import Iterator

import grpc
import pytest

from retain.orchestrator.v1 import resources_pb2
from retain.orchestrator.v1 import stage_control_service_pb2 as pb
from retain.types.v1 import spec_pb2
from services.common.errors import FailedPrecondition, InvalidInput, NotFound, Refused, Stale, Unavailable
from services.worker.orchestrator_client import ControlClient
from tests.fakes.stage_control import FakeStageControl, StagePlan


@pytest.fixture
def control() -> Iterator[FakeStageControl]:
    fake = FakeStageControl(spec_pb2.PipelineSpec(), [StagePlan(name="pretrain", target="general", sources={})])
    fake.start()
    yield fake
    fake.stop()


@pytest.fixture
def client(control: FakeStageControl) -> Iterator[ControlClient]:
    client = connect(control)
    yield client
    client.close()


def connect(control: FakeStageControl, *, patience_s: float = 30.0) -> ControlClient:
    channel = grpc.insecure_channel(f"127.0.0.1:{control.port}", options=[("grpc.max_reconnect_backoff_ms", 200)])
    return ControlClient(channel, run_id="r1", submission=1, patience_s=patience_s)


@pytest.mark.parametrize("code", ["UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "UNKNOWN", "INTERNAL"])
def test_what_may_pass_is_asked_again(control: FakeStageControl, client: ControlClient, code: str) -> None:
    control.faults["BeginAttempt"] = [grpc.StatusCode[code]] * 2
    assert client.begin_attempt().WhichOneof("work") == "prepare"
    assert control.calls == ["BeginAttempt"] * 3


def test_a_lost_reply_begins_nothing_twice(control: FakeStageControl, client: ControlClient) -> None:
    control.lost_replies["BeginAttempt"] = 2
    assert client.begin_attempt().prepare.attempt == 1
    assert client.begin_attempt().prepare.attempt == 2
    assert control.begun == [(-1, 1), (-1, 2)]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("ABORTED", Stale),
        ("NOT_FOUND", NotFound),
        ("FAILED_PRECONDITION", FailedPrecondition),
        ("INVALID_ARGUMENT", InvalidInput),
        ("PERMISSION_DENIED", Refused),
        ("UNAUTHENTICATED", Refused),
    ],
)
def test_what_will_not_pass_is_an_error_at_once(
    control: FakeStageControl, client: ControlClient, code: str, error: type[Exception]
) -> None:
    control.faults["EndStage"] = [grpc.StatusCode[code]]
    with pytest.raises(error, match="scripted"):
        client.end_stage(pb.EndStageRequest(attempt=0))
    assert control.calls == ["EndStage"]


def test_an_old_submission_is_stale(control: FakeStageControl, client: ControlClient) -> None:
    control.submission = 2
    with pytest.raises(Stale):
        client.begin_attempt()


def test_a_server_that_comes_back_is_found(control: FakeStageControl, client: ControlClient) -> None:
    control.stop()

    threading.Timer(0.7, control.start).start()
    assert client.begin_attempt().WhichOneof("work") == "prepare"


def test_patience_ends(control: FakeStageControl) -> None:
    client = connect(control, patience_s=0.5)
    control.stop()
    started = time.monotonic()
    with pytest.raises(Unavailable):
        client.end_stage(pb.EndStageRequest())
    assert time.monotonic() - started < 20


def test_a_pending_directive_is_asked_for_again(control: FakeStageControl, client: ControlClient) -> None:
    control.verdicts[0, 0, 1] = pb.GetDirectiveResponse(pending=True)

    def decide() -> None:
        control.verdicts[0, 0, 1] = pb.GetDirectiveResponse(verdict=resources_pb2.VERDICT_ADJUST, lr_scale=0.5)

    threading.Timer(0.7, decide).start()
    response = client.get_directive(pb.GetDirectiveRequest(attempt=0, stage_index=0, boundary=1))
    assert (response.verdict, response.lr_scale) == (resources_pb2.VERDICT_ADJUST, 0.5)
    assert 2 <= control.calls.count("GetDirective") <= 8


def test_progress_is_told_once(control: FakeStageControl, client: ControlClient) -> None:
    control.faults["ReportProgress"] = [grpc.StatusCode.UNAVAILABLE]
    with pytest.raises(Unavailable):
        client.report_progress(pb.ReportProgressRequest(attempt=0))
    assert control.calls == ["ReportProgress"]
