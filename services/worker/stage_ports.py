"""The training loop's ports, with the object store and the orchestrator behind them. They live on the first rank."""

from model.stage import Directive, Snapshot, StepProgress
from retain.orchestrator.v1 import stage_control_service_pb2 as control_pb2
from services.worker import convert
from services.worker.control_client import ControlClient
from services.worker.progress import SAVING, TRAINING, WAITING, ProgressReporter
from services.worker.publisher import Publisher


class ServicePorts:
    """StagePorts of one attempt (model/stage.py)."""

    def __init__(
        self,
        *,
        attempt: int,
        stage_index: int,
        publisher: Publisher,
        control: ControlClient,
        progress: ProgressReporter,
    ) -> None:
        self._attempt, self._stage_index = attempt, stage_index
        self._publisher, self._control, self._progress = publisher, control, progress

    def beat(self) -> None:
        self._progress.beat()

    def progress(self, progress: StepProgress) -> None:
        self._progress.step(progress)

    def interrupted(self) -> bool:
        return self._progress.fenced

    def publish(self, snapshot: Snapshot) -> None:
        self._publisher.publish(snapshot)

    def directive(self, boundary: int) -> Directive:
        self._progress.phase(SAVING)
        self._publisher.flush()
        self._progress.phase(WAITING)
        request = control_pb2.GetDirectiveRequest(
            attempt=self._attempt, stage_index=self._stage_index, boundary=boundary
        )
        answer = convert.directive(self._control.get_directive(request))
        if answer.goes_on:
            self._progress.phase(TRAINING)  # from here on a step's time runs again
        return answer


class NoPorts:
    """The ports of every other rank, which the training loop never uses; using one is a fault in the loop."""

    def beat(self) -> None:
        raise AssertionError("only the first rank reports")

    def progress(self, progress: StepProgress) -> None:
        raise AssertionError("only the first rank reports")

    def interrupted(self) -> bool:
        raise AssertionError("only the first rank is told")

    def publish(self, snapshot: Snapshot) -> None:
        raise AssertionError("only the first rank publishes")

    def directive(self, boundary: int) -> Directive:
        raise AssertionError("only the first rank asks")
