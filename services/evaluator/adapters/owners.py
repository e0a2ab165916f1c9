"""Whose runs and checkpoints are, asked of the orchestrator through its stubs."""

import threading
import time
from typing import Any

import grpc
from cachetools import LRUCache, TTLCache

from retain.orchestrator.v1 import checkpoint_service_pb2 as checkpoint_pb
from retain.orchestrator.v1 import checkpoint_service_pb2_grpc as checkpoint_grpc
from retain.orchestrator.v1 import orchestrator_service_pb2 as runs_pb
from retain.orchestrator.v1 import orchestrator_service_pb2_grpc as runs_grpc
from retain.values import CheckpointRef
from services.common.errors import Unavailable
from services.common.identity.principal import DEFAULT_PROJECT
from services.evaluator.application.ports import Owners

CALL_TIMEOUT_S = 5.0
MOST_RUNS = 50_000
SHARES_KEPT_S = 15.0  # a checkpoint that is shared no more can be sampled for so long


class AskOwners(Owners):
    """`channel` is to the orchestrator. A run never changes its project, so that it is asked about once."""

    def __init__(self, channel: grpc.Channel, *, token: str) -> None:
        self._get_run: Any = runs_grpc.OrchestratorServiceStub(channel).GetPipelineRun
        self._get_checkpoint: Any = checkpoint_grpc.CheckpointServiceStub(channel).GetCheckpoint
        self._metadata = (("authorization", f"Bearer {token}"),)
        self._lock = threading.Lock()
        self._runs: LRUCache[str, str] = LRUCache(MOST_RUNS)
        self._checkpoints: TTLCache[str, frozenset[str]] = TTLCache(1024, SHARES_KEPT_S, timer=time.monotonic)

    def of_run(self, run_id: str) -> str | None:
        with self._lock:
            known = self._runs.get(run_id)
        if known is not None:
            return known
        response = self._ask(self._get_run, runs_pb.GetPipelineRunRequest(run_id=run_id))
        if response is None:
            return None
        with self._lock:
            self._runs[run_id] = owner = response.run.project or DEFAULT_PROJECT
        return owner

    def of_checkpoint(self, ref: CheckpointRef) -> frozenset[str]:
        with self._lock:
            known = self._checkpoints.get(ref.uri)
        if known is not None:
            return known
        response = self._ask(self._get_checkpoint, checkpoint_pb.GetCheckpointRequest(checkpoint_id=ref.uri))
        found = response.checkpoint if response is not None else None
        owners = frozenset({found.project or DEFAULT_PROJECT, *found.shared_with}) if found else frozenset[str]()
        with self._lock:
            self._checkpoints[ref.uri] = owners
        return owners

    def _ask(self, method: Any, request: Any) -> Any:
        """The answer; None for what is not there."""
        try:
            return method(request, timeout=CALL_TIMEOUT_S, metadata=self._metadata)
        except grpc.RpcError as error:
            if error.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT):
                return None
            said = "the orchestrator, which knows whose run it is, does not answer"
            raise Unavailable(said, reason="OWNER_UNKNOWN") from error
