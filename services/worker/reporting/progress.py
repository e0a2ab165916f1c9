"""What the group tells the orchestrator every two seconds, and how it learns that it has been fenced off.

A background thread sends the last values, whatever the training thread is doing. The heartbeat counts work done (a
micro-batch, a file, a failed try of an upload that continues), so a process that is there but stands still is told from
one that works. The reply `Stale` means that the attempt is somebody else's by now: `fenced` is set, and training
stops.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from model.training.job import StepProgress
from retain.orchestrator.v1 import resources_pb2
from retain.orchestrator.v1 import stage_control_service_pb2 as control_pb2
from services.common.errors import NotFound, RetainError, Stale
from services.common.logging import get_logger
from services.worker.reporting.step_rate import StepRate

INTERVAL_S = 2.0

PREPARING = resources_pb2.STAGE_PHASE_PREPARING
LOADING = resources_pb2.STAGE_PHASE_LOADING
TRAINING = resources_pb2.STAGE_PHASE_TRAINING
SAVING = resources_pb2.STAGE_PHASE_SAVING
WAITING = resources_pb2.STAGE_PHASE_WAITING


@dataclass
class _Interval:
    """Sums since the last report."""

    nats: float = 0.0
    targets: int = 0


class ProgressReporter:
    """Collects values from any thread and sends them from its own. Call `close` at the end."""

    def __init__(
        self, send: Callable[[control_pb2.ReportProgressRequest], None], *, interval_s: float = INTERVAL_S
    ) -> None:
        self._send, self._interval_s = send, interval_s
        self._lock = threading.Lock()
        self._request: control_pb2.ReportProgressRequest | None = None
        self._interval, self._rate = _Interval(), StepRate()
        self._heartbeat = 0
        self._wake, self._closing = threading.Event(), threading.Event()
        self._fenced = threading.Event()
        self._log = get_logger()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
        self._thread.start()

    @property
    def fenced(self) -> bool:
        """Whether the orchestrator refused this attempt."""
        return self._fenced.is_set()

    def close(self) -> None:
        """Stop sending."""
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout=10)

    @contextmanager
    def attempt(self, *, attempt: int, stage_index: int, phase: int) -> Iterator[None]:
        """Report for this attempt inside the block, and for none outside of it."""
        with self._lock:
            self._fenced.clear()
            self._interval, self._rate = _Interval(), StepRate()
            self._request = control_pb2.ReportProgressRequest(attempt=attempt, stage_index=stage_index)
            self._request.phase = phase  # type: ignore[assignment]
            if phase == TRAINING:
                self._rate.training(time.monotonic())
        self._wake.set()
        try:
            yield
        finally:
            with self._lock:
                self._request = None

    def beat(self) -> None:
        """A bit of work was done."""
        with self._lock:
            self._heartbeat += 1

    def phase(self, phase: int) -> None:
        """Something else is being done from now on."""
        with self._lock:
            self._heartbeat += 1
            if phase == TRAINING:
                self._rate.training(time.monotonic())
            else:
                self._rate.paused()
            if self._request is not None:
                self._request.phase = phase  # type: ignore[assignment]

    def prepared(self, fraction: float) -> None:
        """Preparing has come so far, 0 to 1."""
        with self._lock:
            self._heartbeat += 1
            if self._request is not None:
                self._request.prepare_progress = fraction

    def upload_failed(self) -> None:
        """A try of an upload failed and another follows: no work, but a sign that nobody hangs."""
        with self._lock:
            self._heartbeat += 1
            if self._request is not None:
                self._request.upload_failures += 1

    def step(self, progress: StepProgress) -> None:
        """An optimizer step was done."""
        with self._lock:
            request = self._request
            if request is None:
                return
            self._rate.step(progress.tokens - request.tokens, time.monotonic())
            self._interval.nats += progress.nats
            self._interval.targets += progress.targets
            request.phase = TRAINING
            request.step, request.tokens = progress.step, progress.tokens
            request.learning_rate = progress.learning_rate
            request.curriculum_level = int(progress.curriculum_level)
            request.wait_seconds, request.stall_seconds = progress.wait_seconds, progress.stall_seconds

    def waiting(self, text: str) -> None:
        """What the work waits for ("disk full at /var/retain"), for people; "" when it proceeds. A try that failed is a
        sign that nobody hangs."""
        with self._lock:
            self._heartbeat += 1
            if self._request is not None:
                changed = self._request.waiting_for != text
                self._request.waiting_for = text
                if changed:
                    self._wake.set()
        if text:
            self._log.warning("waiting", waiting_for=text)

    def start_at(self, *, step: int, tokens: int) -> None:
        """Where the attempt begins, so that the tokens of its first step are not counted from zero."""
        with self._lock:
            if self._request is not None:
                self._request.step, self._request.tokens = step, tokens

    def _take(self) -> control_pb2.ReportProgressRequest | None:
        with self._lock:
            if self._request is None:
                return None
            if self._interval.targets:
                self._request.train_loss_nats = self._interval.nats / self._interval.targets
            self._request.train_seconds = self._rate.train_s
            self._request.tokens_per_second = self._rate.tokens_per_second(time.monotonic())
            self._interval = _Interval()
            self._request.heartbeat = self._heartbeat
            copy = control_pb2.ReportProgressRequest()
            copy.CopyFrom(self._request)
            return copy

    def _run(self) -> None:
        while not self._closing.is_set():
            request = self._take()
            if request is not None and not self._fenced.is_set():
                try:
                    self._send(request)
                except (Stale, NotFound) as error:
                    if self._is_current(request):
                        self._log.warning("the attempt was fenced off", attempt=request.attempt, error=str(error))
                        self._fenced.set()
                except RetainError as error:
                    self._log.warning("progress was not heard", error=str(error))
            self._wake.wait(self._interval_s)
            self._wake.clear()

    def _is_current(self, sent: control_pb2.ReportProgressRequest) -> bool:
        with self._lock:
            now = self._request
            return now is not None and (now.attempt, now.stage_index) == (sent.attempt, sent.stage_index)
