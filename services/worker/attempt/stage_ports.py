"""The training loop's ports, with the object store and the orchestrator behind them. They live on the first rank."""

from collections.abc import Callable

from model.errors import RetainModelError
from model.training.job import Directive, Interruption, Snapshot, StepProgress
from retain.orchestrator.v1 import stage_control_service_pb2 as control_pb2
from services.common.errors import RetainError
from services.common.logging import get_logger
from services.worker.attempt import convert
from services.worker.leaving import ToldToLeave
from services.worker.orchestrator_client import ControlClient
from services.worker.reporting.checkpoint_publisher import Publisher
from services.worker.reporting.progress import SAVING, TRAINING, WAITING, ProgressReporter


class ServicePorts:
    """StagePorts of one attempt (model/training/job.py)."""

    def __init__(
        self,
        *,
        attempt: int,
        stage_index: int,
        publisher: Publisher,
        control: ControlClient,
        progress: ProgressReporter,
        first_step_done: Callable[[], None] = lambda: None,
    ) -> None:
        self._first_step_done = first_step_done
        self._attempt, self._stage_index = attempt, stage_index
        self._publisher, self._control, self._progress = publisher, control, progress

    def beat(self) -> None:
        self._progress.beat()

    def progress(self, progress: StepProgress) -> None:
        self._first_step_done()
        self._progress.step(progress)

    def interrupted(self) -> Interruption:
        if self._progress.fenced:
            return Interruption.FENCED
        return Interruption.LEAVE if self._control.leaving.asked else Interruption.NONE

    def publish(self, snapshot: Snapshot) -> None:
        self._publisher.publish(snapshot)

    def directive(self, boundary: int) -> Directive | None:
        self._progress.phase(SAVING)
        request = control_pb2.GetDirectiveRequest(
            attempt=self._attempt, stage_index=self._stage_index, boundary=boundary
        )
        try:
            self._publisher.flush()
            self._progress.phase(WAITING)
            told = self._control.get_directive(request)
        except ToldToLeave:
            return None
        answer = convert.directive(told)
        get_logger(__name__).info(
            "directive", boundary=boundary, verdict=answer.verdict.value, why=told.message, attempt=self._attempt
        )
        if answer.continues:
            self._progress.phase(TRAINING)  # from here on a step's time runs again
        return answer

    def leave(self, snapshot: Snapshot | None) -> None:
        self._progress.phase(SAVING)
        try:
            if snapshot is not None:
                self._publisher.publish(snapshot)
            self._publisher.flush()
        except (RetainError, RetainModelError, OSError) as error:
            get_logger(__name__).warning(
                "left without an interim checkpoint: the next group resumes from the last one",
                attempt=self._attempt,
                error=str(error),
            )


class NoPorts:
    """The ports of every other rank, which the training loop never uses; using one is a fault in the loop."""

    def beat(self) -> None:
        raise AssertionError("only the first rank reports")

    def progress(self, progress: StepProgress) -> None:
        raise AssertionError("only the first rank reports")

    def interrupted(self) -> Interruption:
        raise AssertionError("only the first rank is told")

    def publish(self, snapshot: Snapshot) -> None:
        raise AssertionError("only the first rank publishes")

    def directive(self, boundary: int) -> Directive | None:
        raise AssertionError("only the first rank asks")

    def leave(self, snapshot: Snapshot | None) -> None:
        raise AssertionError("only the first rank publishes")
