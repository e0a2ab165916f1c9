"""Reports go out whatever the training thread does, count work, and turn a refusal into the fence."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from model.training.job import StepProgress
from retain.orchestrator.v1 import stage_control_service_pb2 as pb
from services.common.errors import Stale, Unavailable
from services.worker.reporting.progress import LOADING, PREPARING, TRAINING, WAITING, ProgressReporter


class Wire:
    """Remembers what was sent; `error` is raised instead while it is set."""

    def __init__(self) -> None:
        self.sent: list[pb.ReportProgressRequest] = []
        self.error: Exception | None = None
        self._changed = threading.Condition()

    def __call__(self, request: pb.ReportProgressRequest) -> None:
        with self._changed:
            self.sent.append(request)
            self._changed.notify_all()
        if self.error is not None:
            raise self.error

    def wait_for(self, wanted: Callable[[pb.ReportProgressRequest], bool]) -> pb.ReportProgressRequest:
        with self._changed:
            assert self._changed.wait_for(lambda: any(map(wanted, self.sent)), timeout=10)
            return next(filter(wanted, self.sent))


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def reporter(wire: Wire) -> Iterator[ProgressReporter]:
    reporter = ProgressReporter(wire, interval_s=0.02)
    yield reporter
    reporter.close()


def step(number: int, loss_nats: float, targets: int = 64) -> StepProgress:
    return StepProgress(
        step=number,
        tokens=number * 100,
        nats=loss_nats * targets,
        targets=targets,
        learning_rate=0.1,
        shares={"general": 0.25},
        curriculum_level=2.7,
        stall_seconds=0.5,
        wait_seconds=1.5,
    )


def test_it_reports_while_the_training_thread_is_elsewhere(wire: Wire, reporter: ProgressReporter) -> None:
    with reporter.attempt(attempt=3, stage_index=1, phase=LOADING):
        first = wire.wait_for(lambda r: True)
        wire.wait_for(lambda r: len(wire.sent) > 3)
    assert (first.attempt, first.stage_index, first.phase) == (3, 1, LOADING)
    assert wire.sent[-1].heartbeat == first.heartbeat


def test_nothing_is_reported_between_attempts(wire: Wire, reporter: ProgressReporter) -> None:
    with reporter.attempt(attempt=1, stage_index=-1, phase=PREPARING):
        wire.wait_for(lambda r: True)
    time.sleep(0.1)
    count = len(wire.sent)
    time.sleep(0.2)
    assert len(wire.sent) == count


def test_the_heartbeat_counts_work_across_attempts(wire: Wire, reporter: ProgressReporter) -> None:
    with reporter.attempt(attempt=1, stage_index=0, phase=TRAINING):
        for _ in range(5):
            reporter.beat()
        reporter.upload_failed()
        wire.wait_for(lambda r: r.heartbeat == 6 and r.upload_failures == 1)
    with reporter.attempt(attempt=2, stage_index=0, phase=TRAINING):
        reporter.beat()
        wire.wait_for(lambda r: r.attempt == 2 and r.heartbeat == 7 and r.upload_failures == 0)


def test_steps_are_reported_with_their_mean_loss(wire: Wire) -> None:
    slow = ProgressReporter(wire, interval_s=0.3)
    try:
        with slow.attempt(attempt=1, stage_index=0, phase=LOADING):
            wire.wait_for(lambda r: True)
            slow.start_at(step=1, tokens=100)
            slow.phase(TRAINING)
            time.sleep(0.05)
            for number, loss in ((2, 3.0), (3, 2.0), (4, 1.0)):
                slow.step(step(number, loss))
            told = wire.wait_for(lambda r: r.step == 4)
    finally:
        slow.close()
    assert told.train_loss_nats == pytest.approx(2.0)
    assert (told.phase, told.tokens, told.curriculum_level) == (TRAINING, 400, 2)
    assert (told.stall_seconds, told.wait_seconds) == (0.5, 1.5)
    assert told.train_seconds > 0
    assert 0 < told.tokens_per_second < 300 / 0.05


def test_the_loss_of_steps_of_unequal_size_is_that_of_their_tokens(wire: Wire) -> None:
    """10 targets at 3 nats and 30 at 1 nat are 60 nats over 40 targets: 1.5; the mean of the two means would be 2."""
    slow = ProgressReporter(wire, interval_s=0.3)
    try:
        with slow.attempt(attempt=1, stage_index=0, phase=LOADING):
            wire.wait_for(lambda r: True)
            slow.step(step(1, 3.0, targets=10))
            slow.step(step(2, 1.0, targets=30))
            told = wire.wait_for(lambda r: r.step == 2)
    finally:
        slow.close()
    assert told.train_loss_nats == pytest.approx(1.5)


def test_a_refusal_is_the_fence_of_this_attempt_only(wire: Wire, reporter: ProgressReporter) -> None:
    with reporter.attempt(attempt=1, stage_index=0, phase=TRAINING):
        wire.error = Stale("another attempt")
        deadline = time.monotonic() + 10
        while not reporter.fenced and time.monotonic() < deadline:
            time.sleep(0.01)
        assert reporter.fenced
        wire.error = None
    with reporter.attempt(attempt=2, stage_index=0, phase=WAITING):
        assert not reporter.fenced
        wire.wait_for(lambda r: r.attempt == 2)


def test_a_server_that_is_away_fences_nobody(wire: Wire, reporter: ProgressReporter) -> None:
    wire.error = Unavailable("away")
    with reporter.attempt(attempt=1, stage_index=0, phase=TRAINING):
        wire.wait_for(lambda r: len(wire.sent) > 3)
        assert not reporter.fenced
