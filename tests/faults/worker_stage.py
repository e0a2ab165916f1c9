"""A worker group of one between faulty ports: the store in memory, the orchestrator scripted, the training real.

A worker that raises is started again, as Ray does with a group that died; it resumes from the newest checkpoint.
"""

from pathlib import Path
from typing import Any

import grpc
import pytest

from retain.orchestrator.v1 import stage_control_service_pb2 as pb
from services.worker import assignment_loop as loop
from services.worker.assignment_loop import WorkerConfig, work_loop
from services.worker.attempt import run_attempt as stage_runner
from tests.fakes.object_store import FakeObjectStore
from tests.fakes.stage_control import FakeStageControl
from tests.faults.injector import ERRORS, SLOW_S, Fault, Injector
from tests.faults.ports import Call
from tests.integration.worker.harness import small_spec, small_stages

STORE = "services.common.store.object_store.ObjectStore"
STAGE_PORTS = "model.training.job.StagePorts"
CONTROL = "retain.orchestrator.v1.StageControlService"
STARTS = 12
CODES = {
    Fault.CALL_LOST: grpc.StatusCode.UNAVAILABLE,
    Fault.REPLY_LOST: grpc.StatusCode.UNAVAILABLE,
    Fault.REFUSED: grpc.StatusCode.PERMISSION_DENIED,
    Fault.UNFORESEEN: grpc.StatusCode.UNKNOWN,
}


class FaultyStageControl(FakeStageControl):
    """The scripted orchestrator; an attempt resumes from the newest checkpoint of its stage."""

    def __init__(self, injector: Injector, **options: Any) -> None:
        super().__init__(small_spec(), small_stages(), **options)
        self._injector = injector
        self.on_checkpoint = self._remember

    def _remember(self, request: pb.ReportCheckpointRequest) -> None:
        self.resume[request.stage_index] = request.checkpoint

    def _do(self, name: str, request: Any, context: Any, call: Any, *, fence: bool = True) -> Any:
        due = self._injector.due(name) if self._injector.port in (CONTROL, "*") else None
        if due is Fault.REPLY_LOST:
            super()._do(name, request, context, call, fence=fence)
        if due in ERRORS:
            context.abort(CODES[due], f"injected {due}")
        if due is Fault.SLOW:
            import time

            time.sleep(SLOW_S)
        return super()._do(name, request, context, call, fence=fence)


class KeptStore(FakeObjectStore):
    """The store in memory as a worker opens and closes it."""

    on_retry: Any = staticmethod(lambda *arguments: None)

    def close(self) -> None:
        """Nothing to close."""


def run_to_the_end(call: Call, fault: Fault, folder: Path, **options: Any) -> tuple[dict[str, Any], Injector]:
    """The run under one kind of fault, and what must not depend on it."""
    injector = Injector(call.port, call.method, fault)
    control, store = FaultyStageControl(injector, **options), KeptStore()
    control.start()
    raised: list[BaseException] = []
    try:
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setenv("RETAIN_SERVER", f"127.0.0.1:{control.port}")
            monkeypatch.setenv("RETAIN_CACHE", str(folder))
            monkeypatch.setattr(loop.MinioStore, "from_env", lambda **_: injector.wrap(STORE, store))
            real = stage_runner.ServicePorts
            monkeypatch.setattr(stage_runner, "ServicePorts", lambda **parts: injector.wrap(STAGE_PORTS, real(**parts)))
            while not _over(control) and len(raised) < STARTS:
                try:
                    work_loop(
                        WorkerConfig(
                            run_id="r1", submission=control.submission, threads=1, token="t" * 43, cache=folder
                        ).as_dict()
                    )
                except Exception as error:  # noqa: BLE001 - whatever ends a worker, its group is started again
                    raised.append(error)
    finally:
        control.stop()
    return told(control), injector


def _over(control: FakeStageControl) -> bool:
    return control.failed or control.stage >= len(control.stages)


def told(control: FakeStageControl) -> dict[str, Any]:
    """What of a run must not depend on faults: the weights at every boundary, and how it ended."""
    return {
        "failed": [end.reason for end in control.ended if end.outcome == pb.END_OUTCOME_FAILED],
        "weights": {
            (stage, c.boundary): (c.checkpoint.step, c.checkpoint.tokens, c.checkpoint.weights_digest)
            for stage, found in sorted(control.checkpoints.items())
            for c in found
        },
        "prepared": []
        if control.prepared is None
        else sorted(f.digest for s in control.prepared.stages for f in s.shards),
    }
