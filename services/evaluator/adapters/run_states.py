"""Asks the orchestrator whether a run has ended, through its stub."""

import time

import grpc

from retain.orchestrator.v1 import orchestrator_service_pb2 as service_pb2
from retain.orchestrator.v1 import orchestrator_service_pb2_grpc as service_grpc
from retain.orchestrator.v1 import resources_pb2
from services.common.logging import get_logger
from services.evaluator.application.ports import RunStates

TIMEOUT_S = 3.0
AWAY_S = 10.0
_ENDED = {resources_pb2.RUN_STATE_SUCCEEDED, resources_pb2.RUN_STATE_FAILED, resources_pb2.RUN_STATE_CANCELLED}
log = get_logger(__name__)


class OrchestratorRunStates(RunStates):
    """`channel` is to the orchestrator. A deleted run has ended; an orchestrator that is away knows nothing."""

    def __init__(self, channel: grpc.Channel, *, token: str | None = None) -> None:
        self._stub = service_grpc.OrchestratorServiceStub(channel)
        self._away_until_s = 0.0
        self._metadata = (("authorization", f"Bearer {token}"),) if token else None

    def ended(self, run: str) -> bool | None:
        if time.monotonic() < self._away_until_s:
            return None  # it was away a moment ago: asked for each of many runs, it would cost a time-out each
        try:
            request = service_pb2.GetPipelineRunRequest(run_id=run)
            response = self._stub.GetPipelineRun(request, timeout=TIMEOUT_S, metadata=self._metadata)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return True
            log.debug("the orchestrator does not say whether a run ended", run=run, code=str(error.code()))
            self._away_until_s = time.monotonic() + AWAY_S
            return None
        return response.run.status.state in _ENDED
