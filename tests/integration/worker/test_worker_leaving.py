"""A worker that is told to leave: an interim checkpoint, INTERRUPTED, and the next group ends with the same bits."""

import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from retain.orchestrator.v1 import stage_control_service_pb2 as pb
from services.worker import leaving
from tests.contract.object_store_servers import Server, minio_server, running
from tests.fakes.stage_control import FakeStageControl
from tests.integration.worker.harness import connect, orchestrator, point_worker_at, small_spec, small_stages, work

pytestmark = pytest.mark.integration
BUCKET = "retain"


@pytest.fixture(scope="module")
def server(shared_tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(minio_server(tmp_path_factory.mktemp("minio"), shared_tools)) as server:
        connect(server, BUCKET)
        yield server


def run(monkeypatch: pytest.MonkeyPatch, server: Server, cache: Path, control: FakeStageControl) -> FakeStageControl:
    with orchestrator(control):
        work(point_worker_at(monkeypatch, endpoint=server.endpoint, bucket=BUCKET, control=control, cache=cache))
    return control


def one_stage(*, lag: int = 0) -> FakeStageControl:
    control = FakeStageControl(small_spec(stages=1), small_stages(1), lag=lag)
    control.stages[0].steps = 12
    return control


class TellAtStep:
    """Tells the process to leave when the training loop reports a step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
        from services.worker.attempt.stage_ports import ServicePorts

        usual = ServicePorts.progress
        self.told = False

        def progress(ports, told_progress) -> None:
            usual(ports, told_progress)
            if told_progress.step == step and not self.told:
                self.told = True
                leaving.PROCESS.ask()

        monkeypatch.setattr(ServicePorts, "progress", progress)


@pytest.mark.parametrize("lag", [0, 1])
def test_told_in_the_midst_of_an_interval(
    lag: int, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = run(monkeypatch, server, tmp_path / "alone", one_stage(lag=lag))
    control = one_stage(lag=lag)
    TellAtStep(monkeypatch, 5)
    run(monkeypatch, server, tmp_path / "one", control)
    ended = control.ended[-1]
    assert (ended.outcome, ended.reason, ended.stage_index) == (pb.END_OUTCOME_INTERRUPTED, "TOLD_TO_LEAVE", 0)
    interim = control.checkpoints[0][-1]
    assert (interim.interim, interim.boundary, interim.checkpoint.step) == (True, 1, 6)
    assert interim.parent == control.checkpoints[0][0].checkpoint.manifest_sha256
    control.submission += 1
    run(monkeypatch, server, tmp_path / "two", control)
    assert [(c.boundary, c.interim) for c in control.checkpoints[0]] == [(1, False), (1, True), (2, False), (3, False)]
    assert control.checkpoints[0][2].parent == interim.checkpoint.manifest_sha256
    assert control.accepted(0).weights_digest == alone.accepted(0).weights_digest
    told = {c.boundary: (c.train_loss_nats, c.checkpoint.tokens) for c in alone.checkpoints[0]}
    assert {c.boundary: (c.train_loss_nats, c.checkpoint.tokens) for c in control.checkpoints[0]
            if not c.interim} == told  # fmt: skip


@pytest.mark.parametrize("lag", [0, 1])
def test_told_while_waiting_for_a_verdict(
    lag: int, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verdict on the second boundary does not come; the worker leaves at once, and nothing is lost."""
    alone = run(monkeypatch, server, tmp_path / "alone", one_stage(lag=lag))
    control = one_stage(lag=lag)
    control.verdicts[0, 2, 2] = pb.GetDirectiveResponse(pending=True)
    asked = threading.Event()
    usual = control.GetDirective

    def directive(request: pb.GetDirectiveRequest, context) -> pb.GetDirectiveResponse:
        if request.boundary == 2 and not asked.is_set():
            asked.set()
            threading.Timer(0.3, leaving.PROCESS.ask).start()
        return usual(request, context)

    monkeypatch.setattr(control, "GetDirective", directive)
    run(monkeypatch, server, tmp_path / "one", control)
    assert control.ended[-1].outcome == pb.END_OUTCOME_INTERRUPTED
    kept = control.checkpoints[0][-1]
    assert (kept.checkpoint.step, kept.boundary, kept.interim) == ((8, 2, False) if lag == 0 else (8, 1, True))
    control.submission += 1
    run(monkeypatch, server, tmp_path / "two", control)
    assert control.accepted(0).weights_digest == alone.accepted(0).weights_digest
    assert [c.boundary for c in control.checkpoints[0] if not c.interim] == [1, 2, 3]


def test_told_while_preparing_it_leaves_at_once(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from services.worker.preparation.prepare_runner import PrepareRunner

    control = one_stage()
    usual = PrepareRunner._tokenizer

    def tokenizer(runner, *arguments):
        leaving.PROCESS.ask()
        return usual(runner, *arguments)

    monkeypatch.setattr(PrepareRunner, "_tokenizer", tokenizer)
    run(monkeypatch, server, tmp_path / "one", control)
    (ended,) = control.ended
    assert (ended.outcome, ended.stage_index) == (pb.END_OUTCOME_INTERRUPTED, -1)
    monkeypatch.setattr(PrepareRunner, "_tokenizer", usual)
    control.submission += 1
    run(monkeypatch, server, tmp_path / "two", control)
    assert not control.failed
    assert [c.boundary for c in control.checkpoints[0]] == [1, 2, 3]


def test_told_while_waiting_for_work_it_leaves_at_once(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The orchestrator's answer does not come: its database is away, say."""
    control, answered = one_stage(), threading.Event()

    def never() -> pb.BeginAttemptResponse:
        answered.wait(60)
        return pb.BeginAttemptResponse(release=pb.ReleaseWork(reason="too late"))

    monkeypatch.setattr(control, "_work", never)
    threading.Timer(2.0, leaving.PROCESS.ask).start()
    run(monkeypatch, server, tmp_path / "one", control)
    assert control.ended == []
    assert not answered.is_set()
    answered.set()


def test_an_interim_that_cannot_be_stored_costs_the_interval_only(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The orchestrator refuses it: the worker leaves all the same, and the next group resumes from the boundary."""
    alone = run(monkeypatch, server, tmp_path / "alone", one_stage())
    control = one_stage()
    TellAtStep(monkeypatch, 5)
    usual = control.ReportCheckpoint

    def report(request: pb.ReportCheckpointRequest, context) -> pb.ReportCheckpointResponse:
        if request.interim:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not now")
        return usual(request, context)

    monkeypatch.setattr(control, "ReportCheckpoint", report)
    run(monkeypatch, server, tmp_path / "one", control)
    assert control.ended[-1].outcome == pb.END_OUTCOME_INTERRUPTED
    assert [c.boundary for c in control.checkpoints[0]] == [1]
    control.submission += 1
    run(monkeypatch, server, tmp_path / "two", control)
    assert control.accepted(0).weights_digest == alone.accepted(0).weights_digest
